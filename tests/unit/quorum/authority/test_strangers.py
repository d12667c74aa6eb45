"""Strangers are counted: one entry per minute and party, and nothing is lost at a clean stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import encode
from tigertally.base.errors import Refused
from tigertally.base.limits import COUNTED_SECONDS, PROPOSAL_LIFETIME
from tigertally.custody.messages.lock import UNLOCK_CHALLENGE, ChallengeRequest
from tigertally.quorum.card import Role
from tigertally.quorum.changes import QUORUM
from tigertally.quorum.proposal import options_body

pytestmark = [pytest.mark.requirement("X5"), pytest.mark.requirement("C6")]

ASK = encode(ChallengeRequest(roster_version=0, checkpoint_size=0, wrong_passphrases=0))


def said(rig: DomainRig, kind: str = "unlock.failed") -> list[str]:
    with rig.disk.reading() as reader:
        entries = rig.authority._log.entries(reader, 0, 1000)
        return [entry.summary for entry in entries if entry.kind == kind]


async def ask(rig: DomainRig, *names: str, times: int = 1) -> None:
    for name in names * times:
        with pytest.raises(Refused, match="only a holder"):
            await rig.devices[name].party.channel.call(UNLOCK_CHALLENGE, ASK)


@pytest.fixture
def rig():
    """A locked authority, a stranger with two keys, a requester, and a holder that was removed."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        from change_rig import remove

        await rig.form(3)
        await rig.requester("app")
        await remove(rig, "h3", by=["h1", "h2"])
        for name in ("mallory", "mallory-again"):
            rig.device(name, Role.HOLDER)
        rig.start_authority()

    rig.run(day())
    return rig


def test_all_strangers_are_one_party_and_members_have_their_names(rig):
    async def night() -> None:
        await ask(rig, "mallory", "mallory-again", "app", "h3", times=20)
        assert said(rig) == [
            "strangers asked to unlock",
            "app asked to unlock and is no holder",
            "h3 asked to unlock and is no holder",
        ]
        assert rig.services.lock.failures == 80
        rig.clock.time += COUNTED_SECONDS
        await ask(rig, "mallory")
        assert said(rig)[3:] == ["strangers asked to unlock (40 times)"]
        await rig.authority._write_counted()
        assert said(rig)[4:] == [
            "app asked to unlock and is no holder (19 times)",
            "h3 asked to unlock and is no holder (19 times)",
        ]

    rig.run(night())


def test_within_the_minute_nothing_at_all_is_written(rig):
    async def night() -> None:
        await ask(rig, "mallory")
        before = dump(rig.disk)
        rig.clock.time += COUNTED_SECONDS - 1
        await ask(rig, "mallory", times=50)
        await rig.authority._write_counted()
        assert dump(rig.disk) == before
        rig.clock.time -= 10 * COUNTED_SECONDS  # a clock that is set back holds nothing up
        await ask(rig, "mallory")
        assert said(rig)[1:] == ["strangers asked to unlock (51 times)"]

    rig.run(night())


def test_a_clean_stop_writes_what_was_counted_and_once(rig):
    async def night() -> None:
        await ask(rig, "mallory", times=7)
        await rig.authority.stop()
        assert said(rig) == ["strangers asked to unlock", "strangers asked to unlock (6 times)"]
        before = dump(rig.disk)
        await rig.authority.stop()
        assert dump(rig.disk) == before
        rig.clock.time += COUNTED_SECONDS
        await rig.authority._write_counted()
        assert dump(rig.disk) == before

    rig.run(night())


def test_who_is_quiet_is_forgotten(rig):
    async def night() -> None:
        await ask(rig, "mallory", "app")
        counted = rig.services.counted
        assert not counted.waiting
        rig.clock.time += COUNTED_SECONDS
        await rig.authority.run(counted.write)
        assert counted._counts == {}

    rig.run(night())


def test_what_strangers_have_asked_ends_in_one_entry():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        for number in range(6):
            await rig.joining(rig.device(f"x{number}", Role.HOLDER)).ask()
        client = rig.holder("h1")
        body = options_body(threshold=2, unlock=2)
        for _ in range(2):
            await client.member.propose(
                client.member.new_proposal(QUORUM, body, rig.authority.chain.current)
            )
        rig.clock.time += PROPOSAL_LIFETIME
        assert (await client.member.sync()).open == ()
        rig.clock.time += COUNTED_SECONDS
        await rig.authority._write_counted()
        asked = "strangers asked to join; nobody let them in"
        ended = said(rig, "proposal.expired")
        assert [one for one in ended if "strangers" in one] == [asked, f"{asked} (5 times)"]
        assert len(ended) == 2 + 2, "what members have asked is written each"

    rig.run(day())


def test_requests_to_join_that_are_refused_are_counted_and_change_nothing():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        before = dump(rig.disk)
        for number in range(30):
            device = rig.device(f"mallory{number}", Role.HOLDER)
            joining = rig.joining(replace(device, name="h1"))  # a name that is taken
            with pytest.raises(Refused):
                await joining.ask()
        assert dump(rig.disk) == before
        await rig.authority._write_counted()
        written = "strangers asked to join and were refused (30 times)"
        assert said(rig, "proposal.refused") == [written]

    rig.run(day())
