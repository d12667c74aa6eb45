"""What a device keeps in its sealed store: receive keys, fragments, wraps, requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.custody.messages.dealing import Certificate, Statement, epoch_hash
from tigertally.custody.messages.kinds import Destroy, KeyRef, Suite
from tigertally.custody.state.holder import HeldEpoch, KeptWrap, Terms
from tigertally.custody.state.v1 import TermsV1
from tigertally.quorum.receive_keys import ReceiveKeys, ReceiveSeeds, bundle_hash
from tigertally.quorum.tally import Tally
from tigertally.storage.store import Reader, Transaction

SEEDS = "holder-receive-seeds"  # bundle hash -> ReceiveSeeds
PUBLISHED = "holder-receive-keys"  # one row: the newest signed bundle
UNCERTIFIED = "holder-uncertified"  # epoch hash -> nothing: its certificate is still to come
EPOCHS = "holder-epoch"  # epoch hash -> HeldEpoch
HELD = "holder-key"  # key, order -> epoch hash
ANSWERED = "holder-answered"  # proposal id, attempt -> statement hash: never acknowledge two
WRAPS = "holder-wrap"  # proposal id, epoch -> KeptWrap
WRAP_ENDS = "holder-wrap-ends"  # expiry (8 bytes), proposal id, epoch -> nothing
DEALT = "holder-dealt"  # proposal id, attempt -> DealingPackage, re-sent byte for byte
TERMS = "holder-terms"  # key -> Terms
DEALT_ENDS = "holder-dealt-ends"  # expiry (8 bytes), proposal id, attempt -> nothing
MAKINGS = "holder-making"  # key -> the tally that made it, for an authority that was restored
DESTROYED = "holder-destroyed"  # key name, version (0: all) -> proposal id of the tally
APPROVED = "holder-approved"  # proposal id -> the signed approval, re-sent byte for byte
REPORTED = "holder-reported"  # number: of our last report; told: it still says what we hold
REQUESTS = "requester-request"  # what was asked -> Request
_NEWEST = b"newest"
_NUMBER, _TOLD = b"number", b"told"
_FORGOTTEN_AT_ONCE = 100  # the next sync forgets more


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A requester's open request: its proposal and the seed of its fresh key."""

    proposal: Envelope
    seed: bytes
    what: Hash

    def __repr__(self) -> str:
        return "Request(...)"


def put_seeds(tx: Transaction, seeds: ReceiveSeeds, envelope: Envelope) -> None:
    """Keep fresh receive keys before they are published."""
    tx.put(SEEDS, bundle_hash(envelope), encode(seeds))
    tx.put(PUBLISHED, _NEWEST, encode(envelope))


def newest_bundle(reader: Reader) -> tuple[Envelope, ReceiveSeeds] | None:
    """The newest receive keys, if there are any."""
    row = reader.get(PUBLISHED, _NEWEST)
    if row is None:
        return None
    envelope = decode(Envelope, row)
    seeds = reader.get(SEEDS, bundle_hash(envelope))
    return None if seeds is None else (envelope, decode(ReceiveSeeds, seeds))


def newest_number(reader: Reader) -> int | None:
    """The number of the newest receive keys ever published, also if their seeds are gone."""
    row = reader.get(PUBLISHED, _NEWEST)
    return None if row is None else decode(ReceiveKeys, decode(Envelope, row).body).number


def seed_of(reader: Reader, bundle: Hash, sender: int) -> bytes | None:
    """The private receive key for one sender in one bundle; None once it is erased."""
    row = reader.get(SEEDS, bundle)
    return None if row is None else decode(ReceiveSeeds, row).seed_for(sender)


def mark_published(tx: Transaction, bundle: Hash) -> None:
    """The authority has taken these receive keys: they need not be sent again."""
    row = tx.get(SEEDS, bundle)
    if row is not None:
        tx.put(SEEDS, bundle, encode(replace(decode(ReceiveSeeds, row), published=True)))


