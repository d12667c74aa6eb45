"""Receive keys: short-lived, numbered HPKE keys of one receiver, one per possible sender. No I/O.

What carries a secret goes to these, never to a long-term key: a key leaked later opens nothing
that was delivered before the last sync (docs/threat-model.md, "Forward secrecy"). Draw a set, store
its seeds, then publish it; a sender verifies it before it uses it. Who may send, and whose key must
have signed, the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.codec import loads
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import DomainId, Hash, HolderIndex
from tigertally.base.limits import MAX_HOLDERS
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.crypto.signatures import SigningKey, VerifyKey

SignerOf = Callable[[HolderIndex], tuple[VerifyKey, str]]
"""The key and name of a receiver, for its signature; `Refused` where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderKey:
    """The receive key for one possible sender (0 is the authority)."""

    sender: int
    key: PublicKey

    def __post_init__(self) -> None:
        if self.sender > MAX_HOLDERS:
            raise MalformedMessage("a sender is 0 (the authority) or a holder index")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveKeys:
    """One holder's numbered receive keys, one per possible sender; replaced as a whole."""

    MOST_ITEMS: ClassVar[int] = 6 + 3 * (MAX_HOLDERS + 1)

    domain: DomainId
    holder: HolderIndex
    number: int
    created: int
    keys: tuple[SenderKey, ...]

    def __post_init__(self) -> None:
        senders = [key.sender for key in self.keys]
        if senders != sorted(set(senders)) or len({key.key for key in self.keys}) != len(senders):
            raise MalformedMessage("receive keys are distinct and in order of their senders")

    def for_sender(self, sender: int) -> PublicKey | None:
        """The key for deliveries from this sender, if there is one."""
        return next((key.key for key in self.keys if key.sender == sender), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedKeys:
    """Verified receive keys with the hash of their signed bytes."""

    keys: ReceiveKeys
    bundle: Hash


def bundle_hash(envelope: Envelope) -> Hash:
    """Return the name of a signed set of receive keys."""
    return tagged_hash(tags.RECEIVE_KEYS_HASH, envelope.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveSeeds:
    """The private halves of one set of receive keys: (sender, 96-byte seed).

    **Security:** sealed store only; erased once no open delivery needs them.
    """

    number: int
    created: int
    seeds: tuple[tuple[int, bytes], ...]
    published: bool

    def seed_for(self, sender: int) -> bytes | None:
        """The seed for deliveries of one sender."""
        return next((seed for who, seed in self.seeds if who == sender), None)

    def __repr__(self) -> str:
        return f"ReceiveSeeds(number={self.number}, {len(self.seeds)} keys)"


def next_number(last: int | None, *, now: int) -> int:
    """Return the number of the next set: it grows, also on a device restored from a back-up."""
    return now if last is None else max(last + 1, now)


def draw_receive_keys(
    domain: DomainId,
    receiver: HolderIndex,
    senders: Iterable[int],
    *,
    number: int,
    key: SigningKey,
    now: int,
    randomness: Randomness,
) -> tuple[ReceiveSeeds, Envelope]:
    """Draw fresh receive keys: the private half to store first, the signed half to publish.

    Args:
        domain: they are good in.
        receiver: whose they are.
        senders: who may send, in order.
        number: see `next_number`.
        key: the receiver's, which signs them.
        now: Unix seconds.
        randomness: the source of them all.
    """
    privates = [(sender, PrivateKey.generate(randomness)) for sender in senders]
    public = ReceiveKeys(
        domain=domain,
        holder=receiver,
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


def open_receive_keys(envelope: Envelope, domain: DomainId, signer_of: SignerOf) -> ReceiveKeys:
    """Verify somebody's receive keys.

    Raises:
        MalformedMessage: these are none, or another domain's.
        InvalidSignature: their receiver did not sign them.
        Refused: `signer_of` knows no such receiver.
    """
    keys = open_message(
        ReceiveKeys, tags.RECEIVE_KEYS, envelope, lambda said: signer_of(said.holder)
    )
    if keys.domain != domain:
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
    envelopes: Iterable[Envelope], domain: DomainId, signer_of: SignerOf
) -> Mapping[HolderIndex, PublishedKeys]:
    """Verify many; of several sets of one holder the last counts. Raises as `open_receive_keys`."""
    published: dict[HolderIndex, PublishedKeys] = {}
    for envelope in envelopes:
        keys = open_receive_keys(envelope, domain, signer_of)
        published[keys.holder] = PublishedKeys(keys=keys, bundle=bundle_hash(envelope))
    return published


def private_key(seed: bytes) -> PrivateKey:
    """Return a receive key's private half from its stored seed."""
    return PrivateKey(Secret(seed))
