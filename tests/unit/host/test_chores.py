"""Background work that fails is put off, said, counted; it ends nothing and holds up nobody."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Corrupt, Unavailable
from tigertally.custody.service import rows
from tigertally.host import chores
from tigertally.host.alarms import Alarms
from tigertally.host.chores import Pauses, keep_up
from tigertally.host.pages import pages
from tigertally.node import authority
from tigertally.transport.virtual_time import run


def kept_up(step, *, seconds, every=60.0, alarms=None):
    """Run a chore for so many virtual seconds; the times at which it was tried."""
    times = []

    async def timed():
        times.append(round(asyncio.get_running_loop().time() - began, 3))
        await step(len(times))

    async def whole():
        nonlocal began
        began = asyncio.get_running_loop().time()
        chore = asyncio.create_task(keep_up("it", timed, alarms=alarms or Alarms(), every=every))
        await asyncio.sleep(seconds)
        assert not chore.done()
        chore.cancel()

    began = 0.0
    run(whole())
    return times


@pytest.mark.parametrize(
    "error", [Unavailable("the disk is full"), Corrupt("damaged"), ZeroDivisionError()]
)
def test_it_is_tried_again_after_longer_and_longer_pauses(error):
    async def step(_: int) -> None:
        raise error

    times = kept_up(step, seconds=200)
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_once_it_works_it_is_as_before():
    async def step(number: int) -> None:
        if number in (1, 2, 4):
            raise Unavailable("the disk is full")

    assert kept_up(step, seconds=70) == [0, 0.5, 1.5, 61.5, 62]


def test_what_failed_is_counted_and_only_corrupt_makes_it_unready(caplog):
    alarms = Alarms()
    outcomes = [Unavailable("full"), Unavailable("full"), Corrupt("row 7"), ZeroDivisionError()]

    async def step(number: int) -> None:
        if number <= len(outcomes):
            if number == 4:
                assert alarms.unready == "it: row 7"
            raise outcomes[number - 1]

    caplog.set_level(logging.INFO)
    kept_up(step, seconds=100, alarms=alarms)
    assert (+alarms.failures, +alarms.faults) == ({"it": 3}, {"it": 1})
    assert alarms.unready == "", "it works again"
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "full" in line]) == 1, "once per reason"
    assert len(said) == 3


def test_each_has_its_own_pause():
    pauses = Pauses(first=1.0, longest=4.0)
    assert pauses.due("a", now=0)
    pauses.failed("a", now=0)
    assert (pauses.due("a", now=0.5), pauses.due("b", now=0.5), pauses.due("a", now=1)) == (
        False,
        True,
        True,
    )
    for now in (1, 3, 7):
        pauses.failed("a", now=now)
    assert pauses.next() == 11, "4 seconds at most"
    pauses.keep_only(["b"])
    assert pauses.next() is None
    assert pauses.due("a", now=7)


def test_one_job_that_fails_holds_up_no_other_nor_the_tidying_up(monkeypatch):
    """Real services; the jobs are of two keys, one of whose rows cannot be read."""
    rig = DomainRig(threshold=2)
    done = []

    async def day() -> None:
        await rig.form(2)
        await rig.create("payroll")

        async def do(authority, job, id_):
            done.append(id_)
            if id_ == b"1":
                raise ZeroDivisionError
            if id_ == b"2":
                raise Corrupt("damaged")

        monkeypatch.setattr(rig.services, "_do", do)
        tidied = asyncio.Event()
        monkeypatch.setattr(rig.services.releases, "tidy", lambda desk: tidied.set())
        monkeypatch.setattr(chores, "_FIRST_PAUSE", 10.0)
        worker = asyncio.create_task(rig.authority.work())

        def put(desk):
            for id_ in (b"1", b"2", b"3"):
                rows.put_job(desk.sealed, rows.Job.DEAL, id_)

        await rig.authority.run(put)
        await asyncio.sleep(1)
        assert done == [b"1", b"2", b"3"]
        assert tidied.is_set()
        assert +rig.authority.alarms.faults == {"the one-shot child": 1}
        assert +rig.authority.alarms.failures == {"the one-shot child at DEAL": 1}
        assert not worker.done()
        worker.cancel()
        assert not rig.authority.locked

    rig.run(day())


def test_a_job_that_was_put_off_is_tried_again_after_its_pause(monkeypatch):
    """Nothing else wakes the worker meanwhile, and its own look comes once a minute."""
    rig = DomainRig(threshold=2)
    times = []

    async def day() -> None:
        await rig.form(2)
        clock = asyncio.get_running_loop().time

        async def do(authority, job, id_):
            times.append(clock())
            if len(times) < 4:
                raise Unavailable("the disk is full")
            await authority.run(lambda desk: rows.drop_job(desk.sealed, job, id_), background=True)

        monkeypatch.setattr(rig.services, "_do", do)
        worker = asyncio.create_task(rig.authority.work())
        await rig.authority.run(lambda desk: rows.put_job(desk.sealed, rows.Job.DEAL, b"1"))
        await asyncio.sleep(200)
        worker.cancel()

    rig.run(day())
    assert [round(b - a, 3) for a, b in itertools.pairwise(times)] == [0.5, 1, 2]


def test_not_ready_says_why_and_the_rest_goes_on():
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)
        ready = pages(rig.authority)["/readyz"]
        assert ready().status == 200
        rig.authority.alarms.corrupt("tidying up", Corrupt("row 7"))
        shown = ready()
        assert shown.status == 503
        assert json.loads(shown.body) == {
            "ready": False,
            "state": "damaged",
            "why": "tidying up: row 7",
        }
        await rig.sync("h1")
        metrics = (await pages(rig.authority)["/metrics"]()).body.decode()
        assert 'tigertally_background_failures_total{work="tidying up"} 1.0' in metrics
        rig.authority.alarms.well("tidying up")
        assert ready().status == 200

    rig.run(day())


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)

    def lines(words: str) -> int:
        return sum(words in record.getMessage() for record in caplog.records)

    return lines


def test_a_job_is_said_to_fail_once_in_each_outage(monkeypatch, said):
    rig = DomainRig(threshold=2)
    full = True

    async def day() -> None:
        nonlocal full
        await rig.form(2)
        page = (await pages(rig.authority)["/metrics"]()).body.decode()
        assert 'background_failures_total{work="the one-shot child at DEAL"} 0.0' in page

        async def do(authority, job, id_):
            if full:
                raise Unavailable("the disk is full")

        monkeypatch.setattr(rig.services, "_do", do)
        for id_ in (b"1", b"2"):
            place = rows.Job.DEAL, id_
            await rig.authority.run(lambda desk, place=place: rows.put_job(desk.sealed, *place))
        for outage in (1, 2):
            full = True
            for _ in range(3):
                await rig.services.work(rig.authority)
            assert said("the disk is full") == outage
            full = False
            await rig.services.work(rig.authority)

    rig.run(day())


def test_naming_a_row_is_said_to_fail_once_in_each_outage(monkeypatch, said):
    rig = DomainRig(threshold=2)
    full = True
    honest = authority.name_damage

    def name_damage(*given):
        if full:
            raise Unavailable("the disk is full")
        return honest(*given)

    async def day() -> None:
        nonlocal full
        await rig.form(2)
        page = (await pages(rig.authority)["/metrics"]()).body.decode()
        assert 'background_failures_total{work="naming damaged rows"} 0.0' in page
        monkeypatch.setattr(authority, "name_damage", name_damage)
        for outage in (1, 2):
            full = True
            for _ in range(3):
                await rig.sync("h1")
            assert said("the disk is full") == outage
            full = False
            await rig.sync("h1")

    rig.run(day())
