"""Rules that devices keep by themselves: an authority that breaks them gets nothing signed or sent.

`docs/threat-model.md` lists all rules of the authority, and what it gains where only it keeps one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest import mock

import pytest

from change_rig import join, remove, settle
from custody_thief import held_by
from domain_rig import DomainRig
from evil import dump, lead, twin
from restore_rig import told
from tigertally.base.clock import ManualClock
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused, Unavailable
from tigertally.base.ids import HolderIndex, Name, ProposalId
from tigertally.base.limits import CLOCK_SKEW, MAX_PROPOSAL_LIFETIME, PROPOSAL_LIFETIME
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.release import Releases
from tigertally.custody.client.report import Report
from tigertally.custody.client.requester import Requester
from tigertally.custody.client.unattended import GRANTED, answer_by_rules
from tigertally.custody.messages.destroy import EraseDue
from tigertally.custody.messages.kinds import (
    CREATE,
    DESTROY,
    RELEASE,
    ROTATE,
    Create,
    Destroy,
    Form,
    KeyRef,
    Making,
    Rotate,
    Suite,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.rules import parse_rules
from tigertally.custody.service.rows import FRAGMENTS
from tigertally.custody.state.holder import KeptWrap
from tigertally.quorum.approval import Verdict
from tigertally.quorum.card import Role
from tigertally.quorum.chain import Chain, parse_chain
from tigertally.quorum.changes import JOIN, REMOVE, REQUESTER_JOIN, REQUESTER_REMOVE, remove_body
from tigertally.quorum.member.join import JoiningClient
from tigertally.quorum.member.memory import VOTES, Vote, remember_vote
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import Proposal, proposal_id
from tigertally.quorum.tally import Tally

YEAR = 365 * 24 * 3600
IN_2100 = 4_102_444_800


@contextmanager
def careless(rig: DomainRig, *kinds: str) -> Iterator[None]:
    """An authority that checks nothing of what is proposed: no rule, no date."""
    executors = rig.services.quorum._executors
    with ExitStack() as stack:
        for executor in {id(executors[kind]): executors[kind] for kind in kinds}.values():
            stack.enter_context(mock.patch.object(executor, "check"))
        stack.enter_context(mock.patch("tigertally.quorum.pending.check_open"))
        stack.enter_context(mock.patch("tigertally.quorum.authority.proposals.check_formed"))
        yield


@contextmanager
def of_before() -> Iterator[None]:
    """Devices without the rules of this page: dishonest ones, or of an older version."""
    with ExitStack() as stack:
        for where in (
            "tigertally.quorum.member.client.check_dated",
            "tigertally.custody.client.holder.check_open",
            "tigertally.quorum.member.memory.check_formed",
            "tigertally.custody.client.dealing.check_may_make",
        ):
            stack.enter_context(mock.patch(where))
        yield


async def refuses(rig: DomainRig, name: str, id_: ProposalId, why: str) -> None:
    """A holder's device does not say yes, keeps nothing, and nothing has changed elsewhere."""
    client = rig.holder(name)
    synced, _ = await client.sync()
    seen = await client.member.find(id_, synced)
    disks = dump(rig.disk), dump(rig.devices[name].disk)
    with pytest.raises((Refused, Unavailable), match=why):
        await client.approve(seen, synced)
    assert (dump(rig.disk), dump(rig.devices[name].disk)) == disks


# --- dates -----------------------------------------------------------------------------------


async def dated_ahead(rig: DomainRig) -> ProposalId:
    """A requester in the year 2100 asks for a key; the authority does not mind."""
    device = rig.devices["app"]
    client = Requester(replace(device.party, clock=ManualClock(IN_2100)))
    synced = await client.member.sync()
    ref = KeyRef(name=Name("payroll"), version=1)
    with careless(rig, RELEASE):
        request, _ = await client.ask(ref, "later", Form.PRIVATE, synced)
    return proposal_id(request.proposal)


@pytest.mark.requirement("C4")
def test_nobody_says_yes_to_a_proposal_of_the_future() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        id_ = await dated_ahead(rig)
        with careless(rig, RELEASE):
            both = "this device says 2027-01-15T.* made at 2100-01-01T"
            await refuses(rig, "h1", id_, f"dated in the future: {both}")
            client = rig.holder("h2")
            seen = await client.member.find(id_, await client.member.sync())
            state = await client.reject(seen, await client.member.sync(), "wrong year")
            assert len(state.rejections) == 1  # one may say no
        crook = KeyProposals(Holder(replace(rig.devices["h1"].party, clock=ManualClock(IN_2100))))
        with careless(rig, CREATE, REMOVE), of_before():
            synced = await crook.member.sync()
            key = await crook.holder.dealings.create_key(making("ledger"), synced)
            removal = crook.member.new_proposal(REMOVE, remove_body(Name("h3")), synced.roster)
            await crook.member.propose_with_yes(removal, synced)
        for proposal in (key.proposal, removal):
            await refuses(rig, "h2", proposal_id(proposal), "dated in the future")
            with pytest.raises(Refused, match="dated in the future"):
                rig.holder("h2").member.new_verdict(proposal, synced, Verdict.APPROVE)

    rig.run(day())


