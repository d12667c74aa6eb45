"""What a device shows is what it signs, whatever its authority and the requester try."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from domain_rig import DomainRig
from evil import dump, tell
from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Name, Nonce, Text
from tigertally.base.text import fault_of
from tigertally.cli import verdict
from tigertally.cli.errors import report
from tigertally.cli.proposals import card_of, document_of
from tigertally.custody.client import rows
from tigertally.custody.client.answer import check_same, look
from tigertally.custody.messages.kinds import Form
from tigertally.quorum import messages
from tigertally.quorum.approval import Approval, Verdict, sign_approval
from tigertally.quorum.authority import proposals
from tigertally.quorum.changes import REQUESTER_REMOVE, remove_body
from tigertally.quorum.member.displayed import displayed_as
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id, sign_proposal
from twins import release_of, twins

pytestmark = [
    pytest.mark.requirement("C7"),
    pytest.mark.requirement("X5"),
    pytest.mark.requirement("X9"),
]

FORGED = "restore test” · form final" + " " * 442 + "\u2028\u3164"
MARKS = "x" + "\u033f" * 499


@pytest.fixture
def rig():
    rig = DomainRig()

    async def day():
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")

    rig.run(day())
    return rig


def asked_of(rig, **what):
    """A release by a program that is not ours, not yet signed."""
    app = rig.devices["app"]
    roster = rig.asker("app").member.chain().current
    return release_of(app.key, app.wrapping_key, roster, now=rig.clock.now(), **what)


async def hand_in(rig, **what):
    nonce = Nonce(rig.randomness.bytes(32))
    proposal = replace(asked_of(rig, **what), nonce=nonce)
    envelope = sign_proposal(rig.devices["app"].key, proposal)
    return await rig.asker("app").member.propose(envelope)


def before_the_rule(monkeypatch):
    """From now on the authority admits what it admitted before there was a rule."""
    monkeypatch.setattr(proposals, "check_shows", lambda *_: None)
    monkeypatch.setattr(proposals, "fault_of", lambda _: "")


def signed_nothing(rig, name, id_):
    """Neither an approval of it nor a fragment wrapped for it is on the device."""
    kept = dump(rig.devices[name].disk)
    keys = (*kept.get(rows.APPROVED, ()), *kept.get(rows.WRAPS, ()))
    return not any(key.startswith(id_) for key in keys)


def test_an_authority_that_shows_two_proposals_gets_nothing_signed(rig):
    """One in the inbox, its twin when it is looked for; before the question, or after the yes."""

    async def day():
        app, client = rig.asker("app"), rig.holder("h2")
        made = twins(app.party.key, asked_of(rig), asked_of(rig, form=Form.PRIVATE))
        harmless, twin = [await app.member.propose(envelope) for envelope in made]
        id_ = proposal_id(harmless.proposal)
        for _ in ("before the question", "after the yes"):
            shown, _, _ = await look(client, id_)
            assert shown.words.startswith("release payroll version 1")
            tell(rig, messages.PROPOSAL, lambda _, raw: encode(twin))
            with pytest.raises(PeerFault, match="about another proposal"):
                await look(client, id_)
            assert signed_nothing(rig, "h2", id_)
            tell(rig, messages.PROPOSAL, lambda _, raw: raw)
        again, synced, _ = await look(client, id_)
        check_same(shown, again)
        await client.approve(again, synced)
        assert not signed_nothing(rig, "h2", id_), "it is where a signature would be"
        assert (await approvals(rig, harmless), await approvals(rig, twin)) == (1, 0)

    rig.run(day())


async def approvals(rig, state):
    return len((await rig.holder("h1").member.proposal(proposal_id(state.proposal))).approvals)


def test_what_was_closed_or_reads_otherwise_by_the_answer_is_not_signed(rig):
    async def day():
        state = await hand_in(rig)
        id_ = proposal_id(state.proposal)
        client = rig.holder("h2")
        shown, _, _ = await look(client, id_)
        with client.party.store.reading() as reader:  # shown by its whole id, too
            assert displayed_as(reader, str(id_)[:8], now=rig.clock.now()) == id_
        for name in ("h1", "h3"):
            await rig.approve(name, str(id_))
        done, _, _ = await look(client, id_)
        with pytest.raises(Refused, match="is complete by now: nothing was signed") as closed:
            check_same(shown, done)
        assert report(closed.value).advice == (
            f"`tally holder approve {id_}` sends this device's fragment as a spare"
        )
        other = replace(done, proposal=replace(done.proposal, kind=REQUESTER_REMOVE))
        with pytest.raises(Refused) as closed:
            check_same(replace(other, state=shown.state), other)
        assert report(closed.value).advice == "`tally tally list` shows how it ended"
        for change in ({"words": "x"}, {"quotes": ()}, {"proposer": "x"}, {"needed": 1}):
            with pytest.raises(Refused, match="does not read as it was shown") as changed:
                check_same(replace(done, **change), done)
            assert report(changed.value).advice == "run it again and read it anew"

        state = await hand_in(rig)
        second = proposal_id(state.proposal)
        shown, _, _ = await look(client, second)
        remove = rig.holder("h1")
        synced = await remove.member.sync()
        gone = remove.member.new_proposal(REQUESTER_REMOVE, remove_body(Name("app")), synced.roster)
        await remove.member.propose_with_yes(gone, synced)
        await rig.approve("h3", str(proposal_id(gone)))
        with pytest.raises(Refused, match="the proposal is void: nothing was signed"):
            await look(client, second)
        tell(rig, messages.PROPOSAL, lambda _, raw: encode(state))  # if it says that it is open
        now, synced, _ = await look(client, second)
        assert now.proposer == "app (no longer a member)"
        with pytest.raises(Refused, match="does not read as it was shown"):
            check_same(shown, now)
        with pytest.raises(Refused):
            await client.approve(now, synced)
        rig.clock.time += 3600
        with pytest.raises(Refused, match=r"the proposal has expired.*nothing was signed"):
            await look(client, second)
        assert signed_nothing(rig, "h2", id_)
        assert signed_nothing(rig, "h2", second)

    rig.run(day())


@pytest.mark.parametrize("reason", [FORGED, MARKS, "a\u00a0b", "form\u2800final"])
def test_a_new_reason_that_hides_something_is_refused_everywhere(rig, monkeypatch, reason):
    assert Text(reason) == reason
    fault = fault_of(reason)

    async def day():
        before = rig.authority_rows()
        client = rig.asker("app")
        with pytest.raises(MalformedMessage) as own:  # by the program that we make
            key = next(iter(await client.keys())).ref
            await client.ask(key, reason, Form.PRIVATE, await client.member.sync())
        with pytest.raises(Refused) as admitted:  # by the authority, from any other
            await hand_in(rig, form=Form.PRIVATE, reason=reason)
        assert fault in str(own.value)
        assert fault in str(admitted.value)
        assert rig.authority_rows() == before

        before_the_rule(monkeypatch)
        id_ = proposal_id((await hand_in(rig, form=Form.PRIVATE, reason=reason)).proposal)
        holder = rig.holder("h2")
        shown, synced, _ = await look(holder, id_)
        with pytest.raises(Refused) as signed:  # by the device, from any authority
            await holder.approve(shown, synced)
        assert fault in str(signed.value)
        assert signed_nothing(rig, "h2", id_)
        with pytest.raises(MalformedMessage):
            await holder.reject(shown, synced, reason)
        state = await holder.reject(shown, synced, "say it plainly")
        assert len(state.rejections) == 1, "a no is always possible"

    rig.run(day())


def test_nobody_is_asked_about_what_this_device_would_not_sign(rig, monkeypatch):
    """It is shown, and refused before the question: a yes would be in vain."""
    before_the_rule(monkeypatch)
    party = rig.devices["h2"].party
    device = SimpleNamespace(signing_key=party.key, exclusive=lambda **_: nullcontext())
    done = []
    monkeypatch.setattr(verdict, "run_as", lambda _, work: rig.run(work(device, party)))
    monkeypatch.setattr(verdict, "show", lambda _: done.append("shown"))
    monkeypatch.setattr(verdict, "ask", lambda question, **_: done.append(question))

    async def hidden():
        return proposal_id((await hand_in(rig, form=Form.PRIVATE, reason=MARKS)).proposal)

    id_ = rig.run(hidden())
    with pytest.raises(Refused):
        verdict._asked(device, id_, verdict.Answer(approve=True))
    assert done == ["shown"]
    assert signed_nothing(rig, "h2", id_)
    seen, state = verdict._asked(device, id_, verdict.Answer(approve=False))
    assert done == ["shown", "shown", "Reject?"], "a no is always possible"
    assert (seen.id, len(state.rejections)) == (id_, 1)


def test_what_was_written_before_is_shown_with_facts_first_and_delimited(rig, monkeypatch):
    async def day():
        before_the_rule(monkeypatch)
        id_ = proposal_id((await hand_in(rig, form=Form.PRIVATE, reason=FORGED)).proposal)
        shown, synced, _ = await look(rig.holder("h2"), id_)
        for width in (None, 60, 100):
            lines = card_of(shown).lines(width)
            assert lines[0].startswith("FORM PRIVATE: the requester keeps the private key")
            (start,) = [i for i, line in enumerate(lines) if line.startswith("reason, as app says")]
            assert not any("form final" in line for line in lines[:start])
            assert all(line.startswith("  > ") for line in lines[start + 1 :])
        assert lines[start:] == [
            "reason, as app says: “restore test' · form final<U+0020 ×442><U+2028><U+3164>”"
        ]
        document = document_of(shown)
        assert "form final" not in document["summary"]
        assert document["quoted"] == [{"by": "app", "what": "reason", "text": FORGED}]

        no = Approval(  # a holder's reason of before is read like any other
            proposal=id_,
            verdict=Verdict.REJECT,
            roster=synced.roster.hash,
            holder=synced.roster.holders[2].index,
            checkpoint="",
            attachment=None,
            reason=Text(MARKS),
            time=rig.clock.now(),
        )
        await rig.holder("h3").member.vote(shown.state, sign_approval(rig.devices["h3"].key, no))
        state = await rig.holder("h1").reject(shown, synced, "no")
        assert state.status is Status.REJECTED
        monkeypatch.undo()
        (listed,) = [one for one in await rig.holder("h1").member.tallies(0) if one.id == id_]
        said = [str(quote) for quote in listed.refusals]
        assert said == [
            "reason to reject, as h3 says: “x\u033f\u033f<U+033F ×497>”",
            "reason to reject, as h1 says: “no”",
        ]
        report = await rig.audit("h2").report()
        (made,) = [e for e in report.entries if e.kind == "proposal.made" and e.detail == id_]
        assert made.summary.startswith("custody.release: FORM PRIVATE: ")
        assert made.summary.endswith("”")

    rig.run(day())
