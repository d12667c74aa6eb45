"""What is under way on a device: found again, given up at the right moment, in rows as ever."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import decode
from tigertally.base.errors import Refused
from tigertally.base.ids import Hash, Name, ProposalId
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client.imports import Imports, UnderWay
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.rows import Request
from tigertally.custody.messages.kinds import Create, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM, quorum_body
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.member.roster_changes import RosterChanges
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.table import Table, fixed, message

WHAT = Hash(bytes(32))
PLAIN = Table("test", fixed(Hash), message(Envelope))


def rows_of(rig: DomainRig, device: str, table: str) -> dict[bytes, bytes]:
    with rig.devices[device].store.reading() as reader:
        return dict(reader.scan(table))


@pytest.mark.requirement("C8")
def test_the_rows_are_those_of_every_version() -> None:
    """By their names and forms, not by today's tables: yesterday's device goes on with them."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        holder = rig.holder("h1")
        await rig.create("payroll")
        synced, _ = await holder.sync()
        body = Destroy(key=Name("payroll"), version=None)
        end = await KeyProposals(holder).propose_or_resume(body, synced)
        assert rows_of(rig, "h1", "holder-asked") == {end.what: end.id}

        await rig.requester("app")
        asker = rig.asker("app")
        ref = KeyRef(name=Name("payroll"), version=1)
        request, _ = await asker.ask(ref, "rows", Form.PRIVATE, await asker.member.sync())
        ((key, row),) = rows_of(rig, "app", "requester-request").items()
        assert (key, decode(Request, row)) == (request.what, request)

        wanted = Create(
            key=Name("wallet"),
            suite=Suite.PEDERSEN_ED25519,
            acks=3,
            options=KeyOptions.of(),
            imported=True,
        )
        with Secret(b"seed phrase") as secret:
            known = Imports(asker).begin(wanted, secret, await asker.member.sync())
        ((key, row),) = rows_of(rig, "app", "requester-import").items()
        assert (key, decode(UnderWay, row)) == (b"wallet", known)

        asked = await rig.joining(rig.device("zoe", Role.HOLDER)).ask()
        ((key, row),) = rows_of(rig, "zoe", "joining").items()
        assert (key, proposal_id(decode(Envelope, row))) == (b"proposal", asked.proposal)

        synced, _ = await holder.sync()
        id_ = await RosterChanges(holder.member).propose_or_resume(
            QUORUM, quorum_body(3, 3), synced
        )
        ((key, row),) = rows_of(rig, "h1", "holder-change").items()
        assert (len(key), proposal_id(decode(Envelope, row))) == (Hash.SIZE, id_)

    rig.run(day())


async def begun(rig: DomainRig) -> tuple[Ongoings[Hash, Envelope], Envelope]:
    """h1 of three has begun a change, with its approval in it."""
    await rig.form(3)
    holder = rig.holder("h1")
    synced, _ = await holder.sync()
    ongoings = Ongoings(holder.member, PLAIN)
    one = holder.member.new_proposal(QUORUM, quorum_body(3, 3), synced.roster)
    await ongoings.begin(WHAT, one, lambda: holder.member.propose_with_yes(one, synced))
    return ongoings, one


async def resumed(ongoings: Ongoings[Hash, Envelope], *, ends: bool = False) -> Status | None:
    known = await ongoings.resume(
        WHAT, lambda one: ongoings.state_of(proposal_id(one)), rejected="no", ends=ends
    )
    return None if known is None else known[1].status


@pytest.mark.requirement("C7")
@pytest.mark.parametrize("ends", [False, True])
def test_what_waits_or_is_complete_is_found_again(ends: bool) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        ongoings, one = await begun(rig)
        assert await resumed(ongoings, ends=ends) is Status.PENDING
        for name in ("h2", "h3"):
            await rig.approve(name, proposal_id(one).hex())
        assert await resumed(ongoings, ends=ends) is Status.COMPLETE
        assert ongoings.known(WHAT) == (None if ends else one)

    rig.run(day())


@pytest.mark.requirement("C7")
def test_what_holders_said_no_to_is_told_once_and_forgotten() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        ongoings, one = await begun(rig)
        holder = rig.holder("h2")
        synced, _ = await holder.sync()
        seen = await holder.member.find(ProposalId(proposal_id(one)), synced)
        state = await holder.reject(seen, synced, "too many")
        with pytest.raises(Refused, match=r"^no; .*too many"):
            await resumed(ongoings)
        assert await resumed(ongoings) is None
        ongoings.keep(WHAT, one)
        with pytest.raises(Refused, match=r"^it is rejected; .*too many"):
            ongoings.check_alive(WHAT, one, state, "it")
        assert ongoings.known(WHAT) is None

    rig.run(day())


@pytest.mark.requirement("C7")
def test_what_never_arrived_or_was_refused_is_forgotten() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        ongoings, _ = await begun(rig)
        member = rig.holder("h1").member
        roster = (await member.sync()).roster
        lost = member.new_proposal(QUORUM, quorum_body(2, 2), roster)
        ongoings.keep(WHAT, lost)
        assert await resumed(ongoings) is None
        assert ongoings.known(WHAT) is None
        before = dump(rig.disk), dump(rig.devices["h1"].disk)
        impossible = member.new_proposal(QUORUM, quorum_body(4, 4), roster)
        with pytest.raises(Refused):
            await ongoings.begin(WHAT, impossible, lambda: member.propose(impossible))
        assert (dump(rig.disk), dump(rig.devices["h1"].disk)) == before

    rig.run(day())
