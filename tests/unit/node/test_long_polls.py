"""Who may wait for news: members, and those who have asked to become one."""

from __future__ import annotations

import contextlib

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import encode
from tigertally.base.errors import Locked, Unavailable
from tigertally.base.ids import Text
from tigertally.node.connect import until
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.member.client import MemberClient
from tigertally.transport.channel import Request

pytestmark = pytest.mark.requirement("C13")


class Counted:
    """What a server gives a long poll: somewhere to wait, where it is counted."""

    def __init__(self) -> None:
        self.waits = 0

    @contextlib.contextmanager
    def __call__(self):
        self.waits += 1
        yield


async def waits(rig: DomainRig, name: str) -> int:
    """How often this party's long poll waits; raises what it is told instead."""
    counted = Counted()
    body = encode(messages.NewsRequest(seen=1, wait=1))
    key = rig.devices[name].key.public
    request = Request(path=messages.NEWS, body=body, peer=key, waiting=counted)
    await rig.authority.handlers()[messages.NEWS](request)
    return counted.waits


def test_members_and_joiners_wait_and_strangers_do_not():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        joiner = rig.device("joiner", Role.HOLDER)
        rig.device("mallory", Role.HOLDER)
        before = dump(rig.disk)
        for name in ("joiner", "mallory"):
            with pytest.raises(Unavailable, match="nothing that it could wait for"):
                await waits(rig, name)
        assert dump(rig.disk) == before
        await rig.joining(joiner).ask()
        assert [await waits(rig, name) for name in ("h1", "app", "joiner")] == [1, 1, 1]
        client = rig.holder("h1")
        synced, _ = await client.sync()
        await client.reject(synced.proposals[0], synced, Text("no"))
        with pytest.raises(Unavailable):
            await waits(rig, "joiner")
        rig.start_authority()
        assert await waits(rig, "h1") == 1
        with pytest.raises(Locked):
            await waits(rig, "joiner")

    rig.run(day())


def test_whoever_is_let_in_nowhere_to_wait_looks_again_once_a_second():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        client = MemberClient(rig.device("mallory", Role.HOLDER).party)
        looks = []

        async def look() -> None:
            looks.append(None)

        assert await until(client, look, wait=10) is None
        assert len(looks) == 11

    rig.run(day())
