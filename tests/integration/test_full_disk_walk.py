"""The authority's disk fills up at every single write and flush of each operation.

Each case: an operation is begun with room for N-1 writes and flushes and none after them; every
command of it succeeds or ends with exit 4, and no daemon ends or locks itself. With space again
the commands that failed are given once more and the operation comes to its end. Then memory and
disk agree: the authority answers before a restart as it does after it. A few N by the seed here,
each of them in `make walk`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from full_disk import Disk
from process_rig import HOLDERS, Town
from tigertally.base.codec import decode
from tigertally.quorum.authority.rows import ROSTERS
from tigertally.quorum.roster import SignedRoster
from tigertally.storage.sql import SqlStore
from walks import sampled

pytestmark = [pytest.mark.slow, pytest.mark.walk, pytest.mark.timeout(300)]

FULL = 4  # "cannot now": what a command says whose authority has no room
AT_REST = ("active", "destroyed")
EVERYBODY = (*HOLDERS, "dora")
KNOWN: dict[str, bytes] = {}  # what the formed town keeps: the same in every copy of it
STATUS = ("authority", "status", "--profile", "hq")


class Work:
    """One operation's commands: each is given until it has succeeded, then never again."""

    def __init__(self, town: Town, folder: Path) -> None:
        self.town, self.folder = town, folder
        self.full = False
        self.refused = 0
        self._done: dict[tuple[str, ...], Any] = {}

    def run(self, *args: str | Path, **environment: str) -> Any:
        """The document of a command; None where the disk was full."""
        words = tuple(str(arg) for arg in args)
        if words not in self._done:
            outcome = self.town.start(*words, "--json", **environment).wait()
            assert "Traceback" not in outcome.err, str(outcome)
            if self.full and outcome.code == FULL:
                self.refused += 1
                return None
            assert outcome.code == 0, str(outcome)
            self._done[words] = outcome.document()
        return self._done[words]

    def agreed(self, *args: str, by: tuple[str, ...]) -> bool:
        """Propose, and have these approve if there is a proposal; whether all of it succeeded."""
        asked = self.run(*args, "--no-wait")
        if asked is None:
            return False
        approve = ("holder", "approve", asked["proposal"], "--profile")
        return None not in [self.run(*approve, name) for name in by]

    def settle(self, *names: str) -> None:
        """These sync until every key is at rest, or until there is no room; never done for good."""
        for _ in range(20):
            for name in names:
                self._again("holder", "sync", "--profile", name)
            keys = self._again("key", "list", "--profile", "alice")
            if self.refused and self.full:
                return
            if all(key["state"] in AT_REST for key in keys):
                break
        else:
            assert self.full, keys
        for name in names:
            self._again("holder", "sync", "--profile", name)

    def _again(self, *words: str) -> Any:
        self._done.pop(words, None)
        return self.run(*words)

    def get(self, key: str, *by: str) -> bytes:
        """A key, released now."""
        out = self.folder / f"{key}-{len(list(self.folder.glob(f'{key}-*')))}"
        self.town.get(key, out, by=by)
        return out.read_bytes()


def nothing(_: Work) -> None:
    """Nothing to prepare."""


def remove(work: Work) -> None:
    work.agreed("holder", "remove", "carol", "--profile", "alice", by=("bob",))
    work.settle("alice", "bob")


def is_removed(work: Work) -> None:
    refused = work.town.run("holder", "sync", "--profile", "carol", code=3)
    assert "not a member" in refused.err


def stranger(work: Work) -> None:
    work.town.person("dora")


def join(work: Work) -> None:
    enrol = ("holder", "enrol", "--profile", "dora", *work.town.where)
    if work.agreed(*enrol, by=("alice", "bob")) and work.run(*enrol) is not None:
        work.settle(*EVERYBODY)


def has_joined(work: Work) -> None:
    roster = work.town.json("roster", "show", "--profile", "dora")
    assert [one["name"] for one in roster["holders"]] == list(EVERYBODY)


def create(work: Work) -> None:
    words = ("key", "create", "late", "--suite", "shamir-gf256", "--profile", "alice")
    work.agreed(*words, by=("bob",))
    work.settle(*HOLDERS)


def is_created(work: Work) -> None:
    (late,) = [k for k in work.town.json("key", "list", "--profile", "app") if k["key"] == "late"]
    assert (late["state"], late["acknowledged"]) == ("active", [1, 2, 3])


def release(work: Work) -> None:
    words = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out")
    words = (*words, str(work.folder / "got"))
    work.agreed(*words, by=("alice", "bob"))
    work.settle("alice", "bob")
    if not work.refused or not work.full:
        work.run(*words, "--wait", "20")


def is_released(work: Work) -> None:
    assert (work.folder / "got").read_bytes() == KNOWN["payroll"]


def destroy(work: Work) -> None:
    work.agreed("key", "destroy", "vault", "--profile", "alice", by=("bob",))
    work.settle(*HOLDERS)


def is_destroyed(work: Work) -> None:
    (vault,) = [k for k in work.town.json("key", "list", "--profile", "app") if k["key"] == "vault"]
    assert vault["state"] == "destroyed"
    get = ("key", "get", "vault", "--profile", "app", "--reason", "r", "--no-wait")
    refused = work.town.run(*get, "--out", work.folder / "never", code=3)
    assert "is destroyed" in refused.err


def quorum(work: Work) -> None:
    words = ("quorum", "set", "--threshold", "3", "--unlock", "1", "--profile", "alice")
    work.agreed(*words, by=("bob", "carol"))
    work.settle(*HOLDERS)