@pytest.mark.requirement("C7")
def test_no_rule_allows_a_proposal_of_the_future_or_counts_it() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await rig.create("payroll")
        await dated_ahead(rig)
        client = Holder(rig.devices["h1"].party)
        synced, report = await client.sync()
        rules = parse_rules("[[rule]]\nkey = '*'\nrequester = 'app'\nreason = '.*'\nper_day = 2")
        (one,) = await answer_by_rules(client, synced, rules, report)
        assert (one.approved, one.decision.rule, report.problems) == (False, None, [])
        assert "dated in the future" in one.decision.why
        assert not rig.devices["h1"].disk._tables.get(GRANTED)

    rig.run(day())


@pytest.mark.requirement("C4")
def test_no_fragment_leaves_ten_years_later() -> None:
    """Devices of before had approved it: what they send for now follows their own clocks."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        id_ = await dated_ahead(rig)
        with careless(rig, RELEASE):
            with of_before(), mock.patch.object(Releases, "send"):
                for name in ("h1", "h2"):
                    state = await rig.approve(name, str(id_))
            assert state.status is Status.COMPLETE
            rig.clock.time += 10 * YEAR
            for name in ("h1", "h2"):
                report = await rig.sync(name)
                assert report.sent == 0
                assert any("dated in the future" in line for line in report.problems)
            assert not rig.disk._tables.get(FRAGMENTS)
            rig.clock.time = IN_2100  # the control: the rule is about dates, nothing else
            assert (await rig.sync("h1")).sent == 1
            assert rig.disk._tables.get(FRAGMENTS)

    rig.run(day())


def test_a_tally_of_the_past_that_was_dated_ahead_is_history() -> None:
    """Rosters and tallies that devices of before have made verify as they did."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        device = rig.device("app", Role.REQUESTER)
        late = replace(device.party, clock=ManualClock(IN_2100))
        joining = JoiningClient(
            late, name=Name("app"), role=Role.REQUESTER, authority=rig.key.public
        )
        with careless(rig, REQUESTER_JOIN), of_before():
            await rig.admit(joining, by=["h1", "h2"])
        for name in rig.holders():
            assert (await rig.sync(name)).problems == []
        (*_, made) = await rig.holder("h3").member.tallies(IN_2100)
        assert made.proposal.created == IN_2100
        chain = rig.authority.chain
        assert parse_chain(chain.to_bytes(), rig.key.public).current == chain.current

    rig.run(day())


