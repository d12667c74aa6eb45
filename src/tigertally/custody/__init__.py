"""Custody (C1–C13): holders guard keys that exist nowhere; a quorum releases one to a requester."""
