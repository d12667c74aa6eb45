"""The authority's door for strangers: PIN (C8), and what anybody may know (C13)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    Locked,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import RosterHash
from tigertally.base.limits import CLOCK_SKEW, PIN_TRIES
from tigertally.quorum import messages
from tigertally.quorum.authority.admission import SETTINGS, get_settings, renew_pin
from tigertally.quorum.card import Role
from tigertally.quorum.enrolment import make_pin
from tigertally.quorum.messages import DomainInfo, FoundReply, JoinTerms, Nothing
from tigertally.storage.memory import MemoryStore

pytestmark = pytest.mark.requirement("C8")


def entries(rig: DomainRig) -> list[str]:
    with rig.disk.reading() as reader:
        return [f"{e.kind}: {e.summary}" for e in rig.authority._log.entries(reader)]


def nothing_but_audit(before, after) -> None:
    """A refusal is remembered; nothing else of it stays but the count of tries."""
    assert set(after) - set(before) <= {"audit", "audit-head", "audit-nodes"}
    changed = {table for table in before if before[table] != after[table]}
    assert changed <= {"audit", "audit-head", "audit-nodes", SETTINGS}


def wrong_pin(rig: DomainRig) -> str:
    return make_pin(rig.randomness)


def test_the_first_holder_founds_the_domain():
    rig = DomainRig(threshold=3)

    async def day():
        device = rig.device("h1", Role.HOLDER)
        joined = await rig.joining(device).with_pin(rig.pin)
        assert joined.state == "enrolled"
        assert joined.roster == rig.authority.chain.current
        again = await rig.joining(device).with_pin(rig.pin)
        assert again.roster == joined.roster

    rig.run(day())
    assert [line.split(":")[0] for line in entries(rig)] == ["roster.founded"]


def test_five_wrong_tries_void_the_pin_and_each_is_audited():
    rig = DomainRig(threshold=3)

    async def day():
        device = rig.device("h1", Role.HOLDER)
        for left in range(PIN_TRIES - 1, -1, -1):
            before = dump(rig.disk)
            with pytest.raises(Refused, match=f"{left} tries left"):
                await rig.joining(device).with_pin(wrong_pin(rig))
            nothing_but_audit(before, dump(rig.disk))
        before = dump(rig.disk)
        for pin in (rig.pin, wrong_pin(rig)):  # the correct PIN comes too late
            with pytest.raises(Refused, match="void"):
                await rig.joining(device).with_pin(pin)
        assert dump(rig.disk) == before, "a void PIN writes no more"
        assert rig.authority.chain is None
        with pytest.raises(Unavailable):
            rig.holder("h1").member.chain()

    rig.run(day())
    said = entries(rig)
    assert len(said) == PIN_TRIES
    assert all(line.startswith("pin.wrong: ") for line in said)
    assert [("void" in line) for line in said] == [False] * 4 + [True]


def test_four_wrong_tries_by_different_devices_then_the_right_one():
    rig = DomainRig()

    async def day():
        for number in range(PIN_TRIES - 1):
            with pytest.raises(Refused):
                await rig.joining(rig.device(f"x{number}", Role.HOLDER)).with_pin("guess")
        joined = await rig.joining(rig.device("h1", Role.HOLDER)).with_pin(rig.pin)
        assert joined.state == "enrolled"
        with pytest.raises(Refused):  # a second founder, though with the PIN
            await rig.joining(rig.device("h2", Role.HOLDER)).with_pin(rig.pin)
        assert len(rig.authority.chain.current.holders) == 1

    rig.run(day())


def test_the_pin_is_void_also_after_a_restart():
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)
        for _ in range(PIN_TRIES):
            with pytest.raises(Refused):
                await rig.joining(device).with_pin("guess")
        rig.start_authority()
        with pytest.raises(Refused, match="void"):
            await rig.joining(device).with_pin(rig.pin)

    rig.run(day())


def test_a_fresh_pin_takes_the_place_of_a_void_one():
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)
        for _ in range(PIN_TRIES):
            with pytest.raises(Refused):
                await rig.joining(device).with_pin("guess")
        with pytest.raises(Refused, match="tally authority pin"):
            await rig.joining(device).with_pin(rig.pin)
        with rig.disk.transaction() as tx:
            fresh = renew_pin(tx, rig.key, now=rig.clock.now(), randomness=rig.randomness)
        with pytest.raises(Refused, match=f"{PIN_TRIES - 1} tries left"):
            await rig.joining(device).with_pin(rig.pin)  # the old one opens nothing
        assert (await rig.joining(device).with_pin(fresh)).state == "enrolled"
        before = dump(rig.disk)
        with pytest.raises(Refused, match="has its first holder"), rig.disk.transaction() as tx:
            renew_pin(tx, rig.key, now=rig.clock.now(), randomness=rig.randomness)
        assert dump(rig.disk) == before
        assert (await rig.audit("h1").report()).entries[-2].kind == "pin.wrong"

    rig.run(day())
    said = [line.split(":")[0] for line in entries(rig)]
    assert said[-3:] == ["pin.renewed", "pin.wrong", "roster.founded"]


def test_a_recorded_request_is_worth_nothing_on_another_connection():
    rig = DomainRig()
    taken = []

    async def day():
        device = rig.device("h1", Role.HOLDER)
        mallory = rig.device("mallory", Role.HOLDER)

        class Tap:
            async def call(self, path, body, *, wait=30.0):
                if path == messages.FOUND:
                    taken.append(body)
                    raise Unavailable("never arrives")
                return await rig.network.channel("h1", "authority").call(path, body)

        device.party = replace(device.party, channel=Tap())
        with pytest.raises(Unavailable):
            await rig.joining(device).with_pin(rig.pin)
        before = dump(rig.disk)
        with pytest.raises(Refused):
            await mallory.party.channel.call(messages.FOUND, taken[0])
        assert dump(rig.disk) == before
        own = await rig.network.channel("h1", "authority").call(messages.FOUND, taken[0])
        assert decode(FoundReply, own).roster.parse().holders[0].name == "h1"

    rig.run(day())


@pytest.mark.parametrize("seconds", [-CLOCK_SKEW - 1, CLOCK_SKEW + 1])
def test_a_clock_that_is_wrong_costs_no_try(seconds):
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)

        class Ahead:
            def now(self):
                return rig.clock.now() + seconds

        device.party = replace(device.party, clock=Ahead())
        before = dump(rig.disk)
        with pytest.raises(Refused, match="clock"):
            await rig.joining(device).with_pin(rig.pin)
        assert dump(rig.disk) == before

    rig.run(day())


def test_a_server_that_does_not_know_the_pin_is_found_out():
    """It has the right fingerprint and countersigns, but was never told the PIN."""
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)

        def lie(_, path, raw):
            if path != messages.FOUND:
                return raw
            return encode(replace(decode(FoundReply, raw), proof=bytes(32)))

        rig.network.equivocate("authority", lie)
        before = dump(device.disk)
        with pytest.raises(Refused, match="does not know the PIN"):
            await rig.joining(device).with_pin(rig.pin)
        assert dump(device.disk) == before

    rig.run(day())


def test_another_fingerprint_is_found_out_before_anything_is_sent():
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)
        other = rig.device("other", Role.HOLDER)
        joining = rig.joining(device)
        joining._authority = other.key.public
        with pytest.raises(InvalidSignature):
            await joining.with_pin(rig.pin)
        paths = {event.path for event in rig.network.events}
        assert paths == {messages.DOMAIN}

    rig.run(day())


def test_a_roster_hash_given_out_of_band():
    rig = DomainRig()

    async def day():
        device = rig.device("h1", Role.HOLDER)
        before = dump(device.disk)
        with pytest.raises(PeerFault):
            await rig.joining(device).with_pin(rig.pin, wanted=RosterHash(bytes(32)))
        assert dump(device.disk) == before
        right = rig.authority.chain.current.hash
        assert (await rig.joining(device).with_pin(rig.pin, wanted=right)).roster.hash == right

    rig.run(day())


@pytest.mark.requirement("C6")
def test_what_anybody_may_know():
    rig = DomainRig(threshold=2)

    async def ask(path, kind):
        stranger = rig.devices.get("x") or rig.device("x", Role.HOLDER)
        return decode(kind, await stranger.party.channel.call(path, encode(Nothing())))

    async def day():
        before = await ask(messages.DOMAIN, DomainInfo)
        assert (before.state, before.roster_version, before.holders) == ("forming", 0, 0)
        with pytest.raises(Unavailable):
            await ask(messages.TERMS, JoinTerms)
        await rig.form(1)
        assert (await ask(messages.DOMAIN, DomainInfo)).state == "forming"
        await rig.admit(rig.joining(rig.device("h2", Role.HOLDER)), by=["h1"])
        info = await ask(messages.DOMAIN, DomainInfo)
        roster = rig.authority.chain.current
        assert (info.state, info.holders, info.roster_hash) == ("ready", 2, roster.hash)
        terms = await ask(messages.TERMS, JoinTerms)
        assert (terms.electorate, terms.roster) == (roster.electorate, roster.hash)
        rig.start_authority()
        assert (await ask(messages.DOMAIN, DomainInfo)).state == "locked"
        with pytest.raises(Locked):
            await ask(messages.TERMS, JoinTerms)

    rig.run(day())


def test_settings_that_are_gone():
    with MemoryStore().reading() as reader, pytest.raises(Corrupt):
        get_settings(reader)
