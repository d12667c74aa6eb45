"""A one-shot child, as a real process: what it answers, refuses, and how it is ended."""

from __future__ import annotations

import asyncio
import os
import sys
from ast import literal_eval

import pytest

from sources import PACKAGE
from tigertally.base.errors import PeerFault, Unavailable
from tigertally.host.child import in_child

CHILD = """
import ctypes, os, resource, sys, time
from tigertally.base.errors import Refused
from tigertally.host.child import child_main

def work(job):
    if job == b"refuse":
        raise Refused("no" + "!" * 1000)
    if job == b"die":
        os._exit(9)
    if job == b"hang":
        pid = os.path.join(os.path.dirname(__file__), "pid")
        if os.path.exists(pid):
            with open(pid, "w") as told:
                told.write(str(os.getpid()))
        time.sleep(100)
    if job == b"protected":
        core, dumpable = resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3)
        return repr((core, dumpable, sorted(os.environ))).encode()
    return job[::-1]

child_main(work)
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "one_shot.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PACKAGE.parent}")
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "1")
    return "one_shot"


async def test_a_child_does_one_job(module):
    job = bytes(range(256)) * 1000
    assert await in_child(module, job) == job[::-1]


@pytest.mark.requirement("C4")
async def test_a_child_can_be_neither_dumped_nor_traced_and_knows_little_of_its_parent(module):
    core, dumpable, names = literal_eval((await in_child(module, b"protected")).decode())
    assert (core, dumpable) == ((0, 0), 0)
    assert "PYTHONPATH" in names
    assert "SECRET_OF_THE_PARENT" not in names


async def test_what_it_cannot_do_is_told_in_few_words(module):
    with pytest.raises(PeerFault, match=r"^the one-shot child: no!+$") as told:
        await in_child(module, b"refuse")
    assert len(str(told.value)) < 400
    assert told.value.culprits == ()


async def test_a_child_that_dies_or_takes_too_long_is_unavailable(module):
    with pytest.raises(Unavailable, match="ended with 9"):
        await in_child(module, b"die")
    with pytest.raises(Unavailable, match="in time"):
        await in_child(module, b"hang", seconds=0.01)


async def test_a_child_that_cannot_be_started_is_unavailable(module, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(Unavailable, match="cannot be started: No such file"):
        await in_child(module, b"job")


async def test_nobody_who_stops_waiting_leaves_a_child_behind(module, tmp_path):
    os.mkfifo(tmp_path / "pid")
    waiting = asyncio.create_task(in_child(module, b"hang"))
    pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
    os.kill(pid, 0)  # the control: it is there
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