def test_votes_and_wraps_end_by_this_devices_clock() -> None:
    """A proposal may be dated five minutes ahead and live for thirty days: not what we keep."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        now, ahead = rig.clock.time, ManualClock(rig.clock.time + 250)
        asker = Requester(replace(rig.devices["app"].party, clock=ahead))
        with mock.patch("tigertally.quorum.member.client.PROPOSAL_LIFETIME", MAX_PROPOSAL_LIFETIME):
            lifetime = {"lifetime": MAX_PROPOSAL_LIFETIME}
            synced = await asker.member.sync()
            real = asker.member.new_proposal
            with mock.patch.object(asker.member, "new_proposal", lambda *a: real(*a, **lifetime)):
                ref = KeyRef(name=Name("payroll"), version=1)
                request, _ = await asker.ask(ref, "slow", Form.PRIVATE, synced)
        await rig.approve("h1", proposal_id(request.proposal).hex())
        with rig.devices["h1"].store.reading() as reader:
            (wrap,) = [decode(KeptWrap, row) for _, row in reader.scan(device_rows.WRAPS)]
        assert wrap.expires == now + MAX_PROPOSAL_LIFETIME
        removal = rig.holder("h1").member.new_proposal(
            REMOVE, remove_body(Name("h3")), synced.roster, lifetime=MAX_PROPOSAL_LIFETIME
        )
        rig.clock.time -= 250  # a device that is behind keeps its vote no longer for that
        client = rig.holder("h1")
        await client.member.propose_with_yes(removal, synced)
        with rig.devices["h1"].store.reading() as reader:
            vote = decode(Vote, reader.get(VOTES, synced.roster.hash) or b"")
        assert vote.expires == rig.clock.time + MAX_PROPOSAL_LIFETIME

    rig.run(day())


def test_a_vote_given_by_a_clock_that_was_ahead_does_not_bind_for_decades() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        client = rig.holder("h1")
        synced = await client.member.sync()
        others = [
            client.member.new_proposal(REMOVE, remove_body(Name(name)), synced.roster)
            for name in ("h3", "h4")
        ]
        with rig.devices["h1"].store.transaction() as tx:
            proposal = decode(Proposal, others[0].body)
            remember_vote(tx, proposal, proposal_id(others[0]), now=rig.clock.time)
        with pytest.raises(Refused, match="has approved another change"):
            client.member.new_verdict(others[1], synced, Verdict.APPROVE)
        with rig.devices["h1"].store.transaction() as tx:
            vote = Vote(proposal=proposal_id(others[0]), expires=IN_2100)
            tx.put(VOTES, synced.roster.hash, encode(vote))
        client.member.new_verdict(others[1], synced, Verdict.APPROVE)

    rig.run(day())


@pytest.mark.parametrize("held_back", [True, False])
def test_a_change_that_was_held_back_beyond_its_end_is_told(held_back: bool) -> None:
    """It stands, since enough holders signed it; but no device takes it without a word."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.sync("h3")
        twin(rig)  # where the change is made, and h3 does not look
        rig.device("app", Role.REQUESTER)
        lead(rig, "twin", "h1", "h2", "app")
        await rig.admit(rig.joining(rig.devices["app"]), by=["h1", "h2"])
        rig.clock.time += PROPOSAL_LIFETIME + 2 * CLOCK_SKEW
        if held_back:
            await rig.sync("h3")  # its proposal has ended, and nothing of it is shown
            rig.clock.time += 3600
        lead(rig, "twin", "h3")
        synced = await rig.holder("h3").member.sync()
        assert synced.roster.requesters[0].name == "app"
        said = told(rig, "h3")
        assert len(said) == held_back  # one that was away all the time has nothing to tell
        assert all("the authority held it back, or a clock was wrong" in line for line in said)
        await rig.holder("h3").member.sync()
        assert told(rig, "h3") == said

    rig.run(day())


# --- what can be carried out -----------------------------------------------------------------


async def proposed(rig: DomainRig, body: Making, *, by: str = "h1") -> ProposalId:
    """A dishonest holder proposes to make a key; the authority takes everything."""
    client = rig.holder(by)
    with of_before():
        synced, _ = await client.sync()
        state = await client.dealings.create_key(body, synced)
    return proposal_id(state.proposal)


def making(key: str, *, acks: int = 3, requesters: tuple[str, ...] = ()) -> Create:
    named = tuple(Name(one) for one in requesters)
    return Create(
        key=Name(key),
        suite=Suite.PEDERSEN_ED25519,
        acks=acks,
        options=KeyOptions.of(requesters=named, unattended=False),
    )


@pytest.mark.requirement("C4")
def test_no_key_is_made_under_a_name_that_is_taken_or_for_somebody_who_is_not_there() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        with careless(rig, CREATE):
            id_ = await proposed(rig, making("payroll"))
            await refuses(rig, "h2", id_, "there is a key payroll version 1 already")
            id_ = await proposed(rig, making("ledger", requesters=("ghost",)))
            await refuses(rig, "h2", id_, "no requester is called ghost")
            id_ = await proposed(rig, making("few", acks=1))
            await refuses(rig, "h2", id_, "acks is 2")

    rig.run(day())


def test_a_name_whose_making_was_given_up_is_free_on_devices_too() -> None:
    """h3 took a first attempt that was never certified: it says yes to the next one."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        state = await rig.propose_key("payroll", acks=4)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.sync("h3")
        await remove(rig, "h4", by=["h1", "h2"])
        state = await rig.propose_key("payroll", acks=3, by="h1")
        assert (await rig.approve("h3", proposal_id(state.proposal).hex())).status is (
            Status.COMPLETE
        )

    rig.run(day())


def test_a_yes_that_comes_late_to_a_key_is_no_error() -> None:
    """The device has its fragment by then; its yes changes nothing, and neither does asking."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        state = await rig.propose_key("payroll")
        id_ = proposal_id(state.proposal)
        await rig.approve("h2", str(id_))
        await settle(rig, rig.holders(), 2)
        before = dump(rig.disk)["audit"]
        late = await rig.approve("h3", str(id_))
        assert (late.status, len(late.approvals)) == (Status.COMPLETE, 2)
        assert dump(rig.disk)["audit"] == before

    rig.run(day())


@pytest.mark.requirement("C9")
def test_no_version_is_made_twice_and_no_import_rotated() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.import_secret("app", "wallet", b"seed")
        known = making("payroll")
        await rig.rotate("payroll", by=["h1", "h2"])
        await settle(rig, rig.holders(), 2)
        with careless(rig, ROTATE):
            for key, version, why in (
                ("payroll", 2, "there is a key payroll version 2 already"),
                ("wallet", 2, "wallet version 1 was imported"),
            ):
                body = Rotate(
                    key=Name(key),
                    version=version,
                    suite=known.suite,
                    acks=3,
                    options=known.options,
                )
                await refuses(rig, "h2", await proposed(rig, body), why)

    rig.run(day())


