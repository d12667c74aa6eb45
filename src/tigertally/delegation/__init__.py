"""Delegation: data that its owner shares through proxies which never see it."""

from tigertally.delegation.client.easy import OwnerClient
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.labels import Label, parse_label
from tigertally.delegation.stores.open import open_store

__all__ = ["Label", "Owner", "OwnerClient", "open_store", "parse_label"]
