from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import pytest

from tigertally.base.errors import Unavailable, UsageError
from tigertally.node.locks import Count, Exclusive

HOLD = """
import sys
from pathlib import Path
from tigertally.node.locks import Exclusive
with Exclusive(Path(sys.argv[1]), what="it").held(wait=10, doing="a long job"):
    print("inside", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that is inside until its input ends."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "lock")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "inside\n"
        yield process
        process.kill()


def test_one_at_a_time_and_the_other_is_named(tmp_path, other):
    lock = Exclusive(tmp_path / "lock", what="profile alice")
    with pytest.raises(Unavailable) as refused, lock.held(wait=0):
        pass
    said = str(refused.value)
    assert said == f"profile alice is in use by process {other.pid} (a long job)"


def test_who_waits_gets_in_when_the_other_is_done(tmp_path, other):
    lock = Exclusive(tmp_path / "lock", what="it")
    threading.Timer(0.1, other.stdin.close).start()
    with lock.held(wait=30):
        assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} ")
    assert other.wait() == 0


def test_a_killed_process_leaves_nothing_locked(tmp_path, other):
    other.kill()
    other.wait()
    with Exclusive(tmp_path / "lock", what="it").held(wait=0):
        pass


def test_it_can_be_taken_again_and_again_also_after_an_error(tmp_path):
    lock = Exclusive(tmp_path / "lock", what="it")
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), lock.held(wait=0):
            raise ZeroDivisionError
    assert (tmp_path / "lock").read_bytes() == b""
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_a_thread_does_not_wait_for_itself(tmp_path):
    lock = Exclusive(tmp_path / "lock", what="it")
    with lock.held(wait=0), pytest.raises(UsageError), lock.held(wait=60):
        pass
    with lock.held(wait=0):
        pass


def test_threads_take_turns(tmp_path):
    lock = Exclusive(tmp_path / "lock", what="it")
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(5):
            with lock.held(wait=60):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_count_counts_and_forgets_only_what_is_reported(tmp_path):
    count = Count(tmp_path / "count")
    assert count.value() == 0
    for _ in range(3):
        count.add()
    assert count.value() == Count(tmp_path / "count").value() == 3
    count.subtract(2)
    assert count.value() == 1
    count.subtract(5)
    assert count.value() == 0
    assert stat.S_IMODE((tmp_path / "count").stat().st_mode) == 0o600


def test_counting_at_once_loses_nothing(tmp_path):
    threads = [
        threading.Thread(target=lambda: [Count(tmp_path / "c").add() for _ in range(10)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Count(tmp_path / "c").value() == 40


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(OSError, match="symbolic"),
        Exclusive(tmp_path / "lock", what="").held(wait=0),
    ):
        pass
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
