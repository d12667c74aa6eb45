"""Receive keys: short-lived, numbered HPKE keys, one per possible sender. No I/O.

What carries a fragment goes to these, never to a long-term key: a key leaked later opens nothing
that was delivered before the last sync (docs/threat-model.md, "Forward secrecy").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.base.codec import loads
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import HolderIndex
from tigertally.base.limits import MAX_HOLDERS
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.dealing import (
    AUTHORITY,
    PublishedKeys,
    ReceiveKeys,
    SenderKey,
    bundle_hash,
)
from tigertally.custody.state.holder import ReceiveSeeds
from tigertally.quorum.roster import Roster, open_from_holder

SPARE_SENDERS = 2  # holders that may join before our next sync and deal at once


def possible_senders(roster: Roster) -> tuple[int, ...]:
    """The authority, every holder, and the next indices to be given out."""
    last = min(roster.next_index + SPARE_SENDERS, MAX_HOLDERS + 1)
    spare = range(roster.next_index, last)
    return (AUTHORITY, *(holder.index for holder in roster.holders), *spare)


def next_number(last: int | None, *, now: int) -> int:
    """The number of the next set: it grows, also for a device that was restored from a back-up."""
    return now if last is None else max(last + 1, now)


def draw_receive_keys(
    roster: Roster,
    holder: HolderIndex,
    *,
    number: int,
    key: SigningKey,
    now: int,
    randomness: Randomness,
) -> tuple[ReceiveSeeds, Envelope]:
    """Fresh receive keys: the private half to store first, the signed half to publish."""
    privates = [(sender, PrivateKey.generate(randomness)) for sender in possible_senders(roster)]
    public = ReceiveKeys(
        domain=roster.domain,
        holder=holder,
        number=number,
        created=now,
        keys=tuple(SenderKey(sender=who, key=private.public) for who, private in privates),
    )
    seeds = ReceiveSeeds(
        number=number,
        created=now,
        seeds=tuple((who, private.seed.to_secret_bytes()) for who, private in privates),
        published=False,
    )
    return seeds, sign_message(key, tags.RECEIVE_KEYS, public)


def open_receive_keys(envelope: Envelope, roster: Roster) -> ReceiveKeys:
    """Verify a holder's receive keys.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: the roster lists no such holder.
    """
    keys = open_from_holder(
        ReceiveKeys, tags.RECEIVE_KEYS, envelope, roster, lambda said: said.holder
    )
    if keys.domain != roster.domain:
        raise MalformedMessage("receive keys of another domain")
    return keys


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveKeysAge:
    """What tells one set of receive keys from another in time."""

    number: int
    created: int


def age_of(envelope: Envelope) -> ReceiveKeysAge:
    """Read the age of stored receive keys without their keys, whose every check costs a lot.

    Raises:
        MalformedMessage: these are no receive keys.

    **Security:** for sets that were verified before they were stored, and for nothing else.
    """
    match loads(envelope.body, max_items=ReceiveKeys.MOST_ITEMS):
        case [bytes(), int(), int(number), int(created), list()]:
            return ReceiveKeysAge(number=number, created=created)
    raise MalformedMessage("not receive keys")


def newest_by_holder(
    envelopes: Iterable[Envelope], roster: Roster
) -> Mapping[HolderIndex, PublishedKeys]:
    """Verify many; one entry a holder. Raises as `open_receive_keys`."""
    published: dict[HolderIndex, PublishedKeys] = {}
    for envelope in envelopes:
        keys = open_receive_keys(envelope, roster)
        published[keys.holder] = PublishedKeys(keys=keys, bundle=bundle_hash(envelope))
    return published


def private_key(seed: bytes) -> PrivateKey:
    """A receive key's private half from its stored seed."""
    return PrivateKey(Secret(seed))
