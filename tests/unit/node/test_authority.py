"""One writer, shared transactions: each request is all or nothing by itself."""

from __future__ import annotations

import asyncio

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Refused, Unavailable
from tigertally.host.desk import KeepChanges
from tigertally.node.authority import _CHILD
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.storage.memory import MemoryStore


def say(text: str):
    return lambda desk: desk.record("test.said", actor="test", summary=text)


def fail(error: Exception, text: str):
    def work(desk: DomainDesk) -> None:
        say(text)(desk)
        raise error

    return work


def heard(rig: DomainRig) -> list[str]:
    with rig.disk.reading() as reader:
        return [str(entry.summary) for entry in rig.authority._log.entries(reader)]


async def test_what_fails_in_a_shared_transaction_is_taken_back_alone():
    rig = DomainRig()
    outcomes = await asyncio.gather(
        rig.authority.run(say("one")),
        rig.authority.run(fail(Refused("no"), "two")),
        rig.authority.run(fail(KeepChanges(Refused("kept")), "three")),
        rig.authority.run(fail(ZeroDivisionError(), "four")),
        rig.authority.run(say("five")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        type(None),
        Refused,
        Refused,
        ZeroDivisionError,
        type(None),
    ]
    assert heard(rig) == ["one", "three", "five"]


async def test_they_see_each_other_in_order_and_share_one_commit():
    rig = DomainRig()
    commits = 0
    begin = rig.disk.transaction

    def counted():
        nonlocal commits
        commits += 1
        return begin()

    rig.disk.transaction = counted  # type: ignore[method-assign]
    sizes = await asyncio.gather(
        *(
            rig.authority.run(lambda desk: (say("x")(desk), desk.log.size(desk.plain))[1])
            for _ in range(9)
        )
    )
    assert sizes == list(range(1, 10))
    assert commits == 1


async def test_nobody_is_answered_before_the_commit():
    rig = DomainRig()

    class Full(MemoryStore):
        def transaction(self):
            raise Unavailable("the disk is full")

    rig.authority.writer._store = Full()
    outcomes = await asyncio.gather(
        rig.authority.run(say("one")), rig.authority.run(say("two")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]


async def test_one_that_is_gone_holds_nobody_up():
    rig = DomainRig()
    gone = asyncio.create_task(rig.authority.run(say("gone")))
    await asyncio.sleep(0)
    gone.cancel()
    await rig.authority.run(say("here"))
    assert "here" in heard(rig)
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_the_worker_does_not_wake_itself():
    rig = DomainRig()
    wake = rig.authority._wake[_CHILD]
    wake.clear()
    await rig.authority.run(lambda desk: None, background=True)
    await rig.authority.run(lambda desk: None)
    assert not wake.is_set()
