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
from tigertally.storage.table import RAW, Form, Marks, Table, fixed, joined, message, number, packed

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


def _parsed_terms(row: bytes) -> Terms:
    """In the form of today, or of version 1: a program of then may still run on this profile."""
    try:
        return decode(Terms, row)
    except MalformedMessage:
        return decode(TermsV1, row).today()


_ID, _HASH, _KEY, _SIGNED = fixed(ProposalId), fixed(Hash), packed(KeyRef), message(Envelope)
_TERMS = Form(write=encode, read=_parsed_terms, name="Terms")
_ORDER = joined(number(4), number(2))

SEEDS = Table("holder-receive-seeds", _HASH, message(ReceiveSeeds))  # by bundle
PUBLISHED = Table("holder-receive-keys", RAW, _SIGNED)  # one row: the newest
UNCERTIFIED = Marks("holder-uncertified", _HASH)  # epochs whose certificate is still to come
EPOCHS = Table("holder-epoch", _HASH, message(HeldEpoch))
HELD = Table("holder-key", joined(_KEY, _ORDER), _HASH)  # -> epoch; of one key in order
ANSWERED = Table("holder-answered", RAW, _HASH)  # attempt -> statement: never acknowledge two
WRAPS = Table("holder-wrap", joined(_ID, _HASH), message(KeptWrap), ends="holder-wrap-ends")
DEALT = Table("holder-dealt", RAW, RAW, ends="holder-dealt-ends")  # attempt -> DealingPackage
TERMS = Table("holder-terms", _KEY, _TERMS)
MAKINGS = Table("holder-making", _KEY, message(Tally))  # for an authority that was restored
DESTROYED = Table("holder-destroyed", RAW, _ID)  # key name, version (0: all) -> the tally
APPROVED = Table("holder-approved", _ID, _SIGNED)  # re-sent byte for byte
REPORTED = Table("holder-reported", RAW, RAW)  # number: our last report; told: it still holds
REQUESTS = Table("requester-request", _HASH, message(Request))  # by what was asked


def put_seeds(tx: Transaction, seeds: ReceiveSeeds, envelope: Envelope) -> None:
    """Keep fresh receive keys before they are published."""
    SEEDS.put(tx, bundle_hash(envelope), seeds)
    PUBLISHED.put(tx, _NEWEST, envelope)


def newest_bundle(reader: Reader) -> tuple[Envelope, ReceiveSeeds] | None:
    """The newest receive keys, if there are any."""
    envelope = PUBLISHED.get(reader, _NEWEST)
    seeds = None if envelope is None else SEEDS.get(reader, bundle_hash(envelope))
    return None if envelope is None or seeds is None else (envelope, seeds)


def newest_number(reader: Reader) -> int | None:
    """The number of the newest receive keys ever published, also if their seeds are gone."""
    envelope = PUBLISHED.get(reader, _NEWEST)
    return None if envelope is None else decode(ReceiveKeys, envelope.body).number


def seed_of(reader: Reader, bundle: Hash, sender: int) -> bytes | None:
    """The private receive key for one sender in one bundle; None once it is erased."""
    seeds = SEEDS.get(reader, bundle)
    return None if seeds is None else seeds.seed_for(sender)


def mark_published(tx: Transaction, bundle: Hash) -> None:
    """The authority has taken these receive keys: they need not be sent again."""
    seeds = SEEDS.get(tx, bundle)
    if seeds is not None:
        SEEDS.put(tx, bundle, replace(seeds, published=True))


def forget_old_seeds(tx: Transaction, *, in_use: tuple[Hash, ...], made_before: int) -> int:
    """Erase all receive keys but the newest and those in use; returns how many.

    Args:
        in_use: what the authority says that deliveries on their way still use.
        made_before: older ones (Unix seconds) are erased whatever the authority says, so that it
            cannot make us keep them for ever.
    """
    envelope = PUBLISHED.get(tx, _NEWEST)
    newest = None if envelope is None else bundle_hash(envelope)
    keep = {newest, *(bundle for bundle in in_use if _is_young(tx, bundle, made_before))}
    old = [bundle for bundle in SEEDS.keys(tx) if bundle not in keep]
    for bundle in old:
        SEEDS.drop(tx, bundle)
    return len(old)


def _is_young(reader: Reader, bundle: Hash, made_before: int) -> bool:
    seeds = SEEDS.get(reader, bundle)
    return seeds is not None and seeds.created >= made_before


