"""A key is destroyed: refused at once, erased everywhere, and by nobody's mere word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from change_rig import settle
from domain_rig import DomainRig
from evil import tell
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.ids import HolderIndex, Name
from tigertally.custody.client import rows
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.messages.destroy import ERASURE, EraseDue
from tigertally.custody.messages.kinds import DESTROY, Destroy, Form, KeyRef, Suite
from tigertally.custody.messages.sync import CUSTODY_SYNC, CustodySyncReply
from tigertally.custody.protocol.destroy import sign_erasure
from tigertally.quorum.approval import Approval, Verdict, sign_approval
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import Proposal, open_proposal, proposal_id, sign_proposal
from tigertally.quorum.tally import Tally

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X1")]

PAYROLL = KeyRef(name=Name("payroll"), version=1)
OPENING = ("custody-fresh", "custody-contribution")
ARRIVED = ("custody-fragment", "custody-rebuilt")


async def formed(rig: DomainRig, suite: Suite = Suite.PEDERSEN_ED25519, holders: int = 3) -> None:
    await rig.form(holders)
    await rig.requester("app")
    for key in ("payroll", "ledger"):
        await rig.create(key, suite=suite)


def held(rig: DomainRig, name: str, key: str = "payroll") -> int:
    """How many fragments of a key, of any version, are on a device; its wraps count too."""
    with rig.devices[name].store.reading() as reader:
        found = 0
        for one in rows.all_held(reader):
            pairs = zip(one.parsed().keys, one.payloads, strict=True)
            found += sum(bool(payload) for ref, payload in pairs if ref.name == key)
        wraps = [decode(rows.KeptWrap, row) for _, row in reader.scan(rows.WRAPS)]
        return found + sum(wrap.key.name == key for wrap in wraps)


async def info(rig: DomainRig, key: str = "payroll", version: int = 1):
    (found,) = [i for i in await rig.asker("app").keys(Name(key)) if i.ref.version == version]
    return found


def nothing_is_left(rig: DomainRig, *tables: str) -> None:
    """No row at the authority that opens, or waits for, a release or a reshare of the key."""
    found = rig.authority_rows()
    assert {table: found[table] for table in tables if found.get(table)} == {}


def audited(rig: DomainRig, kind: str) -> int:
    return sum(kind.encode() in row for row in rig.disk._tables["audit"].values())


@pytest.mark.parametrize("suite", list(Suite))
def test_everybody_erases_and_says_so_and_other_keys_stay(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig, suite)
        ledger = await rig.release("app", "ledger", by=["h1", "h2"])
        assert [held(rig, name) for name in rig.holders()] == [1, 1, 1]
        await rig.destroy("payroll", by=["h1", "h2"])
        assert (await info(rig)).state == "destroyed"
        with pytest.raises(Refused, match="destroyed"):
            await rig.release("app", "payroll", by=["h1", "h2"], reason="too late")
        with pytest.raises(Refused, match="destroyed"):
            await rig.asker("app").newest_version(Name("payroll"))
        await rig.sync("h1")
        await rig.sync("h2")
        assert [held(rig, name) for name in rig.holders()] == [0, 0, 1]
        shown = await info(rig)
        assert (shown.erased, shown.missing) == ((1, 2), (3,)), "h3 is away"
        rig.clock.time += 90 * 24 * 3600
        report = await rig.sync("h3")
        assert (report.erased, report.problems) == (1, [])
        assert (await info(rig)).missing == ()
        assert audited(rig, "custody.erased") == 3
        await settle(rig, rig.holders())
        assert [held(rig, name, "ledger") for name in rig.holders()] == [1, 1, 1]
        again = await rig.release("app", "ledger", by=["h2", "h3"], reason="again")
        assert again.secret.matches(ledger.secret)
        for name in ("payroll", "ledger"):
            with pytest.raises(Refused, match=r"already|is destroyed"):
                await rig.propose_key(name)
        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        with pytest.raises(Refused, match="destroyed"):
            await client.rotate_or_resume(Name("payroll"), None, synced)
        with pytest.raises(Refused, match="every holder has erased"):
            await rig.destroy("payroll", by=["h1", "h2"])

    rig.run(day())


def test_one_version_alone_or_all_of_them() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        await rig.rotate("payroll", by=["h1", "h2"])
        await settle(rig, rig.holders())
        second = await rig.release("app", "payroll", by=["h1", "h2"], version=2)
        await rig.destroy("payroll", by=["h1", "h2"], version=1)
        await settle(rig, rig.holders())
        assert [(await info(rig, version=v)).state for v in (1, 2)] == ["destroyed", "active"]
        again = await rig.release("app", "payroll", by=["h2", "h3"], version=2, reason="still")
        assert again.secret.matches(second.secret)
        await rig.rotate("payroll", by=["h1", "h2"])
        await rig.destroy("payroll", by=["h2", "h3"])  # version 3 has not been taken by anybody
        await settle(rig, rig.holders())
        assert {(await info(rig, version=v)).state for v in (1, 2, 3)} == {"destroyed"}
        assert [held(rig, name) for name in rig.holders()] == [0, 0, 0]

    rig.run(day())


@pytest.mark.parametrize("suite", list(Suite))
@pytest.mark.parametrize("when", ["asked", "approved once", "complete", "one fragment there"])
def test_releases_under_way_become_void(suite: Suite, when: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig, suite)
        client = rig.asker("app")
        synced = await client.member.sync()
        request, state = await client.ask(PAYROLL, "in time?", Form.PRIVATE, synced)
        id_ = proposal_id(state.proposal).hex()
        if when != "asked":
            await rig.approve("h1", id_)
        if when in ("complete", "one fragment there"):
            await rig.approve("h2", id_)  # completes it: h2's fragment has left, h1's has not
        if when == "complete":
            await rig.approve("h3", id_)
        await rig.destroy("payroll", by=["h1", "h3"])
        for name in rig.holders():
            await rig.sync(name)
        await rig.child_work()
        with pytest.raises(Refused, match="void"):
            await client.collect(
                request, PAYROLL, Form.PRIVATE, synced, rig.devices["app"].device_secret
            )
        assert list(rig.devices["app"].disk._tables[rows.REQUESTS]) == [], "and its key with it"
        nothing_is_left(rig, *OPENING, *ARRIVED)
        assert [held(rig, name) for name in rig.holders()] == [0, 0, 0]

    rig.run(day())


@pytest.mark.parametrize(
    ("suite", "contacts"),
    [(Suite.PEDERSEN_ED25519, n) for n in (0, 2, 3, 4, 6)]
    + [(Suite.SHAMIR_GF256, n) for n in (2, 5)],
)
def test_a_destroy_racing_a_reshare_has_one_outcome(suite: Suite, contacts: int) -> None:
    """A holder joins; after so many contacts of the reshare the key is destroyed."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig, suite)
        ledger = await rig.release("app", "ledger", by=["h1", "h2"])
        joiner = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(joiner), by=["h1", "h2"])
        for number in range(contacts):
            await rig.sync(rig.holders()[number % 4])
            await rig.child_work()
        await rig.destroy("payroll", by=["h3", "h2"])
        await settle(rig, ["h4", "h1", "h2", "h3"])
        shown = await info(rig)
        assert (shown.state, shown.missing) == ("destroyed", ())
        assert [held(rig, name) for name in rig.holders()] == [0] * 4
        assert [held(rig, name, "ledger") for name in rig.holders()] == [1] * 4
        other = await info(rig, "ledger")
        assert (other.state, other.epoch) == ("active", 2)
        nothing_is_left(rig, *OPENING)
        again = await rig.release("app", "ledger", by=["h4", "h3"], reason="again")
        assert again.secret.matches(ledger.secret)

    rig.run(day())


