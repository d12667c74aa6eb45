"""What a daemon says on standard error is JSON, a line each: also what matters most."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
import time

import pytest

from process_rig import ROOT, Town
from tigertally.base.ids import Name
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.service.rows import KEYS
from tigertally.storage.erasure import owe
from tigertally.storage.sql import SqlStore


def lines_of(said: str) -> list[dict[str, str]]:
    """All that a daemon has said but its first line, which scripts wait for."""
    first, *rest = said.splitlines()
    assert first.startswith("ready ")
    return [json.loads(line) for line in rest]


@pytest.mark.requirement("C9")
def test_what_goes_wrong_is_json_and_a_damaged_key_is_named(nowhere: Town):
    town = nowhere
    town.person("alice")
    pin = town.make_authority(threshold=2)
    town.run("holder", "enrol", "--profile", "alice", *town.where, "--pin", pin)
    assert "cannot read" not in town.run("key", "list", "--profile", "alice").err
    path = town.home / "hq" / "store.db"
    with contextlib.closing(SqlStore(path, create=False)) as store, store.transaction() as tx:
        tx.put(KEYS, KeyRef(name=Name("pay"), version=1).to_bytes(), bytes(100))
        owe(tx, now=int(time.time()))
    with contextlib.closing(sqlite3.connect(path)) as beside:
        # Whoever reads a store keeps its old pages in the log: erasing is put off until it ends.
        beside.execute("BEGIN")
        beside.execute("SELECT count(*) FROM rows").fetchone()
        town.enrol("bob", by=("alice",))
        town.authority.await_words("erasing is put off")
    listed = town.run("key", "list", "--profile", "alice")
    assert "the authority cannot read 1 key besides these" in listed.err
    assert listed.out == "no keys\n"
    for command in (("key", "show", "pay"), ("key", "rotate", "pay")):
        told = town.run(*command, "--profile", "alice", code=4)
        assert "damaged" in told.err, str(told)
    town.authority.await_words("it is set aside")
    town.authority.send(15)
    ended = town.authority.wait()
    town.authority = None
    said = lines_of(ended.err)
    assert all(one.keys() >= {"event", "level", "timestamp"} for one in said), said
    assert [one["event"] for one in said[:1] + said[-1:]] == ["listening", "stopped"]
    put_off = [one for one in said if "erasing is put off" in one["event"]]
    assert [one["level"] for one in put_off] == ["warning"], "once for each reason"
    assert any(KEYS in one["event"] and one["level"] == "error" for one in said)


LOUD = """
import logging, warnings, structlog
from tigertally.host.daemon import prepare
prepare()
try:
    raise RuntimeError("two\\nlines")
except RuntimeError as error:
    logging.getLogger("tigertally.transport.answers").error("%s broke", "it", exc_info=error)
    structlog.get_logger("tigertally.holder").exception("a fault")
logging.getLogger("tigertally.transport.server").info("said")
logging.getLogger("tigertally.transport.server").debug("not said")
logging.getLogger("library").info("not said")
logging.getLogger("library").warning("of a library")
warnings.warn("old", DeprecationWarning, stacklevel=1)
structlog.get_logger("tigertally.holder").info("synced", received=2)
structlog.get_logger("tigertally.holder").debug("not said")
"""


def test_every_way_to_say_something_ends_in_one_line_of_json():
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", LOUD],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(one["event"].split("\n")[0], one["level"]) for one in said[:4]] == [
        ("it broke", "error"),
        ("a fault", "error"),
        ("said", "info"),
        ("of a library", "warning"),
    ]
    assert all("two\nlines" in one["exception"] for one in said[:2])
    assert "DeprecationWarning" in said[4]["event"]
    assert said[5]["received"] == 2
    assert len(said) == 6
    assert all("timestamp" in one for one in said)
