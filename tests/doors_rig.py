"""A domain in mid-life with one untouched, good message for every door of its authority.

`Doors.knock` hands a message in as some party, on a state that is put back before every knock.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from domain_rig import DomainRig
from evil import dump, restore
from tigertally.base.errors import TigertallyError, Unavailable
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.rows import REPORTED
from tigertally.custody.messages import destroy, imports, lock, sync
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.reports import HELD
from tigertally.node.wiring import AuthorityServices
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.proposal import proposal_id
from tigertally.transport import virtual_time
from tigertally.transport.channel import Channel, Request

KEY = KeyRef(name=Name("payroll"), version=1)
# What each door takes.
TAKES: dict[str, type] = {str(door): door.question for door in AuthorityServices().doors()}
AUDIT = ("audit", "audit-nodes", "audit-head")
STRANGER = SigningKey.generate(SeededRandomness("mallory")).public


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A good message: who sends what where."""

    path: str
    sender: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """What came of a knock: the answer or the error, and the rows before and after."""

    answer: bytes
    error: BaseException | None
    before: dict[str, dict[bytes, bytes]]
    after: dict[str, dict[bytes, bytes]]

    @property
    def changed(self) -> set[str]:
        """The tables that are not as before."""
        tables = set(self.before) | set(self.after)
        return {t for t in tables if self.before.get(t) != self.after.get(t)}

    @property
    def audited(self) -> int:
        """How many audit entries were written."""
        return len(self.after.get("audit", {})) - len(self.before.get("audit", {}))


@dataclass
class _Recorder:
    """A channel that keeps what is sent, and holds back what goes to one path."""

    name: str
    inner: Channel
    kept: list[Message]
    held: str

    async def call(self, path: str, body: bytes, *, wait: float = 30.0) -> bytes:
        if path == self.held:
            self.kept.append(Message(path=path, sender=self.name, body=body))
            raise Unavailable("held back")
        return await self.inner.call(path, body, wait=wait)


class Doors:
    """The authority's doors, and good messages to knock with.

    Args:
        founded: a domain in mid-life; otherwise one that waits for its first holder.
    """

    def __init__(self, *, founded: bool = True) -> None:
        self.rig = DomainRig(threshold=2, seed=11)
        self.kept: list[Message] = []
        self.rig.run(self._day() if founded else self._first_day())
        authority = self.rig.authority
        self.rows = dump(self.rig.disk)
        self._inside = authority.writer.memory
        self._asked = dict(self.rig.services.lock._asked)
        self.handlers = authority.handlers()

    def key(self, name: str) -> VerifyKey:
        """A party's key; mallory is a stranger."""
        return STRANGER if name == "mallory" else self.rig.devices[name].key.public

    def knock(self, path: str, sender: str, body: bytes) -> Knock:
        """One request on the state of record."""
        authority = self.rig.authority
        restore(self.rig.disk, self.rows)
        authority.writer.memory = self._inside
        self.rig.services.lock._asked = dict(self._asked)
        request = Request(path=path, body=body, peer=self.key(sender))
        answer, error = b"", None
        try:
            answer = virtual_time.run(self.handlers[path](request))
        except TigertallyError as refused:
            error = refused
        return Knock(answer=answer, error=error, before=self.rows, after=dump(self.rig.disk))

    async def _held(self, name: str, path: str, step) -> None:
        """Keep what a party would send to this path."""
        device = self.rig.devices[name]
        party, count = device.party, len(self.kept)
        device.party = replace(party, channel=_Recorder(name, party.channel, self.kept, path))
        with suppress(Unavailable):
            await step()
        device.party = party
        assert len(self.kept) > count, f"nothing was sent to {path}"

    async def _first_day(self) -> None:
        rig = self.rig
        rig.device("h1", Role.HOLDER)
        await self._held(
            "h1",
            messages.FOUND,
            lambda: rig.joining(rig.devices["h1"]).with_pin(rig.pin),
        )

    async def _ask(self, reason: str):
        client = self.rig.asker("app")
        return await client.ask(KEY, reason, Form.PRIVATE, await client.member.sync())

    async def _create(self, key: str) -> None:
        client = self.rig.holder("h1")
        synced, _ = await client.sync()
        body = Create(
            key=Name(key),
            suite=Suite.PEDERSEN_ED25519,
            acks=3,
            options=KeyOptions.of(),
        )
        await client.dealings.create_key(body, synced)

    async def _day(self) -> None:
        rig = self.rig
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.create("doomed")
        await self._import()
        await self._release()
        second = proposal_id((await rig.propose_key("second")).proposal).hex()
        await rig.approve("h2", second)
        await self._held("h3", sync.ACKNOWLEDGE, lambda: rig.sync("h3"))
        await self._destroy()
        with rig.devices["h2"].store.transaction() as tx:
            tx.delete(REPORTED, b"told")  # as if its epochs had changed
        await self._held("h2", HELD, lambda: rig.sync("h2"))
        joiner = rig.device("joiner", Role.HOLDER)
        await self._held("joiner", messages.PROPOSE, lambda: rig.joining(joiner).ask())
        await self._held("h1", messages.PROPOSE, lambda: self._create("third"))
        await self._held("h2", sync.CUSTODY_SYNC, lambda: rig.sync("h2"))
        await self._held("h1", lock.UNLOCK_CHALLENGE, lambda: rig.unlock_by("h1"))
        await self._held("h1", lock.UNLOCK_ANSWER, lambda: rig.unlock_by("h1"))

    async def _import(self) -> None:
        """Everything but the last step: the sealed secret was not handed in."""
        rig = self.rig
        for by in (("h1", "h2"), ("h1", "h3")):
            for name in by:
                await rig.approve(name, (await self._bring()).proposal.hex())
            for _ in range(2):
                for name in rig.holders():
                    await rig.sync(name)
        await self._held("app", imports.IMPORT, self._bring)

    async def _bring(self):
        return await self.rig.bring("app", "wallet", b"a seed")

    async def _destroy(self) -> None:
        """h2 has erased, h3's erasure was not handed in; another destruction waits for a vote."""
        await self.rig.destroy("doomed", by=["h1", "h2"])
        await self._held("h3", destroy.ERASURE, lambda: self.rig.sync("h3"))
        client = KeyProposals(self.rig.holder("h1"))
        synced, _ = await client.holder.sync()
        await client.propose_or_resume(Destroy(key=KEY.name, version=None), synced)

    async def _release(self) -> None:
        """One done, one complete, one that waits for a vote, one that was never handed in."""
        rig = self.rig
        _, state = await self._ask("done")
        for name in ("h1", "h2"):
            await rig.approve(name, proposal_id(state.proposal).hex())
        await rig.sync("h1")
        _, state = await self._ask("complete")
        id_ = proposal_id(state.proposal).hex()
        await rig.approve("h2", id_)
        await self._held("h3", sync.DELIVER, lambda: rig.approve("h3", id_))
        _, state = await self._ask("open")
        id_ = proposal_id(state.proposal).hex()
        await self._held("h1", messages.VOTE, lambda: rig.approve("h1", id_))
        await self._held("app", messages.PROPOSE, lambda: self._ask("never handed in"))