def is_set(work: Work) -> None:
    assert work.town.json("roster", "show", "--profile", "alice")["threshold"] == 3


def back_up(work: Work) -> None:
    work.town.run("authority", "backup", "--profile", "hq", "--out", work.folder / "hq.backup")
    work.town.authority_down()
    shutil.rmtree(work.town.home / "hq")


def restore(work: Work) -> None:
    words = ("authority", "restore", "--profile", "hq", "--in", work.folder / "hq.backup")
    if work.run(*words, FAULT_FULL=str(work.folder / "hq.full")) is None:
        assert not list(work.town.home.glob("*hq*")), "all or nothing"
    elif not work.full:
        work.town.authority_up()
        accept(work)


def back_up_and_restore(work: Work) -> None:
    back_up(work)
    work.run("authority", "restore", "--profile", "hq", "--in", work.folder / "hq.backup")
    work.town.authority_up(FAULT_FULL=str(work.folder / "hq.full"), FAULT_CHORES="0.5")


def accept(work: Work) -> None:
    for name in ("alice", "bob"):
        work.run("holder", "unlock", "--profile", name)
    if not work.refused or not work.full:
        work.settle(*HOLDERS)


def is_accepted(work: Work) -> None:
    assert work.town.json(*STATUS)["restored"] is False


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What is done, how it is seen to be done, and how many writes and flushes it takes at most."""

    prepare: Callable[[Work], None] = nothing
    do: Callable[[Work], None]
    check: Callable[[Work], None]
    writes: int  # as counted, and some more: background work moves the count
    left: tuple[str, ...] = HOLDERS
    decide: tuple[str, ...] = ("alice", "bob")  # who releases a key after it
    samples: int = 1  # so many numbers in the suite
    opens: bool = True  # the authority is unlocked while it happens


OPERATIONS = {
    "remove": Operation(do=remove, check=is_removed, writes=1000, left=("alice", "bob"), samples=2),
    "join": Operation(
        prepare=stranger,
        do=join,
        check=has_joined,
        writes=1000,
        left=EVERYBODY,
        decide=("bob", "dora"),
    ),
    "create": Operation(do=create, check=is_created, writes=400),
    "release": Operation(do=release, check=is_released, writes=190),
    "destroy": Operation(do=destroy, check=is_destroyed, writes=320),
    "quorum": Operation(do=quorum, check=is_set, writes=780, decide=HOLDERS),
    "restore": Operation(prepare=back_up, do=restore, check=is_accepted, writes=36, opens=False),
    "accept": Operation(
        prepare=back_up_and_restore, do=accept, check=is_accepted, writes=170, opens=False
    ),
}
CASES = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name, operation in OPERATIONS.items()
    for number in sampled(range(1, operation.writes + 1), operation.samples, f"full disk {name}")
]


def on_disk(town: Town) -> str:
    """The hash of the last roster in the authority's store."""
    store = SqlStore(town.home / "hq" / "store.db", create=False)
    with contextlib.closing(store), store.reading() as reader:
        *_, (_, row) = reader.scan(ROSTERS)
    return decode(SignedRoster, row).parse().hash.hex()


def answers(work: Work, operation: Operation) -> dict[str, Any]:
    """What the authority answers, checked against its disk; nobody has anything left to do."""
    operation.check(work)
    said = work.town.state()
    assert said["roster"] == on_disk(work.town)
    said["members"] = work.town.json("roster", "show", "--profile", "alice")
    return said


def started(town: Town, folder: Path, operation: Operation) -> Work:
    """The town as the operation finds it: up and unlocked, if not prepared otherwise."""
    work = Work(town, folder)
    town.authority_up(FAULT_FULL=str(folder / "hq.full"), FAULT_CHORES="0.5")
    town.unlock("bob")
    if not KNOWN:
        KNOWN["payroll"] = work.get("payroll", "alice", "bob")
    operation.prepare(work)
    return work


@pytest.mark.requirement("C6")
@pytest.mark.requirement("C9")
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_disk_full_from_any_write_on_costs_time_only(stopped_town, tmp_path, name, number):
    town, operation = stopped_town, OPERATIONS[name]
    disk = Disk(tmp_path, "hq")
    work = started(town, tmp_path, operation)
    work.full = True
    with disk.full_from(number):
        operation.do(work)
        if operation.opens:
            assert not town.authority.ended()
            assert town.json(*STATUS)["state"] == "ready", "it stays unlocked"
    assert disk.struck or not work.refused, "nothing else is to blame"
    assert disk.struck or number > operation.writes // 2, "the control"
    work.full = False
    operation.do(work)
    before = answers(work, operation)
    town.authority_down()
    town.authority_up()
    town.unlock("alice")
    town.unlock("bob")
    assert answers(work, operation) == before
    assert work.get("payroll", *operation.decide) == KNOWN["payroll"]
    for holder in operation.left:
        assert town.json("audit", "verify", "--profile", holder)["ok"]


@pytest.mark.parametrize("name", sampled(OPERATIONS, 1, "full disk ends"))
def test_the_walk_ends_where_the_operation_does(stopped_town, tmp_path, name):
    disk, operation = Disk(tmp_path, "hq"), OPERATIONS[name]
    work = started(stopped_town, tmp_path, operation)
    with disk.counted():
        operation.do(work)
    operation.check(work)
    # Room for what background work adds or takes, not for half an operation.
    assert operation.writes * 0.7 < disk.struck <= operation.writes
