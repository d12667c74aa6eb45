"""A whole domain in one process: an authority, holders and requesters on a `MemoryNetwork`.

The parties are the real ones; only sockets and disks are in memory. Everything is drawn from the
rig's seed but what libraries draw themselves. Time is virtual: `rig.run(scenario(rig))`.

    async def scenario(rig):
        await rig.form(3)                      # h1 h2 h3 are holders
        app = await rig.requester("app")
        await rig.create("payroll")
        key = await rig.release(app, "payroll", by=["h1", "h3"])
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tigertally.base.errors import Corrupt, Unavailable
from tigertally.base.ids import Name, ProposalId
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.imports import Imports, Progress
from tigertally.custody.client.keys import Asked, KeyProposals
from tigertally.custody.client.report import Report
from tigertally.custody.client.requester import Released, Requester
from tigertally.custody.client.unlock import Unlock
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.service import child
from tigertally.node.authority import Authority
from tigertally.node.kinds import all_kinds
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum.authority.admission import Settings, put_settings
from tigertally.quorum.authority.rows import load_chain
from tigertally.quorum.card import Role, sign_card
from tigertally.quorum.enrolment import make_pin, new_pin_state
from tigertally.quorum.member.audit import Audit
from tigertally.quorum.member.client import MemberClient, Party
from tigertally.quorum.member.join import JoiningClient
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore
from tigertally.transport.channel import Channel
from tigertally.transport.memory import MemoryNetwork

T = TypeVar("T")


class RigClock:
    """Virtual wall time, moved by hand; seconds of the network do not count."""

    def __init__(self) -> None:
        self.time = 1_800_000_000

    def now(self) -> int:
        return self.time


async def in_this_process(job: child.Job) -> child.Result:
    """The child's work without the process: virtual time knows none. Real ones: integration."""
    return child.work(job)


def put_memory(authority: Authority, **changes: Any) -> None:
    """Give an authority another memory than its own: what only a test does."""
    authority.writer.memory = replace(authority.writer.memory, **changes)


@dataclass(slots=True)
class Device:
    """One member's device: what would be a profile."""

    name: str
    role: Role
    key: SigningKey
    wrapping_key: PrivateKey
    store: SealedStore
    disk: MemoryStore
    device_secret: Secret
    party: Party


