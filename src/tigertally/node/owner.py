"""A profile as an owner of data: its labels, keys and what it remembers."""

from __future__ import annotations

from tigertally.crypto.envelope import Envelope
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.state import Remembered
from tigertally.node.profile import OpenProfile


def owner_of(profile: OpenProfile) -> Owner:
    """The owner that this profile is."""
    return Owner(profile.device_secret, profile.signing_key, Remembered(rows=profile.store))


def identity_card(profile: OpenProfile) -> Envelope:
    """The card of the person that this profile is."""
    return owner_of(profile).identity_card(profile.info.member, profile.wrapping_key.public)