def forget_old_seeds(tx: Transaction, *, in_use: tuple[Hash, ...], made_before: int) -> int:
    """Erase all receive keys but the newest and those in use; returns how many.

    Args:
        in_use: what the authority says that deliveries on their way still use.
        made_before: older ones (Unix seconds) are erased whatever the authority says, so that it
            cannot make us keep them for ever.
    """
    newest = tx.get(PUBLISHED, _NEWEST)
    newest_hash = bytes(bundle_hash(decode(Envelope, newest))) if newest else b""
    keep = {newest_hash, *(bytes(bundle) for bundle in in_use)}
    old = [
        key
        for key, row in tx.scan(SEEDS)
        if key not in keep
        or (key != newest_hash and decode(ReceiveSeeds, row).created < made_before)
    ]
    for key in old:
        tx.delete(SEEDS, key)
    return len(old)


def certify(tx: Transaction, certificate: Certificate) -> bool:
    """Mark an epoch as certified; erase lower epochs of its keys and their wraps.

    Only here does a fragment die: we hold our own fragment of a higher, certified epoch.

    Returns:
        Whether something was erased.
    """
    statement = parse_message(Statement, certificate.statement)
    name = epoch_hash(certificate.statement)
    held = find_held(tx, name)
    if held is None:
        return False
    tx.put(EPOCHS, name, encode(replace(held, certificate=certificate)))
    tx.delete(UNCERTIFIED, name)
    lower: dict[Hash, set[KeyRef]] = {}
    for ref in statement.keys:
        for place, epoch in list(tx.scan(HELD, prefix=ref.to_bytes())):
            if place < held_key(ref, statement.order):
                tx.delete(HELD, place)
                lower.setdefault(Hash(epoch), set()).add(ref)
    for epoch_name, refs in lower.items():
        _erase_payloads(tx, epoch_name, refs)
        tx.delete(REPORTED, _TOLD)
    erased = bool(lower)
    for place, row in list(tx.scan(WRAPS)):
        wrap = decode(KeptWrap, row)
        if wrap.epoch != name and wrap.key in statement:
            _drop_wrap(tx, place, wrap)
            erased = True
    return erased


def _erase_payloads(tx: Transaction, name: Hash, refs: Collection[KeyRef]) -> None:
    """Erase the fragments of some keys from an epoch; the whole epoch with its last key."""
    held = find_held(tx, name)
    if held is None:
        return
    keys = held.parsed().keys
    payloads = tuple(
        b"" if key in refs else payload for key, payload in zip(keys, held.payloads, strict=True)
    )
    if any(payloads):
        tx.put(EPOCHS, name, encode(replace(held, payloads=payloads)))
    else:
        tx.delete(EPOCHS, name)
        tx.delete(UNCERTIFIED, name)


def erase_key(tx: Transaction, ref: KeyRef) -> int:
    """Erase every fragment and wrap of a key (it is destroyed); returns how many fragments."""
    tx.delete(REPORTED, _TOLD)
    places = [place for place, _ in tx.scan(HELD, prefix=ref.to_bytes())]
    for place in places:
        name = tx.get(HELD, place)
        tx.delete(HELD, place)
        if name is not None:
            _erase_payloads(tx, Hash(name), {ref})
    for place, row in list(tx.scan(WRAPS)):
        wrap = decode(KeptWrap, row)
        if wrap.key == ref:
            _drop_wrap(tx, place, wrap)
    return len(places)


def erase_destroyed(tx: Transaction, body: Destroy, tally: ProposalId) -> int:
    """Erase what a verified tally destroys and remember that; returns how many fragments."""
    tx.put(DESTROYED, _destroyed_key(body.key, body.version or 0), tally)
    refs = {ref for ref in refs_held(tx, body.key) if body.covers(ref)}
    wraps = (decode(KeptWrap, row) for _, row in tx.scan(WRAPS))
    refs |= {wrap.key for wrap in wraps if body.covers(wrap.key)}
    return sum(erase_key(tx, ref) for ref in sorted(refs))


def destroyed(reader: Reader, ref: KeyRef) -> bool:
    """Has this device erased that version for a tally?"""
    places = (_destroyed_key(ref.name, version) for version in (0, ref.version))
    return any(reader.get(DESTROYED, place) is not None for place in places)


def check_not_destroyed(reader: Reader, ref: KeyRef) -> None:
    """Raises `Refused` if the key is destroyed: nothing brings it back."""
    if destroyed(reader, ref):
        raise Refused(f"{ref} is destroyed: this device takes and deals nothing for it")


def _destroyed_key(name: Name, version: int) -> bytes:
    return name.encode() + b"\x00" + version.to_bytes(4, "big")


