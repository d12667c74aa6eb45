"""A suite that a device does not know keeps that device out of that key alone.

Where version 1 is taken to have known one suite only, the other one is new: a device that asks at
the doors of version 1 is one that does not know it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.errors import NewerVersion, Refused
from tigertally.base.ids import Name
from tigertally.cli.key import _shown
from tigertally.custody.client import rows as device_rows
from tigertally.custody.client.keys import KeyProposals, ask_keys, newest_usable
from tigertally.custody.messages import kinds, v1
from tigertally.custody.messages.kinds import KeyRef, Suite, known_here
from tigertally.custody.messages.options import KNOWN_OPTIONS
from tigertally.custody.messages.sync import CUSTODY_SYNC, KEYS, KeysReply
from tigertally.custody.messages.v1 import NEWER_STATE, KeysReplyV1
from tigertally.custody.service import watch
from tigertally.quorum.messages import SYNC, TALLIES

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("C9")]

SHAMIR = KeyRef(name=Name("new"), version=1)


@pytest.fixture
def _shamir_is_new(monkeypatch):
    for module in (kinds, v1):
        monkeypatch.setattr(module, "V1_SUITES", frozenset({Suite.PEDERSEN_ED25519.value}))


async def held(rig: DomainRig, device: str) -> bool:
    with rig.devices[device].store.reading() as reader:
        return device_rows.live_name(reader, SHAMIR) is not None


@pytest.mark.usefixtures("_shamir_is_new")
def test_a_device_that_does_not_know_it_is_left_out_of_that_key_alone():
    rig = DomainRig()

    async def day():
        await rig.form(3)
        await rig.requester("app")
        for name in ("h3", "app"):
            for door in (SYNC, TALLIES, CUSTODY_SYNC, KEYS):
                rig.devices[name].party.lacking.note(door, rig.clock.now())
        await rig.create("new", suite=Suite.SHAMIR_GF256, acks=2)
        await rig.create("plain")
        report = await rig.sync("h3")
        assert report.problems == []
        assert [x for x in report.waiting_for if "this device" in x] == [
            "new version 1: a newer version of the program on this device"
        ]
        assert [await held(rig, name) for name in ("h1", "h2", "h3")] == [True, True, False]

        known = {str(one.ref.name): one for one in await rig.asker("app").keys()}
        assert (known["new"].state, known["new"].suite) == (NEWER_STATE, "pedersen-ed25519")
        assert "a suite that only a newer version" in known["new"].trouble[-1]
        assert (known["plain"].state, known["plain"].trouble) == ("active", ())
        with pytest.raises(Refused, match="new version 1 is newer than this program"):
            newest_usable([known["new"]], SHAMIR.name)
        found = {str(one.ref.name): one for one in await rig.asker("h1").keys()}
        assert (found["new"].state, found["new"].suite) == ("active", "shamir-gf256")

    rig.run(day())


def test_a_device_names_the_suites_beyond_version_1(monkeypatch):
    assert set(known_here()) == KNOWN_OPTIONS
    monkeypatch.setattr(kinds, "V1_SUITES", frozenset({"pedersen-ed25519"}))
    assert known_here() == tuple(sorted({*KNOWN_OPTIONS, "suite:shamir-gf256"}))


def test_shown_such_a_key_a_device_reads_all_and_acts_on_the_others(monkeypatch):
    """By an authority of tomorrow: the key's suite is none that this program has."""
    rig = DomainRig()

    async def day():
        await rig.form(2)
        await rig.create("plain")
        await rig.create("later")
        honest = watch._key_info

        def tomorrow(desk, record, *rest):
            info = honest(desk, record, *rest)
            return replace(info, suite="tomorrow") if record.ref.name == "later" else info

        monkeypatch.setattr(watch, "_key_info", tomorrow)
        later, plain = (await ask_keys(rig.devices["h1"].party)).keys
        assert (later.suite, plain.known_suite()) == ("tomorrow", Suite.PEDERSEN_ED25519)
        names = {1: "h1", 2: "h2"}
        assert [_shown(one, names)["seen_by_authority"] for one in (later, plain)] == [None, False]
        with pytest.raises(NewerVersion, match="tomorrow"):
            later.known_suite()
        old = KeysReplyV1.of(KeysReply(keys=(later, plain), unreadable=0))
        assert decode(KeysReplyV1, encode(old)) == old
        assert [one.state for one in old.keys] == [NEWER_STATE, "active"]

        client = KeyProposals(rig.holder("h1"))
        synced, _ = await client.holder.sync()
        before = rig.authority_rows()["proposal"]
        with pytest.raises(NewerVersion, match="tomorrow"):
            await client.rotate_or_resume(Name("later"), None, synced)
        assert rig.authority_rows()["proposal"] == before
        assert (await client.rotate_or_resume(Name("plain"), None, synced)).body.version == 2

    rig.run(day())