def test_a_key_that_is_being_made_and_a_holder_that_joins_later() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        state = await rig.propose_key("short")
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.sync("h1")
        assert held(rig, "h1", "short") == 1
        await rig.destroy("short", by=["h2", "h3"])
        joiner = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(joiner), by=["h1", "h2"])
        await settle(rig, rig.holders())
        shown = await info(rig, "short")
        assert (shown.state, shown.erased, shown.missing) == ("destroyed", (1, 2, 3), ())
        assert [held(rig, name, "short") for name in rig.holders()] == [0] * 4

    rig.run(day())


async def a_tally(rig: DomainRig, by: list[str], **bends: object) -> Tally:
    """A destruction that these devices sign, at the authority's bidding alone."""
    chain = rig.authority.chain
    assert chain is not None
    roster = bends.pop("roster", chain.current)
    devices = [rig.devices[name] for name in by]
    proposal = sign_proposal(
        devices[0].key,
        replace(
            Proposal(
                kind=DESTROY,
                body=Destroy(key=Name("payroll"), version=None).to_body(),
                domain=roster.domain,
                electorate=roster.electorate,
                predecessor=None,
                nonce=decode(Proposal, (await template(rig)).body).nonce,
                proposer=devices[0].key.public,
                created=rig.clock.now() - 10,
                expires=rig.clock.now() + 3600,
            ),
            **bends,
        ),
    )
    approvals = tuple(
        sign_approval(
            device.key,
            Approval(
                proposal=proposal_id(proposal),
                verdict=Verdict.APPROVE,
                roster=roster.hash,
                holder=roster.holder_of(device.key.public).index,
                checkpoint="",
                attachment=None,
                reason="",
                time=rig.clock.now() - 5,
            ),
        )
        for device in devices
    )
    return Tally(proposal=proposal, approvals=approvals)


