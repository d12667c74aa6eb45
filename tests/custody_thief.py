"""What a thief has: a wire tap, crooked dealers, and the patience to try every key on everything.

Everything here uses the real parties of `domain_rig`; only the dishonest steps are written anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from domain_rig import DomainRig
from tigertally.algebra import tags
from tigertally.base.codec import Wire, decode, encode, loads
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault
from tigertally.base.ids import HolderIndex, Name, ProposalId
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.crypto.hpke import OVERHEAD, PrivateKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.dealing import Dealings
from tigertally.custody.client.holder import Holder
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import Dealing, DealingPackage, piece_hash
from tigertally.custody.messages.kinds import Create, KeyRef, Suite
from tigertally.custody.messages.sync import DEAL
from tigertally.custody.protocol.dealing import (
    Occasion,
    dealing_of,
    draw_sharing,
    open_piece,
    wrap_pieces,
)
from tigertally.custody.protocol.receiver import occasion_of_making
from tigertally.custody.protocol.release import _fragment_info
from tigertally.custody.service import rows as authority_rows
from tigertally.custody.state.authority import EpochRecord
from tigertally.custody.state.holder import HeldEpoch
from tigertally.node.authority import Authority
from tigertally.quorum.member.client import Party, Synced
from tigertally.quorum.messages import PROPOSE, VOTE, ProposeRequest, VoteRequest
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.receive_keys import PublishedKeys, newest_by_holder, private_key
from tigertally.storage.sealed import SealedReader
from tigertally.transport.channel import Handler, Request

T = TypeVar("T")
Payloads = dict[HolderIndex, Secret]
Bend = Callable[[Payloads], None]


@dataclass
class Tap:
    """Everything that went to the authority: (who, path, body)."""

    rig: DomainRig
    sent: list[tuple[str, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        handlers = self.rig.authority.handlers()
        tapped = {path: self._tapped(path, handler) for path, handler in handlers.items()}
        self.rig.network.connect("authority", tapped, key=self.rig.key.public)

    def _tapped(self, path: str, handler: Handler) -> Handler:
        async def handle(request: Request) -> bytes:
            self.sent.append((self._name(request), path, request.body))
            return await handler(request)

        return handle

    def _name(self, request: Request) -> str:
        keys = {device.key.public: name for name, device in self.rig.devices.items()}
        return keys.get(request.peer, "?") if request.peer else "?"

    def bodies(self, who: str | None = None, path: str | None = None) -> list[bytes]:
        """What was sent, by whom and where."""
        return [b for w, p, b in self.sent if who in (None, w) and path in (None, p)]


def strings(raw: bytes) -> Iterable[bytes]:
    """Every byte string inside a message, also inside messages inside it."""
    yield raw
    try:
        value = loads(raw)
    except MalformedMessage:
        return
    yield from _strings(value)


def _strings(value: Wire) -> Iterable[bytes]:
    if isinstance(value, bytes):
        yield from strings(value)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)


def opened_fragments(
    bodies: Iterable[bytes], keys: Iterable[PrivateKey], infos: Iterable[bytes]
) -> list[bytes]:
    """All different fragments that these keys open in these messages."""
    keys, infos = list(keys), list(infos)
    found = []
    for candidate in {one for body in bodies for one in strings(body)}:
        if len(candidate) not in {OVERHEAD + 64, OVERHEAD + 96}:  # both suites' fragments
            continue
        for key in keys:
            for info in infos:
                try:
                    found.append(key.open(candidate, info=info).to_secret_bytes())
                except InvalidSignature:
                    continue
    return sorted(set(found))


def fragment_infos(rig: DomainRig, proposals: Iterable[ProposalId], key: str) -> list[bytes]:
    """Every `info` under which any holder could wrap a fragment of this key for these requests."""
    domain = rig.authority.chain.current.domain
    ref = KeyRef(name=Name(key), version=1)
    epochs = {held.parsed().hash for name in rig.holders() for held in held_by(rig, name)}
    indices = [holder.index for holder in rig.authority.chain.current.holders]
    return [
        _fragment_info(domain, proposal, ref, epoch, index)
        for proposal in proposals
        for epoch in epochs
        for index in indices
    ]


def thief_keys(rig: DomainRig, requesters: Iterable[str] = ("app",)) -> list[PrivateKey]:
    """Every decryption key that the relay and the requesters have, long-term and fresh."""
    keys = [rig.wrapping_key]
    for name in requesters:
        device = rig.devices[name]
        keys.append(device.wrapping_key)
        with device.store.reading() as reader:
            for _, row in reader.scan(device_rows.REQUESTS):
                keys.append(PrivateKey(Secret(decode(device_rows.Request, row).seed)))
    with rig.disk.reading() as reader:
        sealed = SealedReader(reader, barrier_sealer(rig.authority))
        keys += [PrivateKey(Secret(row)) for _, row in sealed.scan(authority_rows.FRESH)]
    return keys


def barrier_sealer(authority: Authority):
    barrier = authority.writer.memory.barrier
    assert barrier is not None
    return barrier.sealer


def epoch_records(rig: DomainRig) -> list[EpochRecord]:
    """All attempts that the authority knows, in order."""
    with rig.disk.reading() as reader:
        sealed = SealedReader(reader, barrier_sealer(rig.authority))
        return [decode(EpochRecord, row) for _, row in sealed.scan(authority_rows.EPOCHS)]


def held_by(rig: DomainRig, name: str) -> list[HeldEpoch]:
    """The epochs on a holder's device."""
    with rig.devices[name].store.reading() as reader:
        return list(device_rows.all_held(reader))


