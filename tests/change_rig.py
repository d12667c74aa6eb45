"""Changes of the roster in a domain of `domain_rig`: who proposes, who agrees, who comes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custody_thief import held_by
from domain_rig import DomainRig
from tigertally.base.ids import Name
from tigertally.custody.client.report import Report
from tigertally.custody.client.requester import Released
from tigertally.custody.client.rows import Request
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.custody.messages.sync import KeyInfo
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM, REMOVE, quorum_body, remove_body
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id


async def change(rig: DomainRig, kind: Name, body: bytes, *, by: Sequence[str]) -> None:
    """The first of `by` proposes, the others agree until it is enough; nobody syncs after it."""
    proposer = rig.holder(by[0])
    synced, _ = await proposer.sync()
    proposal = proposer.member.new_proposal(kind, body, synced.roster)
    state = await proposer.member.propose_with_yes(proposal, synced)
    for name in by[1:]:
        if state.status is not Status.PENDING:
            break
        state = await rig.approve(name, proposal_id(proposal).hex())
    assert state.status is Status.COMPLETE


async def remove(rig: DomainRig, name: str, *, by: Sequence[str], acks: int = 0) -> None:
    """Vote a holder out."""
    await change(rig, REMOVE, remove_body(Name(name), acks=acks), by=by)


async def set_quorum(rig: DomainRig, threshold: int, *, by: Sequence[str], acks: int = 0) -> None:
    """Another quorum."""
    await change(rig, QUORUM, quorum_body(threshold, 1, acks=acks), by=by)


async def join(rig: DomainRig, name: str, *, by: Sequence[str]) -> None:
    """Let a new device in."""
    await rig.admit(rig.joining(rig.device(name, Role.HOLDER)), by=by)


async def settle(rig: DomainRig, names: Sequence[str], rounds: int = 4) -> list[Report]:
    """Contacts until nothing is left to do; what the devices reported."""
    reports = []
    for _ in range(rounds):
        reports += [await rig.sync(name) for name in names]
        await rig.child_work()
    return reports


async def info_of(rig: DomainRig, key: str, asker: str = "app") -> KeyInfo:
    """A key as its requester sees it."""
    (info,) = await rig.asker(asker).keys(Name(key))
    return info


def epochs(rig: DomainRig, name: str) -> list[HeldEpoch]:
    """What a device holds, oldest first."""
    return sorted(held_by(rig, name), key=lambda held: held.parsed().order)


def one_epoch(rig: DomainRig, names: Sequence[str]) -> None:
    """Everybody holds one certified epoch, and all the same."""
    found = [epochs(rig, name) for name in names]
    assert [len(one) for one in found] == [1] * len(names)
    assert len({one.parsed().hash for held in found for one in held}) == 1
    assert all(one.certificate is not None for held in found for one in held)


@dataclass
class Asking:
    """A request, step by step."""

    rig: DomainRig
    key: str
    request: Request
    who: str = "app"

    @classmethod
    async def make(
        cls, rig: DomainRig, key: str = "payroll", *, reason: str = "a race", who: str = "app"
    ) -> Asking:
        client = rig.asker(who)
        ref = KeyRef(name=Name(key), version=1)
        request, _ = await client.ask(ref, reason, Form.PRIVATE, await client.member.sync())
        return cls(rig, key, request, who)

    @property
    def id(self) -> str:
        return proposal_id(self.request.proposal).hex()

    async def approved(self, *names: str) -> ProposalState:
        for name in names:
            state = await self.rig.approve(name, self.id)
        return state

    async def collect(self) -> Released | None:
        client = self.rig.asker(self.who)
        ref = KeyRef(name=Name(self.key), version=1)
        secret = self.rig.devices[self.who].device_secret
        return await client.collect(
            self.request, ref, Form.PRIVATE, await client.member.sync(), secret
        )

    async def repeat(self) -> None:
        client = self.rig.asker(self.who)
        self.request, _ = await client.repeat(self.request, await client.member.sync())
