"""Stores and real processes: killed in the middle, killed after a commit, many at once."""

from __future__ import annotations

import signal

import pytest

from store_kinds import DURABLE, open_store, start


@pytest.fixture(params=DURABLE)
def kind(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def seed(kind, path):
    store = open_store(kind, path)
    with store.transaction() as tx:
        tx.put("t", b"old", b"as it was")
        tx.put("t", b"gone", b"still there")
    store.close()


def content(kind, path):
    store = open_store(kind, path)
    with store.reading() as reader:
        found = dict(reader.scan("t")), list(reader.scan("bulk", limit=1))
    store.close()
    return found


def kill(child):
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdin.close()
    child.stdout.close()


def test_killed_inside_a_transaction_leaves_the_old_state(kind, path):
    seed(kind, path)
    child = start(kind, path, "hold")
    assert child.stdout.readline() == "inside\n"
    kill(child)
    assert content(kind, path) == ({b"old": b"as it was", b"gone": b"still there"}, [])
    store = open_store(kind, path)
    with store.transaction() as tx:  # nobody holds the lock any more
        tx.put("t", b"old", b"newer")
    store.close()
    assert content(kind, path)[0][b"old"] == b"newer"


def test_others_see_nothing_of_an_open_transaction(kind, path):
    seed(kind, path)
    child = start(kind, path, "hold")
    assert child.stdout.readline() == "inside\n"
    assert content(kind, path) == ({b"old": b"as it was", b"gone": b"still there"}, [])
    kill(child)


def test_killed_after_a_commit_keeps_it(kind, path):
    seed(kind, path)
    child = start(kind, path, "commit")
    assert child.stdout.readline() == "committed\n"
    kill(child)
    assert content(kind, path)[0][b"new"] == b"added"


@pytest.mark.parametrize("after", [1, 2, 7, 40, 300])
def test_killed_at_any_moment_leaves_whole_transactions(kind, path, after):
    child = start(kind, path, "count")
    for _ in range(after):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    said = [line for line in child.stdout if line.endswith("\n")]
    last = int(said[-1]) if said else after
    child.wait()
    child.stdin.close()
    child.stdout.close()
    rows, _ = content(kind, path)
    assert rows[b"left"] == rows[b"right"]
    assert int(rows[b"left"]) in (last, last + 1)  # the last commit may not have been told


def test_processes_take_turns_also_in_making_the_file(kind, path):
    children = [start(kind, path, "add") for _ in range(4)]
    assert [child.communicate()[0] for child in children] == [""] * 4
    assert [child.returncode for child in children] == [0] * 4
    assert content(kind, path)[0] == {b"sum": b"200"}


def test_a_full_disk_is_refused_and_forgotten(kind, path):
    seed(kind, path)
    child = start(kind, path, "fill")
    assert child.communicate()[0].splitlines() == ["refused", "went on"]
    assert child.returncode == 0
    rows, bulk = content(kind, path)
    assert rows == {b"old": b"as it was", b"gone": b"still there", b"after": b"written"}
    assert bulk == []