@pytest.mark.requirement("C4")
def test_a_domain_that_is_forming_makes_nothing() -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(2)
        with careless(rig, REQUESTER_REMOVE, REMOVE):
            client = rig.holder("h1")
            synced = await client.member.sync()
            removal = client.member.new_proposal(REMOVE, remove_body(Name("h2")), synced.roster)
            with of_before(), pytest.raises(Refused, match="fewer than"):
                await client.member.propose_with_yes(removal, synced)
            with pytest.raises(Unavailable, match="forming: 2 of 3"):
                await client.member.propose_with_yes(removal, synced)
        with careless(rig, DESTROY):
            body = Destroy(key=Name("payroll"), version=None).to_body()
            proposal = client.member.new_proposal(DESTROY, body, synced.roster)
            await client.member.propose(proposal)
            await refuses(rig, "h2", proposal_id(proposal), "the domain is forming: 2 of 3 holders")

    rig.run(day())


# --- what a tally destroys -------------------------------------------------------------------


@pytest.mark.requirement("C9")
@pytest.mark.parametrize(
    ("made", "dated", "why"),
    [
        ("after it was approved", 0, "was made after this destruction"),
        ("before", IN_2100, "dated in the future"),
        ("before", 0, None),
    ],
)
def test_what_a_tally_that_was_held_back_destroys(made: str, dated: int, why: str | None) -> None:
    """Nothing that people have made since, and nothing before its time."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        clients = {name: rig.holder(name) for name in ("h1", "h2")}
        synced = await clients["h1"].member.sync()
        body = Destroy(key=Name("ledger"), version=None).to_body()
        if made == "before":
            await rig.create("ledger")
        if dated:
            late = replace(clients["h1"].party, clock=ManualClock(dated))
            clients["h1"] = Holder(late)
        proposal = clients["h1"].member.new_proposal(DESTROY, body, synced.roster)
        with of_before():
            verdicts = [
                client.member.new_verdict(proposal, await client.member.sync(), Verdict.APPROVE)
                for client in clients.values()
            ]
        rig.clock.time += 3600
        if made != "before":
            await rig.create("ledger")
        due = EraseDue(tally=Tally(proposal=proposal, approvals=tuple(verdicts)))
        client, report = rig.holder("h3"), Report()
        erasing = client.erasures.erase(await client.member.sync(), due, HolderIndex(3), report)
        if why:
            with pytest.raises(Refused, match=why):
                await erasing
            assert (report.erased, len(held_by(rig, "h3"))) == (0, 1)
            return
        with pytest.raises(Refused, match="no proposal has the id"):  # the authority never saw it
            await erasing
        assert (report.erased, held_by(rig, "h3")) == (1, [])

    rig.run(day())


# --- names -----------------------------------------------------------------------------------


@pytest.mark.requirement("C8")
@pytest.mark.parametrize(("role", "kind"), [(Role.HOLDER, JOIN), (Role.REQUESTER, REQUESTER_JOIN)])
def test_a_removed_holders_name_is_given_to_nobody_else(role: Role, kind: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await remove(rig, "h3", by=["h1", "h2"])
        before = dump(rig.disk)
        with pytest.raises(Refused, match="another member was called h3 before"):
            await rig.joining(rig.device("h3", role)).ask()
        assert dump(rig.disk) == before
        with careless(rig, kind):
            asked = await rig.joining(rig.device("h3", role)).ask()
            for name in ("h1", "h2"):
                with pytest.raises(Refused, match="another member was called h3 before"):
                    await rig.approve(name, asked.proposal.hex())
            assert (await rig.joining(rig.devices["h3"]).ask()).state == "waiting"

    rig.run(day())


def test_rosters_of_before_that_reuse_a_name_stay_valid() -> None:
    """The rule is for what is new: a chain that a domain already has is history."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await remove(rig, "h3", by=["h1", "h2"])
        with mock.patch.object(Chain, "check_new_names", Chain.check_names):  # as it was before
            await join(rig, "h3", by=["h1", "h2"])
        chain = rig.authority.chain
        assert parse_chain(chain.to_bytes(), rig.key.public).current == chain.current
        rig.start_authority()
        assert await rig.unlock_by("h1") == "ready"
        reports = await settle(rig, ["h1", "h2", "h3"], 1)
        assert [report.problems for report in reports] == [[], [], []]
        await remove(rig, "h3", by=["h1", "h2"])  # and it can be changed

    rig.run(day())
