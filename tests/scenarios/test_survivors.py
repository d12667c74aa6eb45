"""n - m holders are gone, in every combination: the others release, repair, take in new ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest

from change_rig import info_of, join, one_epoch, remove, settle
from domain_rig import DomainRig, put_memory
from tigertally.custody.client.requester import Released
from tigertally.custody.messages.kinds import Suite
from walks import sampled

CASES = [
    pytest.param(n, m, gone, suite, id=f"{m}of{n}-without-{''.join(map(str, gone))}-{suite.value}")
    for n in (3, 4, 5)
    for m in range(2, n)
    for gone in itertools.combinations(range(1, n + 1), n - m)
    for suite in Suite
]


@dataclass
class Formed:
    """A domain with a key; every case starts from a copy of its stores."""

    rig: DomainRig
    disks: Any
    barrier: Any
    key: Released


@cache
def formed(n: int, m: int, suite: Suite) -> Formed:
    rig = DomainRig(threshold=m)

    async def day() -> Released:
        await rig.form(n)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        return await rig.release("app", "payroll", by=rig.holders()[:m])

    key = rig.run(day())
    return Formed(rig, rig.snapshot(), rig.authority.writer.memory.barrier, key)


@pytest.mark.requirement("C3")
@pytest.mark.requirement("C9")
@pytest.mark.requirement("C10")
@pytest.mark.requirement("X3")
@pytest.mark.walk
@pytest.mark.parametrize(("n", "m", "gone", "suite"), sampled(CASES, 20, "survivors"))
def test_any_m_holders_release_and_repair(
    n: int, m: int, gone: tuple[int, ...], suite: Suite
) -> None:
    start = formed(n, m, suite)
    rig = start.rig
    rig.restore(start.disks)
    put_memory(rig.authority, barrier=start.barrier)
    lost = [f"h{index}" for index in gone]
    left = [name for name in rig.holders() if name not in lost]

    async def day() -> None:
        async def works(reason: str, by: list[str]) -> None:
            again = await rig.release("app", "payroll", by=by, reason=reason)
            assert again.secret.matches(start.key.secret)
            assert again.faulty == ()

        await works("they are gone", left)
        for place, name in enumerate(lost, start=1):
            await remove(rig, name, by=left, acks=m)
            await settle(rig, left, 3)
            info = await info_of(rig, "payroll")
            assert (info.state, info.epoch) == ("active", 1 + place)
            one_epoch(rig, left)
        await works("repaired", left)
        await join(rig, "new", by=left)
        await settle(rig, ["new", *left], 3)
        one_epoch(rig, [*left, "new"])
        assert (await info_of(rig, "payroll")).epoch == 2 + len(lost)
        await works("with the new one", ["new", *left[1:]])

    rig.run(day())