def refs_held(reader: Reader, name: Name) -> set[KeyRef]:
    """The versions of a key of which this device has any epoch, certified or not."""
    start = name.encode() + b"\x00"
    places = [place for place, _ in reader.scan(HELD, prefix=start)]
    versions = {int.from_bytes(place[len(start) : len(start) + 4], "big") for place in places}
    return {KeyRef(name=name, version=version) for version in versions}


def put_terms(tx: Transaction, ref: KeyRef, terms: Terms) -> None:
    """Remember what was approved when the key was made."""
    tx.put(TERMS, ref.to_bytes(), encode(terms))


def put_making(tx: Transaction, ref: KeyRef, tally: Tally) -> None:
    """Remember how the key was made; we have verified that tally."""
    tx.put(MAKINGS, ref.to_bytes(), encode(tally))


def making_of(reader: Reader, ref: KeyRef) -> Tally | None:
    """How the key was made; None on a device that joined later."""
    row = reader.get(MAKINGS, ref.to_bytes())
    return None if row is None else decode(Tally, row)


def terms_of(reader: Reader, ref: KeyRef) -> Terms | None:
    """What was approved when the key was made."""
    row = reader.get(TERMS, ref.to_bytes())
    return None if row is None else _parsed_terms(row)


def terms_before(reader: Reader, ref: KeyRef) -> Terms | None:
    """The terms of the newest earlier version of this key that the device knows."""
    start = ref.name.encode() + b"\x00"
    known = [row for place, row in reader.scan(TERMS, prefix=start) if place < ref.to_bytes()]
    return _parsed_terms(known[-1]) if known else None


def _parsed_terms(row: bytes) -> Terms:
    """In the form of today, or of version 1: a program of then may still run on this profile."""
    try:
        return decode(Terms, row)
    except MalformedMessage:
        return decode(TermsV1, row).today()


def suite_before(reader: Reader, ref: KeyRef) -> Suite | None:
    """The suite of the newest earlier version of this key that the device holds."""
    earlier = sorted(one for one in refs_held(reader, ref.name) if one < ref)
    held = Held(reader).of(earlier[-1]) if earlier else []
    return held[-1].parsed().suite if held else None


def newest_live(reader: Reader, name: Name) -> KeyRef | None:
    """The newest version of a key of which this device has a certified epoch."""
    found = refs_held(reader, name)
    return max((ref for ref in found if live_name(reader, ref) is not None), default=None)


def held_key(ref: KeyRef, order: tuple[int, int]) -> bytes:
    """Where an epoch stands among those of a key: in order."""
    return ref.to_bytes() + order[0].to_bytes(4, "big") + order[1].to_bytes(2, "big")


def put_held(tx: Transaction, held: HeldEpoch) -> None:
    """Keep an epoch's fragments once, and find them under each of its keys."""
    statement, name = held.parsed(), held.epoch
    tx.put(EPOCHS, name, encode(held))
    tx.delete(REPORTED, _TOLD)
    if held.certificate is None:
        tx.put(UNCERTIFIED, name, b"")
    for ref in statement.keys:
        tx.put(HELD, held_key(ref, statement.order), name)
    for ref in statement.keys:
        if destroyed(tx, ref):  # it travelled with others: it never gets onto the disk
            erase_key(tx, ref)


def find_held(reader: Reader, name: bytes) -> HeldEpoch | None:
    """An epoch on this device by its hash."""
    row = reader.get(EPOCHS, name)
    return None if row is None else decode(HeldEpoch, row)