async def template(rig: DomainRig):
    client = rig.holder("h1")
    return client.member.new_proposal(DESTROY, b"\xa0", client.member.chain().current)


def show(rig: DomainRig, tally: Tally) -> None:
    """The relay shows this tally to everybody who syncs."""

    def rewrite(_: str, raw: bytes) -> bytes:
        reply = decode(CustodySyncReply, raw)
        return encode(replace(reply, erasures=(EraseDue(tally=tally),)))

    tell(rig, CUSTODY_SYNC, rewrite)


LIES = ["no approval", "one too few", "one twice", "another's", "a release", "a rejection", "bent"]


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("lie", LIES)
def test_a_relay_without_a_tally_makes_nobody_erase(lie: str) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await formed(rig, holders=5)
        good = await a_tally(rig, ["h1", "h2", "h3"])
        one, two, three = good.approvals
        bent = replace(one, body=one.body[:-1] + bytes([one.body[-1] ^ 1]))
        other = await a_tally(rig, ["h1", "h2", "h3"], kind=Name("custody.rotate"))
        client = rig.asker("app")
        _, asked = await client.ask(PAYROLL, "a reason", Form.FINAL, await client.member.sync())
        for name in ("h1", "h2", "h3"):
            release = await rig.approve(name, proposal_id(asked.proposal).hex())
        no = decode(Approval, three.body)
        rejection = sign_approval(rig.devices["h3"].key, replace(no, verdict=Verdict.REJECT))
        lies = {
            "no approval": replace(good, approvals=()),
            "one too few": replace(good, approvals=(one, two)),
            "one twice": replace(good, approvals=(one, two, two)),
            "another's": replace(good, approvals=other.approvals),
            "a release": Tally(proposal=release.proposal, approvals=release.approvals),
            "a rejection": replace(good, approvals=(one, two, rejection)),
            "bent": replace(good, approvals=(bent, two, three)),
        }
        show(rig, lies[lie])
        for name in rig.holders():
            report = await rig.sync(name)
            assert report.problems
            assert report.erased == 0
            assert not set(report.culprits) & set(rig.holders())
        assert [held(rig, name) >= 1 for name in rig.holders()] == [True] * 5
        with rig.devices["h1"].store.reading() as reader:
            assert not rows.destroyed(reader, PAYROLL)
        show(rig, good)  # the positive control: m real approvals
        for name in rig.holders():
            await rig.sync(name)
        assert [held(rig, name) for name in rig.holders()] == [0] * 5

    rig.run(day())


@pytest.mark.requirement("X5")
@pytest.mark.requirement("C10")
def test_removed_holders_cannot_sign_a_destruction_afterwards() -> None:
    """Two removed devices, m = 2, and a crooked authority: dated back to when they were holders."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig, holders=4)
        chain = rig.authority.chain
        assert chain is not None
        old, then = chain.current, rig.clock.time
        rig.clock.time += 3600
        for target, by in (("h4", ["h1", "h2"]), ("h3", ["h1", "h2"])):
            proposer = rig.holder(by[0])
            synced, _ = await proposer.sync()
            proposal = proposer.member.new_proposal(
                REMOVE, remove_body(Name(target)), synced.roster
            )
            await proposer.member.propose_with_yes(proposal, synced)
            await rig.approve(by[1], proposal_id(proposal).hex())
            await settle(rig, ["h1", "h2"])
        dated = await a_tally(rig, ["h3", "h4"], roster=old, created=then, expires=then + 3600)
        approvals = []
        for name, envelope in zip(("h3", "h4"), dated.approvals, strict=True):
            said = replace(decode(Approval, envelope.body), time=then + 1)
            approvals.append(sign_approval(rig.devices[name].key, said))
        show(rig, replace(dated, approvals=tuple(approvals)))
        for name in ("h1", "h2"):
            report = await rig.sync(name)
            assert any("still holders" in problem for problem in report.problems)
            assert held(rig, name) == 1

    rig.run(day())


def test_a_removal_after_the_tally_needs_a_new_one_for_whoever_was_away() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig, holders=4)
        await rig.destroy("payroll", by=["h1", "h4"])
        proposer = rig.holder("h2")
        synced = await proposer.member.sync()  # h2 and h3 do not come to erase before the change
        proposal = proposer.member.new_proposal(REMOVE, remove_body(Name("h4")), synced.roster)
        await proposer.member.propose_with_yes(proposal, synced)
        third = rig.holder("h3")
        seen = await third.member.find(proposal_id(proposal), await third.member.sync())
        await third.approve(seen, await third.member.sync())
        report = await rig.sync("h3")
        assert any("proposed again" in problem for problem in report.problems)
        assert held(rig, "h3") == 1
        assert (await info(rig)).missing == (1, 2, 3)
        await rig.destroy("payroll", by=["h2", "h3"])
        await settle(rig, ["h1", "h2", "h3"])
        assert [held(rig, name) for name in ("h1", "h2", "h3")] == [0, 0, 0]
        assert (await info(rig)).missing == ()
        assert (await rig.sync("h3")).problems == []

    rig.run(day())


@pytest.mark.requirement("X5")
def test_nothing_brings_a_destroyed_key_back() -> None:
    """The authority's disk from before is put back: what it shows then is refused by each device
    that has erased, and it gets no second key of that name."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        state = await rig.propose_key("short", acks=2)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        kept: dict[str, bytes] = {}

        def keep(caller: str, raw: bytes) -> bytes:
            kept.setdefault(caller, raw)
            return raw

        tell(rig, CUSTODY_SYNC, keep)
        await rig.sync("h1")
        await rig.sync("h2")
        rig.network.equivocate("authority", lambda caller, path, answer: answer)
        await rig.destroy("short", by=["h1", "h3"])
        await rig.sync("h1")
        assert held(rig, "h1", "short") == 0
        openings = decode(CustodySyncReply, kept["h1"]).openings
        assert openings

        def again(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(CustodySyncReply, raw), openings=openings))

        tell(rig, CUSTODY_SYNC, again)
        report = await rig.sync("h1")
        assert any("destroyed" in problem for problem in report.problems)
        assert held(rig, "h1", "short") == 0

    rig.run(day())


