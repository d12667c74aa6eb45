"""Unattended holders: what their rules allow leaves, everything else waits for people."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Unavailable
from tigertally.base.ids import Name
from tigertally.custody.client import rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.client.requester import Requester
from tigertally.custody.client.unattended import Answered, answer_by_rules
from tigertally.custody.messages.kinds import Create, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.rules import Rules, parse_rules
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id

RULE = """
[[rule]]
key = "night-*"
requester = "app"
reason = 'job \\d+'
per_day = 2
"""


async def make_key(rig: DomainRig, key: str, *, unattended: bool) -> None:
    client = rig.holder("h1")
    synced, _ = await client.sync()
    body = Create(
        key=Name(key),
        suite=Suite.PEDERSEN_ED25519,
        acks=len(synced.roster.holders),
        options=KeyOptions.of(unattended=unattended),
    )
    state = await client.dealings.create_key(body, synced)
    for name in rig.holders()[1:]:
        if state.status is Status.PENDING:
            state = await rig.approve(name, proposal_id(state.proposal).hex())
    for _ in range(2):
        for name in rig.holders():
            await rig.sync(name)


async def alone(rig: DomainRig, name: str, rules: Rules) -> list[Answered]:
    """One turn of an unattended device; each time it has just been started."""
    client = Holder(rig.devices[name].party)
    synced, report = await client.sync()
    answered = await answer_by_rules(client, synced, rules, report)
    await client.sync(renew=False)
    assert report.problems == []
    return answered


async def ask(
    rig: DomainRig, key: str, reason: str, form: Form = Form.FINAL
) -> tuple[Requester, object]:
    client = rig.asker("app")
    synced = await client.member.sync()
    request, _ = await client.ask(KeyRef(name=Name(key), version=1), reason, form, synced)
    return client, request


async def status_of(rig: DomainRig, reason: str) -> tuple[Status, int]:
    for seen in await rig.holder("h1").member.tallies(0):
        if seen.proposal.kind == "custody.release" and seen.proposal.options()["reason"] == reason:
            return seen.state.status, len(seen.approvals)
    raise AssertionError(reason)


@pytest.mark.requirement("C7")
def test_rules_allow_what_they_say_and_nothing_else() -> None:
    rig = DomainRig(threshold=2)
    rules = parse_rules(RULE)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await make_key(rig, "night-backup", unattended=True)
        await make_key(rig, "night-wages", unattended=False)
        client, request = await ask(rig, "night-backup", "job 1")
        for name in ("h1", "h2"):
            (one,) = await alone(rig, name, rules)
            assert one.approved
            assert one.decision.why == "rule 1 allows it"
        await rig.sync("h1")
        secret = rig.devices["app"].device_secret
        ref = KeyRef(name=Name("night-backup"), version=1)
        synced = await client.member.sync()
        released = await client.collect(request, ref, Form.FINAL, synced, secret)  # type: ignore[arg-type]
        assert released is not None

        for key, reason, form, why in (
            ("night-wages", "job 2", Form.FINAL, "not made with --unattended"),
            ("night-backup", "job two", Form.FINAL, "the reason does not match"),
            ("night-backup", "job 3", Form.PRIVATE, "not for the form private"),
        ):
            await ask(rig, key, reason, form)
            told = {
                a.proposal.proposal.options()["reason"]: a for a in await alone(rig, "h1", rules)
            }
            assert why in told[reason].decision.why
            assert not told[reason].approved
            assert await status_of(rig, reason) == (Status.PENDING, 0)

        # The authority says that the key is for rules: what the device itself holds counts.
        await ask(rig, "night-backup", "job 4")
        assert not (await alone(rig, "h1", parse_rules("")))[-1].approved, "no rule, no approval"

    rig.run(day())


@pytest.mark.requirement("C7")
def test_counts_outlive_restarts_crashes_and_clocks() -> None:
    rig = DomainRig(threshold=2)
    rules = parse_rules(RULE)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await make_key(rig, "night-backup", unattended=True)
        await ask(rig, "night-backup", "job 1")
        # A crash after the count is stored, before the approval leaves: it is counted once.
        client = Holder(rig.devices["h1"].party)
        synced, report = await client.sync()

        async def no_way(*_: object, **__: object) -> None:
            raise Unavailable("the line is dead")

        client.member.vote = no_way  # type: ignore[method-assign,assignment]
        for _ in range(3):
            with pytest.raises(Unavailable):
                await answer_by_rules(client, synced, rules, report)
        assert await status_of(rig, "job 1") == (Status.PENDING, 0)
        assert [a.approved for a in await alone(rig, "h1", rules)] == [True]
        assert await status_of(rig, "job 1") == (Status.PENDING, 1)

        await ask(rig, "night-backup", "job 2")
        assert [a.approved for a in await alone(rig, "h1", rules)] == [True]
        await ask(rig, "night-backup", "job 3")
        (left,) = await alone(rig, "h1", rules)
        assert "used up: 2 of 2" in left.decision.why
        assert await status_of(rig, "job 3") == (Status.PENDING, 0)
        before = rig.clock.time
        for back, why in ((250, "used up"), (3600, "dated in"), (24 * 3600 * 2, "dated in")):
            rig.clock.time = before - back
            (left,) = await alone(rig, "h1", rules)
            assert why in left.decision.why, "a clock set back gives nothing anew"
        rig.clock.time = before
        # More rules than one: a file that only allows more goes on counting.
        more = parse_rules(RULE.replace("per_day = 2", "per_day = 3"))
        assert [a.approved for a in await alone(rig, "h1", more)] == [True]
        # The next day it is allowed again.
        rig.clock.time = before + 24 * 3600
        await ask(rig, "night-backup", "job 5")
        told = await alone(rig, "h1", rules)
        assert [a.approved for a in told] == [True]

    rig.run(day())


def test_a_fault_in_one_holds_up_no_other() -> None:
    """A device that has no live fragment yet says so, and its count waits for the fragment."""
    rig = DomainRig(threshold=2)
    rules = parse_rules(RULE)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await make_key(rig, "night-a", unattended=True)
        await make_key(rig, "night-b", unattended=True)
        with rig.devices["h1"].store.transaction() as tx:
            rows.erase_key(tx, KeyRef(name=Name("night-a"), version=1))
        await ask(rig, "night-a", "job 1")
        await ask(rig, "night-b", "job 2")
        client = Holder(rig.devices["h1"].party)
        synced, _ = await client.sync()
        report = Report()
        told = await answer_by_rules(client, synced, rules, report)
        assert sorted(a.approved for a in told) == [False, True]
        assert "holds no active fragment" in report.problems[0]
        assert await status_of(rig, "job 1") == (Status.PENDING, 0)
        assert await status_of(rig, "job 2") == (Status.PENDING, 1)

    rig.run(day())