@dataclass
class DomainRig:
    """A domain with quorum `threshold`; see the head of this module."""

    threshold: int = 2
    unlock: int = 1
    seed: int = 7
    network: MemoryNetwork = field(init=False)
    clock: RigClock = field(init=False)
    devices: dict[str, Device] = field(default_factory=dict, init=False)
    authority: Authority = field(init=False)
    disk: MemoryStore = field(init=False)
    pin: str = field(init=False)

    def __post_init__(self) -> None:
        self.network = MemoryNetwork(seed=self.seed)
        self.clock = RigClock()
        self.randomness = SeededRandomness(f"rig/{self.seed}")
        self.key = SigningKey.generate(self.randomness)
        self.wrapping_key = PrivateKey.generate(self.randomness)
        self.disk = self.disk_for("authority")
        self.pin = make_pin(self.randomness)
        card = sign_card(
            self.key, self.wrapping_key.public, name=Name("authority"), role=Role.AUTHORITY
        )
        settings = Settings(
            card=card, threshold=self.threshold, unlock=self.unlock, url="https://authority"
        )
        with self.disk.transaction() as tx:
            put_settings(tx, settings, new_pin_state(self.pin))
        self.start_authority()

    def disk_for(self, name: str) -> MemoryStore:
        """The disk of a new party."""
        return MemoryStore()

    def channel_for(self, name: str) -> Channel:
        """A device's way to the authority."""
        return self.network.channel(name, "authority")

    def start_authority(self) -> None:
        """(Re)start the authority on its disk: it comes up locked."""
        self.services = AuthorityServices(run_child=in_this_process)
        self.authority = Authority(
            self.disk,
            key=self.key,
            wrapping_key=self.wrapping_key,
            services=self.services,
            clock=self.clock,
            randomness=self.randomness,
        )
        self.network.connect("authority", self.authority.handlers(), key=self.key.public)

    def snapshot(self) -> dict[str, Mapping[str, Mapping[bytes, bytes]]]:
        """All disks as they are now; committed tables are never changed, so this costs nothing."""
        disks = {name: device.disk for name, device in self.devices.items()}
        return {name: disk._tables for name, disk in {**disks, "": self.disk}.items()}

    def restore(self, snapshot: dict[str, Mapping[str, Mapping[bytes, bytes]]]) -> None:
        """Put all disks back; the authority stays as locked or unlocked as it is."""
        for name in [name for name in self.devices if name not in snapshot]:
            del self.devices[name]
        for name, device in self.devices.items():
            device.disk._tables = snapshot[name]
        self.disk._tables = snapshot[""]
        with self.disk.reading() as reader:
            put_memory(self.authority, chain=load_chain(reader, self.key.public))

    def authority_rows(self) -> dict[str, dict[bytes, bytes]]:
        """All rows of the authority but its audit log, opened (sealing twice gives other bytes)."""
        barrier = self.authority.writer.memory.barrier
        assert barrier is not None
        opened: dict[str, dict[bytes, bytes]] = {}
        for table, rows in self.disk._tables.items():
            if table.startswith("audit"):
                continue
            opened[table] = dict(rows)
            for key, raw in rows.items():
                with contextlib.suppress(Corrupt):
                    opened[table][key] = barrier.sealer.open(table, key, raw)
        return opened

    def run(self, scenario: Awaitable[T]) -> T:
        """Run a scenario in virtual time."""
        return self.network.run(scenario)  # type: ignore[arg-type]

    def device(self, name: str, role: Role) -> Device:
        """A new device, not yet a member."""
        key = SigningKey.generate(self.randomness)
        wrapping_key = PrivateKey.generate(self.randomness)
        disk = self.disk_for(name)
        store = SealedStore(disk, Secret.random(self.randomness, 32))
        self.network.connect(name, key=key.public)
        party = Party(
            key=key,
            wrapping_key=wrapping_key,
            store=store,
            channel=self.channel_for(name),
            clock=self.clock,
            randomness=self.randomness,
            kinds=all_kinds(),
        )
        secret = Secret.random(self.randomness, 32)
        device = Device(name, role, key, wrapping_key, store, disk, secret, party)
        self.devices[name] = device
        return device

    def holder(self, name: str) -> Holder:
        """A holder's client."""
        return Holder(self.devices[name].party)

    def audit(self, name: str) -> Audit:
        """A member's audit of the log."""
        return Audit(MemberClient(self.devices[name].party))

    def asker(self, name: str) -> Requester:
        """A requester's client."""
        return Requester(self.devices[name].party)

    def joining(self, device: Device) -> JoiningClient:
        """A device's enrolment."""
        return JoiningClient(
            device.party, name=Name(device.name), role=device.role, authority=self.key.public
        )

    async def form(self, count: int) -> list[str]:
        """Enrol holders h1 … h`count`; each approved by all, then by a quorum."""
        names = []
        for number in range(1, count + 1):
            name = f"h{number}"
            device = self.device(name, Role.HOLDER)
            joining = self.joining(device)
            if number == 1:
                await joining.with_pin(self.pin)
            else:
                await self.admit(joining, by=names)
            await self.holder(name).sync()
            names.append(name)
        return names

    async def admit(self, joining: JoiningClient, *, by: Sequence[str]) -> None:
        """Let a device in: it asks, holders approve until it is enough, it is enrolled."""
        asked = await joining.ask()
        for name in by:
            state = await self.approve(name, asked.proposal.hex())
            if state.status is Status.COMPLETE:
                break
        assert (await joining.ask()).state == "enrolled"

    async def requester(self, name: str) -> str:
        """Enrol a requester."""
        device = self.device(name, Role.REQUESTER)
        await self.admit(self.joining(device), by=self.holders())
        return name

    def holders(self) -> list[str]:
        """All holder devices."""
        return [d.name for d in self.devices.values() if d.role is Role.HOLDER]

    async def approve(self, name: str, id_: str) -> ProposalState:
        """A holder says yes."""
        client = self.holder(name)
        synced, _ = await client.sync()
        seen = await client.member.find(ProposalId.from_text(id_), synced)
        state, _ = await client.approve(seen, synced)
        return state

    async def propose_key(
        self,
        key: str,
        *,
        by: str = "h1",
        suite: Suite = Suite.PEDERSEN_ED25519,
        acks: int | None = None,
    ) -> ProposalState:
        """A holder proposes a key."""
        client = self.holder(by)
        synced, _ = await client.sync()
        body = Create(
            key=Name(key),
            suite=suite,
            acks=acks or len(synced.roster.holders),
            options=KeyOptions.of(),
        )
        return await client.dealings.create_key(body, synced)

    async def create(
        self, key: str, *, suite: Suite = Suite.PEDERSEN_ED25519, acks: int | None = None
    ) -> None:
        """Make a key: h1 proposes, the next holders approve, all sync."""
        state = await self.propose_key(key, suite=suite, acks=acks)
        for name in self.holders()[1:]:
            if state.status is not Status.PENDING:
                break
            state = await self.approve(name, proposal_id(state.proposal).hex())
        await self.child_work()
        for _ in range(2):
            for name in self.holders():
                await self.sync(name)

    async def sync(self, name: str) -> Report:
        """A holder syncs until nothing is left to do."""
        _, report = await self.holder(name).sync()
        return report

    async def child_work(self) -> None:
        """The authority's background work, once."""
        if not self.authority.locked:
            await self.services.work(self.authority)
            await self.services.tidy(self.authority)

    async def carry(self, asked: Asked, *, by: Sequence[str]) -> None:
        """The other holders approve what one has proposed."""
        state = await self.holder(by[0]).member.proposal(asked.id)
        for name in by:
            if state.status is Status.PENDING:
                state = await self.approve(name, asked.id.hex())
        assert state.status is Status.COMPLETE

    async def rotate(self, key: str, *, by: Sequence[str], acks: int | None = None) -> Asked:
        """Make the next version of a key; nobody has synced yet."""
        client = KeyProposals(self.holder(by[0]))
        synced, _ = await client.holder.sync()
        asked = await client.rotate_or_resume(Name(key), acks, synced)
        await self.carry(asked, by=by[1:])
        client.forget(asked)
        return asked

    async def destroy(self, key: str, *, by: Sequence[str], version: int | None = None) -> Asked:
        """Destroy a key; nobody has erased anything yet."""
        client = KeyProposals(self.holder(by[0]))
        synced, _ = await client.holder.sync()
        body = Destroy(key=Name(key), version=version)
        asked = await client.propose_or_resume(body, synced)
        await self.carry(asked, by=by[1:])
        client.forget(asked)
        return asked

    async def bring(self, requester: str, key: str, secret: bytes, **bends: Any) -> Progress:
        """The command that imports a secret, once; the same call again goes on."""
        device = self.devices[requester]
        client = Imports(Requester(device.party))
        synced = await client.member.sync()
        terms = {
            "key": Name(key),
            "suite": Suite.PEDERSEN_ED25519,
            "acks": len(synced.roster.holders),
            "options": KeyOptions.of(),
            "imported": True,
        }
        with Secret(secret) as raw:
            known = client.begin(Create(**{**terms, **bends}), raw, synced)
            return await client.advance(known, raw, synced, device.device_secret)

    async def import_secret(self, requester: str, key: str, secret: bytes) -> None:
        """A whole import: m holders approve, twice."""
        for by in (("h1", "h2"), ("h1", "h3")):
            asked = await self.bring(requester, key, secret)
            for name in by:
                await self.approve(name, asked.proposal.hex())
            for name in (*self.holders(), *self.holders()):
                await self.sync(name)
        assert (await self.bring(requester, key, secret)).state == "active"

    async def release(
        self,
        requester: str,
        key: str,
        *,
        by: Sequence[str],
        reason: str = "a test",
        form: Form = Form.PRIVATE,
        version: int = 1,
    ) -> Released:
        """A requester asks, holders approve and sync, the requester collects."""
        client = self.asker(requester)
        synced = await client.member.sync()
        ref = KeyRef(name=Name(key), version=version)
        request, state = await client.ask(ref, reason, form, synced)
        for name in by:
            await self.approve(name, proposal_id(state.proposal).hex())
        for name in by:
            await self.sync(name)
        await self.child_work()
        released = await client.collect(
            request, ref, form, synced, self.devices[requester].device_secret
        )
        if released is None:
            raise Unavailable("the key has not come")
        return released

    async def unlock_by(self, name: str) -> str:
        """A holder unlocks; the state afterwards."""
        reply = await Unlock(MemberClient(self.devices[name].party)).answer(wrong_passphrases=0)
        return reply.state