def test_an_erasure_is_believed_of_its_own_holder_alone() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        asked = await rig.destroy("payroll", by=["h1", "h2"])
        roster = rig.authority.chain.current
        now = rig.clock.now()
        made = sign_erasure(
            rig.devices["h1"].key, roster, asked.id, HolderIndex(3), now=now
        )  # h1 signs for h3
        before = rig.authority_rows()
        with pytest.raises(Refused):
            await rig.devices["h1"].party.channel.call(ERASURE, encode(made))
        right = sign_erasure(rig.devices["h3"].key, roster, asked.id, HolderIndex(3), now=now)
        with pytest.raises(Refused):
            await rig.devices["h1"].party.channel.call(ERASURE, encode(right))
        assert rig.authority_rows() == before
        assert (await info(rig)).erased == (2,), "whose yes completed it"

    rig.run(day())


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_device_cut_off_between_erasing_and_saying_so_says_so_again(lost: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        await rig.destroy("payroll", by=["h1", "h2"])
        before = rig.snapshot()[""]

        def cut(_: str, raw: bytes) -> bytes:
            raise Unavailable("lost on the way")

        tell(rig, ERASURE, cut)
        with pytest.raises(Unavailable):
            await rig.sync("h3")
        assert held(rig, "h3") == 0
        if lost == "request":
            rig.restore({**rig.snapshot(), "": before})
        tell(rig, ERASURE, lambda _, raw: raw)
        await rig.sync("h3")
        await rig.sync("h1")
        shown = await info(rig)
        assert (shown.erased, shown.missing) == ((1, 2, 3), ())
        assert audited(rig, "custody.erased") == 3

    rig.run(day())


def test_rejected_or_open_destructions_change_nothing() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await formed(rig)
        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        body = Destroy(key=Name("payroll"), version=None)
        asked = await client.propose_or_resume(body, synced)
        assert await client.state_of(asked) == "waiting"
        assert await client.propose_or_resume(body, synced) == asked
        await settle(rig, rig.holders())
        for name in ("h2", "h3"):
            other = rig.holder(name)
            synced, _ = await other.sync()
            seen = await other.member.find(asked.id, synced)
            assert "ALL VERSIONS" in seen.words
            await other.reject(seen, synced, "no")
        with pytest.raises(Refused, match="rejected"):
            await client.propose_or_resume(body, synced)
        assert (await client.member.proposal(asked.id)).status is Status.REJECTED
        assert [held(rig, name) for name in rig.holders()] == [1, 1, 1]
        assert (await info(rig)).state == "active"
        with pytest.raises(Refused, match="no such key"):
            await rig.destroy("payroll", by=["h1", "h2"], version=2)
        requester = rig.asker("app")
        proposal = requester.member.new_proposal(DESTROY, body.to_body(), synced.roster)
        assert open_proposal(proposal).kind == DESTROY
        with pytest.raises(Refused, match="only a holder"):
            await requester.member.propose(proposal)

    rig.run(day())
