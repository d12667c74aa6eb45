"""Two proposals whose ids begin alike: a beginning stands for the one that was displayed.

What a requester can do to a holder who types eight digits: have a harmless request displayed, let
it end, and put another in its place.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from process_rig import PASSPHRASE
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.messages.kinds import Form
from tigertally.node.connect import connected
from tigertally.node.profile import open_profile
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.proposal import proposal_id
from twins import DIGITS, release_of, twins

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X5")]

LATER = "3600"  # seconds: the harmless one has expired, its twin has not


class Requester:
    """The device of `app`, with a program of its own."""

    def __init__(self, town):
        self.town = town

    async def _as_app(self, work):
        ask = lambda: Secret(PASSPHRASE.encode())  # noqa: E731
        with open_profile(self.town.home, Name("app"), passphrase=ask) as profile:
            async with connected(profile) as party:
                return await work(party)

    def make_twins(self):
        """A harmless request and another, signed; nobody has seen them yet."""

        async def work(party):
            roster = (await MemberClient(party).sync()).roster
            now, key = int(time.time()), PrivateKey.generate(SystemRandomness())
            harmless = release_of(party.key, key, roster, now=now, lifetime=1800)
            other = release_of(
                party.key, key, roster, now=now, lifetime=24 * 3600, form=Form.PRIVATE
            )
            return twins(party.key, harmless, other)

        return asyncio.run(self._as_app(work))

    def hand_in(self, envelope):
        async def work(party):
            await MemberClient(party).propose(envelope)

        asyncio.run(self._as_app(work))
        return str(proposal_id(envelope))


@pytest.fixture
def requester(town):
    return Requester(town)


def approvals(town, id_, **environment):
    inbox = town.json("holder", "inbox", "--profile", "carol", **environment)
    return {one["id"]: one["approvals"] for one in inbox}[id_]


def refused(town, text, code, words, **environment):
    """At a terminal and, for a whole id, without one: refused, and nobody is asked."""
    person = town.at_terminal("holder", "approve", text, "--profile", "bob", **environment).wait()
    assert person.code == code, person
    assert words in person.err
    assert "[y/N]" not in person.err
    if len(text) == 64:
        town.run("holder", "approve", text, "--profile", "bob", code=code, **environment)


def test_a_beginning_stays_that_of_what_was_displayed(town, requester):
    harmless, other = requester.make_twins()
    displayed = requester.hand_in(harmless)
    begins = displayed[:DIGITS]
    town.at_terminal("holder", "inbox", "--profile", "bob").wait()

    # Both are open: the person means the one that was displayed.
    twin = requester.hand_in(other)
    person = town.at_terminal("holder", "approve", begins, "--profile", "bob")
    shown = person.asked("Approve?")
    assert (displayed in shown, twin in shown, "PRIVATE" in shown) == (True, False, False)
    assert person.answer("n\n").code == 3

    # The displayed one has ended: its name, short or whole, does not come to mean the other.
    for name in ("alice", "carol"):
        town.run("holder", "reject", displayed, "--profile", name)
    refused(town, begins, 3, "the proposal is rejected: nothing was signed")
    refused(town, displayed, 3, "the proposal is rejected: nothing was signed")

    # Now the twin is displayed, too: the eight digits name neither any more.
    town.at_terminal("holder", "inbox", "--profile", "bob").wait()
    refused(town, begins, 2, "several proposals that this device has displayed begin with")
    assert approvals(town, twin) == 0

    # Its whole id names it, and what matters stands first.
    person = town.at_terminal("holder", "approve", twin, "--profile", "bob")
    assert person.asked("Approve?").startswith("FORM PRIVATE: ")
    assert person.answer("y\n").code == 0
    assert approvals(town, twin) == 1


def test_an_expired_one_leaves_its_name_to_nobody(town, requester):
    harmless, other = requester.make_twins()
    displayed = requester.hand_in(harmless)
    town.run("holder", "inbox", "--profile", "bob")
    twin = requester.hand_in(other)
    town.authority_down()
    town.authority_up(FAULT_CLOCK=LATER)
    later = {"FAULT_CLOCK": LATER}
    town.run("holder", "unlock", "--profile", "alice", **later)
    refused(town, displayed[:DIGITS], 2, "this device has displayed no open proposal", **later)
    refused(town, displayed, 3, "the proposal is expired: nothing was signed", **later)
    assert approvals(town, twin, **later) == 0


def test_a_tally_is_exported_by_a_name_that_is_its_own(town, requester, tmp_path):
    """A beginning is for people, and must be one of a kind in the whole history."""
    harmless, other = requester.make_twins()
    first = requester.hand_in(harmless)
    town.approve(first, "alice", "bob")
    out = tmp_path / "tally"
    export = ("tally", "export", "--profile", "carol", "--out", out)
    for text in ("", first[:7], first[:DIGITS]):
        town.run(*export, text, code=2)
    for text in ("", first[:7], "0" * DIGITS):
        assert town.at_terminal(*export, text).wait().code == 2
    assert not out.exists()
    alone = town.at_terminal(*export, first[:DIGITS]).wait()
    assert alone.code == 0, alone
    assert first in alone.err
    assert "reason, as app says: “restore test”" in alone.err, "what it is of, in words"
    named = out.read_bytes()
    out.unlink()
    requester.hand_in(other)
    both = town.at_terminal(*export, first[:DIGITS]).wait()
    assert both.code == 2, both
    assert "several proposals begin with" in both.err
    assert not out.exists()
    town.run(*export, first)
    assert out.read_bytes() == named
