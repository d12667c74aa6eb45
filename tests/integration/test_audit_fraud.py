"""An authority that rewrites, cuts or forks its log is caught by a holder that cosigned before."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import replace

import pytest

from tigertally.audit.log import ENTRIES, HEAD, NODES, AuditLog
from tigertally.base.ids import Name, Text
from tigertally.node.profile import open_profile
from tigertally.quorum.authority.admission import get_settings
from tigertally.quorum.card import domain_of
from tigertally.quorum.restoration import log_origin

pytestmark = pytest.mark.requirement("X5")


def rewrite(town, change):
    """The whole log again, as if `change` of its entries had always been there; service stopped."""
    with (
        open_profile(town.home, Name("hq"), passphrase=None) as hq,
        hq.plain_store.transaction() as tx,
    ):
        log = AuditLog(log_origin(domain_of(get_settings(tx).card)), hq.signing_key)
        entries = list(log.entries(tx))
        for table in (ENTRIES, NODES, HEAD):
            for key, _ in list(tx.scan(table)):
                tx.delete(table, key)
        for entry in change(entries):
            log.append(
                tx,
                time=entry.time,
                kind=entry.kind,
                actor=entry.actor,
                summary=entry.summary,
                detail=entry.detail,
            )
        log.check(tx)


def caught(town, name="alice"):
    """Neither command goes through, both name the authority; nothing is unlocked."""
    for command in (("audit", "verify"), ("audit", "list"), ("holder", "unlock")):
        told = town.json(*command, "--profile", name, code=5)
        assert told["culprits"] == ["authority"], command
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"


def forged(entries):
    """Not alice, carol has approved."""
    return [
        replace(entry, actor=Text("carol"), summary=Text("carol approved"))
        if entry.summary == "alice approved"
        else entry
        for entry in entries
    ]


def test_an_honest_authority_is_not_accused(stopped_town):
    """The control: all that is done below, but without a change."""
    town = stopped_town
    rewrite(town, lambda entries: entries)
    town.authority_up()
    for name in ("alice", "bob", "carol"):
        assert town.json("audit", "verify", "--profile", name)["ok"]
        town.unlock(name)


def test_a_rewritten_log(stopped_town):
    rewrite(stopped_town, forged)
    stopped_town.authority_up()
    caught(stopped_town, "alice")
    caught(stopped_town, "bob")


def test_one_row_that_was_edited(stopped_town):
    """A clumsy forger leaves the hashes as they were: an honest authority shows no such entry.

    An authority that is the forger itself rewrites the hashes too: the tests below.
    """
    town = stopped_town
    rows = "SELECT key, value FROM rows WHERE table_name = ? ORDER BY key"
    with contextlib.closing(sqlite3.connect(town.home / "hq" / "store.db")) as database:
        found = database.execute(rows, (ENTRIES,)).fetchall()
        key, value = next((key, value) for key, value in found if b"alice approved" in value)
        other = value.replace(b"alice approved", b"carol approved")
        change = "UPDATE rows SET value = ? WHERE table_name = ? AND key = ?"
        assert database.execute(change, (other, ENTRIES, key)).rowcount == 1
        database.commit()
    town.authority_up()
    told = town.json("audit", "verify", "--profile", "alice", code=4)
    assert told["error"] == "damaged"
    assert f"entry {int.from_bytes(key, 'big')} " in told["message"]
    assert told["culprits"] == [], "who serves a disk that somebody edited is no forger"


def test_a_log_that_was_cut(stopped_town):
    rewrite(stopped_town, lambda entries: entries[:-8])
    stopped_town.authority_up()
    caught(stopped_town)


def test_a_log_that_was_cut_and_has_grown_again(stopped_town):
    town = stopped_town
    rewrite(town, lambda entries: entries[:-3])
    for _ in range(5):  # each start is an entry
        town.authority_up()
        town.authority_down()
    town.authority_up()
    caught(town)


def test_an_older_copy_and_two_copies_that_went_apart(stopped_town):
    town = stopped_town
    copy = town.home.parent / "copy"
    shutil.copytree(town.home / "hq", copy)
    town.authority_up()
    town.unlock("alice")
    town.run("key", "create", "wages", "--profile", "alice", "--no-wait")
    town.authority_down()
    shutil.rmtree(town.home / "hq")
    shutil.copytree(copy, town.home / "hq")

    town.authority_up()  # bob has seen nothing of what alice saw
    assert town.json("audit", "verify", "--profile", "bob")["ok"]
    caught(town, "alice")
    town.unlock("bob")
    for number in range(4):  # the other history becomes longer than the one alice saw
        town.run("key", "create", f"k{number}", "--profile", "bob", "--no-wait")
    assert town.json("audit", "verify", "--profile", "bob")["ok"]
    town.authority_down()
    town.authority_up()
    caught(town, "alice")
    assert town.json("audit", "verify", "--profile", "bob")["ok"]
    town.unlock("bob")
    for command in (("holder", "sync"), ("holder", "inbox"), ("key", "list")):
        told = town.json(*command, "--profile", "alice", code=5)
        assert told["culprits"] == ["authority"], command


def test_a_cut_log_is_noticed_by_the_next_sync(stopped_town):
    """Also by who does not ask for the log, and cannot be told 'an older checkpoint came late'."""
    town = stopped_town
    copy = town.home.parent / "copy"
    shutil.copytree(town.home / "hq", copy)
    town.authority_up()
    town.unlock("alice")
    for number in range(3):
        town.run("key", "create", f"k{number}", "--profile", "alice", "--no-wait")
    town.authority_down()
    shutil.rmtree(town.home / "hq")
    copy.rename(town.home / "hq")
    town.authority_up()
    town.unlock("carol")  # who knows of nothing
    told = town.json("holder", "sync", "--profile", "alice", code=5)
    assert told["culprits"] == ["authority"]