class Held:
    """The epochs on this device at one moment, each read once however many keys it is of."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._epochs: dict[bytes, HeldEpoch | None] = {}

    def _named(self, name: bytes) -> HeldEpoch | None:
        if name not in self._epochs:
            self._epochs[name] = find_held(self._reader, name)
        return self._epochs[name]

    def of(self, ref: KeyRef) -> list[HeldEpoch]:
        """All epochs of a key, oldest first."""
        names = [name for _, name in self._reader.scan(HELD, prefix=ref.to_bytes())]
        return [held for held in map(self._named, names) if held is not None]

    def of_any(self, refs: Iterable[KeyRef]) -> list[HeldEpoch]:
        """All epochs of any of these keys, each once."""
        names = {name for ref in refs for _, name in self._reader.scan(HELD, prefix=ref.to_bytes())}
        return [held for held in map(self._named, sorted(names)) if held is not None]

    def live(self, ref: KeyRef) -> HeldEpoch | None:
        """The newest certified epoch of a key."""
        name = live_name(self._reader, ref)
        return None if name is None else self._named(name)


def all_held(reader: Reader) -> Iterator[HeldEpoch]:
    """Every epoch on this device, once."""
    for _, row in reader.scan(EPOCHS):
        yield decode(HeldEpoch, row)


def tell_again(tx: Transaction) -> None:
    """The authority may have lost our last report."""
    tx.delete(REPORTED, _TOLD)


def report_number(reader: Reader) -> int | None:
    """The number of our next report; None if the last one still says what we hold."""
    if reader.get(REPORTED, _TOLD) is not None:
        return None
    return int.from_bytes(reader.get(REPORTED, _NUMBER) or b"", "big") + 1


def put_report_number(tx: Transaction, number: int, *, told: bool) -> None:
    """Remember a report before it is sent, and again once the authority has it."""
    tx.put(REPORTED, _NUMBER, number.to_bytes(8, "big"))
    if told:
        tx.put(REPORTED, _TOLD, b"")


def uncertified(reader: Reader) -> tuple[Hash, ...]:
    """The epochs on this device whose certificate is still to come."""
    return tuple(Hash(name) for name, _ in reader.scan(UNCERTIFIED))


def live_name(reader: Reader, ref: KeyRef) -> Hash | None:
    """The newest certified epoch of a key on this device, by its hash."""
    names = [Hash(name) for _, name in reader.scan(HELD, prefix=ref.to_bytes())]
    return next((n for n in reversed(names) if reader.get(UNCERTIFIED, n) is None), None)


def attempt_key(proposal: ProposalId, attempt: int) -> bytes:
    """Names one attempt."""
    return proposal + attempt.to_bytes(2, "big")


def put_dealt(tx: Transaction, key: bytes, package: bytes, expires: int) -> None:
    """Keep a dealing that goes with an approval until it cannot count any more."""
    tx.put(DEALT, key, package)
    tx.put(DEALT_ENDS, expires.to_bytes(8, "big") + key, b"")


def has_dealt(reader: Reader, proposal: ProposalId) -> bool:
    """Do we keep a dealing for a proposal, to send it again?"""
    return any(True for _ in reader.scan(DEALT, prefix=proposal, limit=1))


def drop_dealt(tx: Transaction, proposal: ProposalId) -> None:
    """Forget what we dealt for a proposal: it has arrived, or is not wanted any more."""
    for key, _ in list(tx.scan(DEALT, prefix=proposal)):
        tx.delete(DEALT, key)


def put_wrap(tx: Transaction, wrap: KeptWrap) -> None:
    """Keep a fragment wrapped for one request."""
    place = wrap.proposal + wrap.epoch
    tx.put(WRAPS, place, encode(wrap))
    tx.put(WRAP_ENDS, wrap.expires.to_bytes(8, "big") + place, b"")


def _drop_wrap(tx: Transaction, place: bytes, wrap: KeptWrap) -> None:
    tx.delete(WRAPS, place)
    tx.delete(WRAP_ENDS, wrap.expires.to_bytes(8, "big") + place)


def wrap_of(reader: Reader, proposal: ProposalId, epoch: Hash) -> KeptWrap | None:
    """The wrap kept for a proposal, of this epoch."""
    row = reader.get(WRAPS, proposal + epoch)
    return None if row is None else decode(KeptWrap, row)


def forget_expired(tx: Transaction, now: int) -> int:
    """Erase wraps and first dealings whose proposal has expired; returns how many."""
    return _forget_ended(tx, WRAP_ENDS, WRAPS, now) + _forget_ended(tx, DEALT_ENDS, DEALT, now)


def _forget_ended(tx: Transaction, ends: str, table: str, now: int) -> int:
    """Rows stand in order of their end."""
    dead = []
    for end, _ in tx.scan(ends, limit=_FORGOTTEN_AT_ONCE):
        if int.from_bytes(end[:8], "big") > now:
            break
        dead.append(end)
    for end in dead:
        tx.delete(table, end[8:])
        tx.delete(ends, end)
    return len(dead)