def certify(tx: Transaction, certificate: Certificate) -> bool:
    """Mark an epoch as certified; erase lower epochs of its keys and their wraps.

    Only here does a fragment die: we hold our own fragment of a higher, certified epoch.

    Returns:
        Whether something was erased.
    """
    statement = parse_message(Statement, certificate.statement)
    name = epoch_hash(certificate.statement)
    held = EPOCHS.get(tx, name)
    if held is None:
        return False
    EPOCHS.put(tx, name, replace(held, certificate=certificate))
    UNCERTIFIED.drop(tx, name)
    lower: dict[Hash, set[KeyRef]] = {}
    for ref in statement.keys:
        for place, epoch in list(HELD.rows(tx, prefix=ref.to_bytes())):
            if place[1] < statement.order:
                HELD.drop(tx, place)
                lower.setdefault(epoch, set()).add(ref)
    for epoch_name, refs in lower.items():
        _erase_payloads(tx, epoch_name, refs)
        REPORTED.drop(tx, _TOLD)
    dead = [w for w in WRAPS.values(tx) if w.epoch != name and w.key in statement]
    for wrap in dead:
        _drop_wrap(tx, wrap)
    return bool(lower or dead)


def _erase_payloads(tx: Transaction, name: Hash, refs: Collection[KeyRef]) -> None:
    """Erase the fragments of some keys from an epoch; the whole epoch with its last key."""
    held = EPOCHS.get(tx, name)
    if held is None:
        return
    keys = held.parsed().keys
    payloads = tuple(
        b"" if key in refs else payload for key, payload in zip(keys, held.payloads, strict=True)
    )
    if any(payloads):
        EPOCHS.put(tx, name, replace(held, payloads=payloads))
    else:
        EPOCHS.drop(tx, name)
        UNCERTIFIED.drop(tx, name)


def erase_key(tx: Transaction, ref: KeyRef) -> int:
    """Erase every fragment and wrap of a key (it is destroyed); returns how many fragments."""
    REPORTED.drop(tx, _TOLD)
    epochs = list(HELD.rows(tx, prefix=ref.to_bytes()))
    for place, name in epochs:
        HELD.drop(tx, place)
        _erase_payloads(tx, name, {ref})
    for wrap in [one for one in WRAPS.values(tx) if one.key == ref]:
        _drop_wrap(tx, wrap)
    return len(epochs)


def erase_destroyed(tx: Transaction, body: Destroy, tally: ProposalId) -> int:
    """Erase what a verified tally destroys and remember that; returns how many fragments."""
    DESTROYED.put(tx, _destroyed_key(body.key, body.version or 0), tally)
    refs = {ref for ref in refs_held(tx, body.key) if body.covers(ref)}
    refs |= {wrap.key for wrap in WRAPS.values(tx) if body.covers(wrap.key)}
    return sum(erase_key(tx, ref) for ref in sorted(refs))


def destroyed(reader: Reader, ref: KeyRef) -> bool:
    """Has this device erased that version for a tally?"""
    places = (_destroyed_key(ref.name, version) for version in (0, ref.version))
    return any(DESTROYED.has(reader, place) for place in places)


def check_not_destroyed(reader: Reader, ref: KeyRef) -> None:
    """Raises `Refused` if the key is destroyed: nothing brings it back."""
    if destroyed(reader, ref):
        raise Refused(f"{ref} is destroyed: this device takes and deals nothing for it")


def _destroyed_key(name: Name, version: int) -> bytes:
    return name.encode() + b"\x00" + version.to_bytes(4, "big")


def refs_held(reader: Reader, name: Name) -> set[KeyRef]:
    """The versions of a key of which this device has any epoch, certified or not."""
    return {ref for ref, _ in HELD.keys(reader, prefix=name.encode() + b"\x00")}


def terms_before(reader: Reader, ref: KeyRef) -> Terms | None:
    """The terms of the newest earlier version of this key that the device knows."""
    rows = TERMS.rows(reader, prefix=ref.name.encode() + b"\x00")
    known = [terms for earlier, terms in rows if earlier < ref]
    return known[-1] if known else None


def suite_before(reader: Reader, ref: KeyRef) -> Suite | None:
    """The suite of the newest earlier version of this key that the device holds."""
    earlier = sorted(one for one in refs_held(reader, ref.name) if one < ref)
    held = Held(reader).of(earlier[-1]) if earlier else []
    return held[-1].parsed().suite if held else None


def newest_live(reader: Reader, name: Name) -> KeyRef | None:
    """The newest version of a key of which this device has a certified epoch."""
    found = refs_held(reader, name)
    return max((ref for ref in found if live_name(reader, ref) is not None), default=None)


