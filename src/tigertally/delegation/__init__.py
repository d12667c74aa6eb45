"""Delegation: data that its owner shares through proxies which never see it."""