def seeds_of(rig: DomainRig, name: str) -> dict[bytes, device_rows.ReceiveSeeds]:
    """The private receive keys on a holder's device, by bundle."""
    with rig.devices[name].store.reading() as reader:
        return {
            key: decode(device_rows.ReceiveSeeds, row)
            for key, row in reader.scan(device_rows.SEEDS)
        }


def audit_kinds(rig: DomainRig) -> list[tuple[str, str]]:
    """(kind, actor) of every entry of the audit log."""
    with rig.disk.reading() as reader:
        log = rig.authority._log
        return [(e.kind, str(e.actor)) for e in log.entries(reader, 0, 1000)]


def published_keys(rig: DomainRig) -> Mapping[HolderIndex, PublishedKeys]:
    """The newest receive keys that the authority has."""
    with rig.disk.reading() as reader:
        sealed = SealedReader(reader, barrier_sealer(rig.authority))
        roster = rig.authority.chain.current
        bundles = authority_rows.receive_keys(sealed)
        return newest_by_holder(bundles, roster.domain, roster.signer)


def recorded_packages(tap: Tap) -> list[DealingPackage]:
    """Every dealing that went over the wire, with all its pieces."""
    attachments = [decode(ProposeRequest, b).attachment for b in tap.bodies(path=PROPOSE)]
    attachments += [decode(VoteRequest, b).attachment for b in tap.bodies(path=VOTE)]
    attachments += tap.bodies(path=DEAL)
    return [decode(DealingPackage, raw) for raw in attachments if raw]


def opening_keys(packages: Iterable[DealingPackage], keys: Iterable[PrivateKey]) -> int:
    """How many pieces of these dealings some of these keys open."""
    keys, opened = list(keys), 0
    for package in packages:
        dealing = decode(Dealing, package.dealing.body)
        for slot, piece in zip(dealing.slots, package.pieces, strict=True):
            for key in keys:
                try:
                    open_piece(dealing, piece, slot.receiver, key)
                except PeerFault:
                    continue
                opened += 1
    return opened


def all_keys(rig: DomainRig) -> list[PrivateKey]:
    """Every decryption key on every device: long-term ones and receive keys."""
    found = [rig.wrapping_key, *(d.wrapping_key for d in rig.devices.values())]
    for name in rig.holders():
        for bundle in seeds_of(rig, name).values():
            found += [private_key(seed) for _, seed in bundle.seeds]
    return found


# --- crooked dealers -------------------------------------------------------------------------


def crooked_package(
    occasion: Occasion,
    dealer: int,
    published: Mapping[HolderIndex, PublishedKeys],
    party: Party,
    *,
    bend: Bend = lambda payloads: None,
    bend_commitments: Callable[[tuple[bytes, ...]], tuple[bytes, ...]] = lambda c: c,
    bend_pieces: Callable[[list[bytes]], None] = lambda pieces: None,
    said: Callable[[Occasion], Occasion] = lambda occasion: occasion,
) -> DealingPackage:
    """A dealing with something wrong in it, properly signed by its dealer."""
    commitments, payloads = draw_sharing(occasion, party.randomness)
    bend(payloads)
    commitments = bend_commitments(commitments)
    pieces, slots = wrap_pieces(said(occasion), dealer, commitments, payloads, published)
    bent = list(pieces)
    bend_pieces(bent)
    slots = tuple(replace(slot, piece=piece_hash(p)) for slot, p in zip(slots, bent, strict=True))
    dealing = dealing_of(said(occasion), dealer, commitments, slots)
    return DealingPackage(
        dealing=sign_message(party.key, tags.DEALING, dealing), pieces=tuple(bent)
    )


def spoil(*receivers: int) -> Bend:
    """Give these receivers a fragment that fits nothing."""

    def bend(payloads: Payloads) -> None:
        for index in receivers or [int(i) for i in payloads]:
            raw = bytearray(payloads[HolderIndex(index)].to_secret_bytes())
            raw[0] ^= 1
            payloads[HolderIndex(index)] = Secret(raw)

    return bend


class CrookedHolder(Holder):
    """A holder whose dealings are made by somebody else's rules."""

    def __init__(self, party: Party, **bends: object) -> None:
        super().__init__(party)
        self.dealings = CrookedDealings(self.member, self.receive_keys)
        self.dealings.bends = bends


class CrookedDealings(Dealings):
    bends: dict[str, object]

    async def _first_dealing(self, proposal: Envelope, body: Create, synced: Synced) -> bytes:
        if body.suite is Suite.SHAMIR_GF256:
            return b""
        key = device_rows.attempt_key(proposal_id(proposal), 1)
        with self.party.store.reading() as reader:
            kept = reader.get(device_rows.DEALT, key)
        if kept is not None:
            return kept
        published, _ = await self.receive_keys.fetch(synced)
        occasion = occasion_of_making(proposal_id(proposal), body, synced.roster, 1)
        package = encode(self._deal(occasion, (), self.member.me(synced.roster).index, published))
        with self.party.store.transaction() as tx:
            tx.put(device_rows.DEALT, key, package)
        return package

    def _deal(
        self,
        occasion: Occasion,
        base: tuple[BaseKey, ...],
        me: HolderIndex,
        published: Mapping[HolderIndex, PublishedKeys],
    ) -> DealingPackage:
        return crooked_package(occasion, me, published, self.party, **self.bends)


async def approve_with(client: Holder, id_: str) -> object:
    """Approve with this (crooked) client."""
    synced, _ = await client.sync()
    state, _ = await client.approve(
        await client.member.find(ProposalId.from_text(id_), synced), synced
    )
    return state