def put_held(tx: Transaction, held: HeldEpoch) -> None:
    """Keep an epoch's fragments once, and find them under each of its keys."""
    statement, name = held.parsed(), held.epoch
    EPOCHS.put(tx, name, held)
    REPORTED.drop(tx, _TOLD)
    if held.certificate is None:
        UNCERTIFIED.put(tx, name)
    for ref in statement.keys:
        HELD.put(tx, (ref, statement.order), name)
    for ref in statement.keys:
        if destroyed(tx, ref):  # it travelled with others: it never gets onto the disk
            erase_key(tx, ref)


class Held:
    """The epochs on this device at one moment, each read once however many keys it is of."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._epochs: dict[Hash, HeldEpoch | None] = {}

    def _named(self, name: Hash) -> HeldEpoch | None:
        if name not in self._epochs:
            self._epochs[name] = EPOCHS.get(self._reader, name)
        return self._epochs[name]

    def of(self, ref: KeyRef) -> list[HeldEpoch]:
        """All epochs of a key, oldest first."""
        names = list(HELD.values(self._reader, prefix=ref.to_bytes()))
        return [held for held in map(self._named, names) if held is not None]

    def of_any(self, refs: Iterable[KeyRef]) -> list[HeldEpoch]:
        """All epochs of any of these keys, each once."""
        names = {n for ref in refs for n in HELD.values(self._reader, prefix=ref.to_bytes())}
        return [held for held in map(self._named, sorted(names)) if held is not None]

    def live(self, ref: KeyRef) -> HeldEpoch | None:
        """The newest certified epoch of a key."""
        name = live_name(self._reader, ref)
        return None if name is None else self._named(name)


def all_held(reader: Reader) -> Iterator[HeldEpoch]:
    """Every epoch on this device, once."""
    return EPOCHS.values(reader)


def tell_again(tx: Transaction) -> None:
    """The authority may have lost our last report."""
    REPORTED.drop(tx, _TOLD)


def report_number(reader: Reader) -> int | None:
    """The number of our next report; None if the last one still says what we hold."""
    if REPORTED.has(reader, _TOLD):
        return None
    return int.from_bytes(REPORTED.get(reader, _NUMBER) or b"", "big") + 1


def put_report_number(tx: Transaction, number: int, *, told: bool) -> None:
    """Remember a report before it is sent, and again once the authority has it."""
    REPORTED.put(tx, _NUMBER, number.to_bytes(8, "big"))
    if told:
        REPORTED.put(tx, _TOLD, b"")


def uncertified(reader: Reader) -> tuple[Hash, ...]:
    """The epochs on this device whose certificate is still to come."""
    return tuple(UNCERTIFIED.keys(reader))


def live_name(reader: Reader, ref: KeyRef) -> Hash | None:
    """The newest certified epoch of a key on this device, by its hash."""
    names = list(HELD.values(reader, prefix=ref.to_bytes()))
    return next((n for n in reversed(names) if not UNCERTIFIED.has(reader, n)), None)


def attempt_key(proposal: ProposalId, attempt: int) -> bytes:
    """Names one attempt."""
    return proposal + attempt.to_bytes(2, "big")


def put_dealt(tx: Transaction, key: bytes, package: bytes, expires: int) -> None:
    """Keep a dealing that goes with an approval until it cannot count any more."""
    DEALT.put(tx, key, package, end=expires)


def has_dealt(reader: Reader, proposal: ProposalId) -> bool:
    """Do we keep a dealing for a proposal, to send it again?"""
    return any(True for _ in DEALT.keys(reader, prefix=proposal, limit=1))


def drop_dealt(tx: Transaction, proposal: ProposalId) -> None:
    """Forget what we dealt for a proposal: it has arrived, or is not wanted any more."""
    for key in list(DEALT.keys(tx, prefix=proposal)):
        DEALT.drop(tx, key)


def put_wrap(tx: Transaction, wrap: KeptWrap) -> None:
    """Keep a fragment wrapped for one request."""
    WRAPS.put(tx, (wrap.proposal, wrap.epoch), wrap, end=wrap.expires)


def _drop_wrap(tx: Transaction, wrap: KeptWrap) -> None:
    WRAPS.drop_end(tx, (wrap.proposal, wrap.epoch), wrap.expires)


def wrap_of(reader: Reader, proposal: ProposalId, epoch: Hash) -> KeptWrap | None:
    """The wrap kept for a proposal, of this epoch."""
    return WRAPS.get(reader, (proposal, epoch))


def forget_expired(tx: Transaction, now: int) -> int:
    """Erase wraps and first dealings whose proposal has expired; returns how many."""
    return sum(table.drop_ended(tx, now, most=_FORGOTTEN_AT_ONCE) for table in (WRAPS, DEALT))
