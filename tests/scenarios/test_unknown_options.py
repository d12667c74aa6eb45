"""Keys with an option that some devices do not know: those take no part, in that key alone.

Tomorrow's program knows one more option. The authority, h1 and h2 run it, h3 runs today's: what a
device does is done under `knowing()`, or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import NewerVersion, Refused
from tigertally.base.ids import Name
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.keys import newest_usable
from tigertally.custody.client.report import Report
from tigertally.custody.messages import kinds
from tigertally.custody.messages.kinds import Create, Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.sync import CUSTODY_SYNC, KEYS
from tigertally.custody.messages.v1 import NEWER_STATE
from tigertally.custody.service import rows, sync
from tigertally.custody.state.authority import KeyState
from tigertally.quorum.card import Role
from tigertally.quorum.messages import SYNC, TALLIES
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id
from tomorrow import HERE, OPTION, knowing

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("C9")]


async def make(rig: DomainRig, key: str, *, acks: int = 2) -> None:
    """A key with the option: h1 proposes, h2 approves, both sync."""
    with knowing():
        client = rig.holder("h1")
        synced, _ = await client.sync()
        body = Create(key=Name(key), suite=Suite.PEDERSEN_ED25519, acks=acks, options=HERE)
        state = await client.dealings.create_key(body, synced)
        await rig.approve("h2", proposal_id(state.proposal).hex())
        for name in ("h1", "h2", "h1"):
            await rig.sync(name)


def on_version_1(rig: DomainRig, name: str) -> None:
    """This device asks at the doors of version 1 from now on."""
    party = rig.devices[name].party
    for door in (SYNC, TALLIES, CUSTODY_SYNC, KEYS):
        party.lacking.note(door, rig.clock.now())


def key(rig: DomainRig, name: str) -> KeyState:
    def look(desk):
        return rows.get_key(desk.sealed, KeyRef(name=Name(name), version=1))

    return look


@pytest.fixture(params=["v2", "v1"])
def rig(request) -> DomainRig:
    rig = DomainRig()

    async def day():
        await rig.form(3)
        await rig.requester("app")
        await rig.create("plain")
        if request.param == "v1":
            on_version_1(rig, "h3")
            on_version_1(rig, "app")

    rig.run(day())
    return rig


async def held(rig: DomainRig, device: str, name: str) -> bool:
    with rig.devices[device].store.reading() as reader:
        return device_rows.live_name(reader, KeyRef(name=Name(name), version=1)) is not None


def test_such_a_key_is_made_without_the_older_device(rig):
    async def day():
        await make(rig, "local")
        report = await rig.sync("h3")
        assert report.problems == []
        assert report.received == 0
        assert [line for line in report.waiting_for if "local version 1" in line] == [
            "local version 1: a newer version of the program on this device"
        ]
        assert not await held(rig, "h3", "local")
        await rig.create("other")  # everything else goes on
        assert (await rig.release("app", "other", by=["h3", "h1"])).approved_by == ("h1", "h3")

        with knowing():
            client = rig.asker("app")
            asked = KeyRef(name=Name("local"), version=1)
            _, state = await client.ask(asked, "r", Form.PRIVATE, await client.member.sync())
            id_ = proposal_id(state.proposal).hex()
        with pytest.raises(Refused, match="no active fragment of local version 1"):
            await rig.approve("h3", id_)
        with knowing():
            for name in ("h1", "h2"):
                await rig.approve(name, id_)
                await rig.sync(name)
            assert await rig.release("app", "local", by=["h1", "h2"], reason="again")

    rig.run(day())


def test_after_its_upgrade_it_takes_part(rig):
    async def day():
        await make(rig, "local", acks=3)
        await rig.sync("h3")
        (info,) = await rig.asker("h1").keys(Name("local"))
        assert (info.state, info.options) == ("pending", HERE)
        rig.clock.time += 3600  # in which a connection is made anew
        with knowing():
            for name in ("h3", "h1", "h3"):
                await rig.sync(name)
            assert (await rig.asker("h1").keys(Name("local")))[0].state == "active"
            assert await held(rig, "h3", "local")

    rig.run(day())


def test_keys_are_shared_anew_apart(rig):
    """A joiner that knows the option: the plain key comes with h3, the other one without."""

    async def day():
        await make(rig, "local")
        device = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(device), by=["h1", "h3"])
        for _ in range(3):
            with knowing():
                for name in ("h4", "h1", "h2"):
                    assert (await rig.sync(name)).problems == []
            assert (await rig.sync("h3")).problems == []
        with knowing():
            found = {str(one.ref.name): one for one in await rig.asker("h4").keys()}
        assert (found["plain"].state, len(found["plain"].acknowledged)) == ("active", 4)
        assert found["local"].state == "resharing"
        assert found["local"].missing == (3,)
        rig.clock.time += 3600
        with knowing():
            for name in ("h3", "h1"):
                await rig.sync(name)
            found = {str(one.ref.name): one for one in await rig.asker("h4").keys()}
            assert (found["local"].state, found["local"].acknowledged) == ("active", (1, 2, 3, 4))
            assert found["local"].options == HERE

    rig.run(day())


def test_shown_it_all_the_same_a_device_refuses_that_key_in_words(rig, monkeypatch):
    """By an authority that does not care what a device knows."""

    async def day():
        await make(rig, "local")
        with knowing():
            state = await rig.propose_key("other")
            await rig.approve("h2", proposal_id(state.proposal).hex())
        monkeypatch.setattr(sync, "option_names", lambda *_: frozenset())
        _, report = await rig.holder("h3").sync()
        assert not await held(rig, "h3", "local")
        assert report.received == 1  # the other key came with it
        assert report.culprits == []
        (said,) = report.problems
        assert "region" in said

    rig.run(day())


def test_those_left_out_keep_no_place_from_others(rig, monkeypatch):
    async def day():
        for name in ("a1", "a2", "a3"):
            await make(rig, name)
        monkeypatch.setattr(sync.messages, "MOST_OWED", 2)
        monkeypatch.setattr(rows, "MOST_OWED", 2)
        await rig.create("z")
        assert await held(rig, "h3", "z")
        (line,) = [x for x in (await rig.sync("h3")).waiting_for if "this device" in x]
        assert line.startswith("a1 version 1, a2 version 1, a3 version 1: ")

    rig.run(day())


def test_it_does_not_approve_such_a_key_and_signs_nothing(rig):
    """Over version 1 it is not even shown: that stops at what it does not know."""

    async def day():
        with knowing():
            client = rig.holder("h1")
            synced, _ = await client.sync()
            body = Create(key=Name("local"), suite=Suite.PEDERSEN_ED25519, acks=2, options=HERE)
            asked = await client.dealings.create_key(body, synced)
        id_ = proposal_id(asked.proposal)
        device = rig.holder("h3")
        with authority_of_tomorrow(rig):
            synced, report = await device.sync()
            seen = [one.id for one in await device.member.tallies(0)]
            state = await device.member.proposal(id_)
        assert report.problems == []
        v1 = device.party.lacking.holds(SYNC, rig.clock.now())
        assert [one.id for one in synced.unknown] == ([] if v1 else [id_])
        assert (id_ in seen) is not v1
        assert state.status is Status.PENDING
        for one in synced.unknown:
            with pytest.raises(NewerVersion, match="upgraded"):
                await device.approve(one, synced)
        with authority_of_tomorrow(rig):
            assert len((await device.member.proposal(id_)).approvals) == 1

    rig.run(day())


@contextmanager
def authority_of_tomorrow(rig: DomainRig) -> Iterator[None]:
    """The authority alone understands the proposal: in the rig it shares a process with all."""
    known = rig.services.quorum._kinds
    lenient = {**known, kinds.CREATE: replace(known[kinds.CREATE], parse=_lenient)}
    rig.services.quorum._kinds = lenient
    yield
    rig.services.quorum._kinds = known


def _lenient(said):
    with knowing():
        return kinds.parse_create(said)


def test_over_version_1_such_a_key_is_listed_as_newer(rig):
    async def day():
        await make(rig, "local")
        v1 = rig.devices["app"].party.lacking.holds(KEYS, rig.clock.now())
        known = await rig.asker("app").keys(Name("local"))
        (info,) = known
        if not v1:
            assert (info.state, info.options) == ("active", HERE)
            return
        assert info.state == NEWER_STATE
        assert "newer version" in info.trouble[-1]
        with pytest.raises(Refused, match="local version 1 is newer than this program"):
            newest_usable(known, Name("local"))
        plain = (await rig.asker("app").keys(Name("plain")))[0]
        assert (plain.state, plain.trouble) == ("active", ())

    rig.run(day())


def test_a_relay_cannot_take_an_option_away(rig):
    """A joiner that is shown the key as one without it: the donors have signed otherwise."""

    async def day():
        await make(rig, "local")
        device = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(device), by=["h1", "h2"])
        with knowing():
            for name in ("h4", "h1", "h2"):
                await rig.sync(name)
        plain = KeyOptions.of()

        def stripped(desk, record, me):
            opening = honest(desk, record, me)
            base = tuple(replace(one, options=plain) for one in opening.base)
            return replace(opening, base=base)

        honest = rig.services.syncing._opening
        rig.services.syncing._opening = stripped
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sync, "option_names", lambda *_: frozenset())
            _, report = await rig.holder("h4").sync()
        assert not await held(rig, "h4", "local")
        assert any("something else" in said for said in report.problems), report.problems
        rig.services.syncing._opening = honest
        with knowing():
            assert (await rig.sync("h4")).problems == []

    rig.run(day())


def test_no_rule_releases_a_key_whose_terms_are_not_known(rig):
    """As on a device that was put back to an older program."""
    from tigertally.custody.client.unattended import answer_by_rules
    from tigertally.custody.rules import parse_rules

    rules = parse_rules('[[rule]]\nkey = "*"\nrequester = "app"\nreason = ".*"\nper_day = 9\n')

    async def day():
        ref = KeyRef(name=Name("plain"), version=1)
        with rig.devices["h3"].store.transaction() as tx:
            unattended = KeyOptions.of(unattended=True, more={OPTION: "eu"})
            device_rows.TERMS.put(tx, ref, device_rows.Terms(options=unattended))
        asker = rig.asker("app")
        _, state = await asker.ask(ref, "r", Form.FINAL, await asker.member.sync())
        client = Holder(rig.devices["h3"].party)
        synced, _ = await client.sync()
        (answered,) = await answer_by_rules(client, synced, rules, Report())
        assert not answered.approved
        assert "does not know" in answered.decision.why
        with pytest.raises(NewerVersion, match="region"):
            await rig.approve("h3", proposal_id(state.proposal).hex())
        with knowing():
            (answered,) = await answer_by_rules(client, synced, rules, Report())
        assert answered.approved

    rig.run(day())
