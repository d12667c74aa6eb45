"""Record a landed version for `tests/versions`: its wheel, and a home made by its own processes.

    PYTHONPATH=src:tests .venv/bin/python tests/versions/record.py COMMIT

Run it once for a commit, before the next version changes a message or a row; commit what it writes.
Everything in the home is made by real processes of that commit; only the passphrases are cheap to
try. A recording is never made again: stores of that time cannot be brought back by a later program.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from process_rig import HOLDERS, PASSPHRASE, SECONDS, ForkServer, Town, reserved_port
from sources import ROOT
from tigertally.quorum.card import Role
from versions_rig import VERSIONS, digest, unpack_program

SECRET = b"a secret from before the domain\n"
PEOPLE = {
    "holder": (*HOLDERS, "dave", "erin"),
    "requester": ("app", "job"),
}
_MAKE_PROFILES = """
import sys, time
from pathlib import Path
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node.profile import create_profile
from tigertally.quorum.card import Role
home, passphrase, *people = sys.argv[1:]
for person in people:
    role, name = person.split(":")
    create_profile(
        Path(home), Name(name), role=Role(role), member=Name(name),
        passphrase=Secret(passphrase.encode()), randomness=SystemRandomness(),
        now=int(time.time()), parameters=FOR_TESTS_ONLY,
    ).close()
"""


def main(commit: str) -> None:
    """Record one version."""
    target = VERSIONS / commit
    with tempfile.TemporaryDirectory(prefix="tally-record-") as name:
        work = Path(name)
        wheel = build_wheel(commit, work)
        program = unpack_program(wheel, work / "program")
        server = ForkServer(program)
        try:
            with reserved_port() as port:
                town = Town(work / "town" / "home", server, port)
                town.home.mkdir(parents=True, mode=0o700)
                try:
                    facts = live(town, program, work)
                finally:
                    town.end()
        finally:
            server.close()
        target.mkdir(exist_ok=True)
        shutil.copy(wheel, target / wheel.name)
        pack(town.home, target / "home.tar.xz")
    facts = {
        "commit": commit,
        "wheel": wheel.name,
        "wheel_sha256": digest(target / wheel.name),
        "home_sha256": digest(target / "home.tar.xz"),
        **facts,
    }
    (target / "recorded.json").write_text(json.dumps(facts, indent=1) + "\n")


def build_wheel(commit: str, work: Path) -> Path:
    """The pure-Python wheel of a commit."""
    source = work / "source"
    source.mkdir()
    archive = work / "source.tar"
    subprocess.run(["git", "archive", "-o", str(archive), commit], cwd=ROOT, check=True)
    with tarfile.open(archive) as packed:
        packed.extractall(source, filter="data")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    dated = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([*pip, "-w", str(work), str(source)], check=True, env=dated)
    (wheel,) = work.glob("*.whl")
    return wheel


def pack(home: Path, file: Path) -> None:
    """The home as one archive, without the logs of its processes."""
    with tarfile.open(file, "w:xz", preset=9) as archive:
        archive.add(home, "home")


def live(town: Town, program: Path, work: Path) -> dict[str, Any]:
    """The life of the domain; what tests must know of it."""
    people = [f"{role}:{name}" for role, names in PEOPLE.items() for name in names]
    make = [sys.executable, "-c", _MAKE_PROFILES, str(town.home), PASSPHRASE, *people]
    subprocess.run(make, check=True, env={**os.environ, "PYTHONPATH": str(program)})
    form(town)
    people_come_and_go(town)
    keys_live(town, work)
    restored(town, work)
    keys = released(town, work)
    pending = what_waits(town, work)
    status = town.json("authority", "status", "--profile", "hq")
    tallies = town.json("tally", "list", "--profile", "alice")
    town.sync("alice", "bob")
    town.authority_down()
    return {
        "recorded_at": int(time.time()),
        "fingerprint": town.fingerprint,
        "roster_version": status["roster_version"],
        "roster_hash": status["roster_hash"],
        "tallies": [[one["id"], one["kind"], one["state"]] for one in tallies],
        "keys": keys,
        "pending": pending,
    }


def form(town: Town) -> None:
    """A 2-of-3 domain with two requesters."""
    pin = town.make_authority()
    town.run("holder", "enrol", "--profile", "alice", *town.where, "--pin", pin)
    town.enrol("bob", by=("alice",))
    town.enrol("carol", by=("alice", "bob"))
    for name in PEOPLE["requester"]:
        town.enrol(name, Role.REQUESTER, by=("alice", "bob"))
    propose(town, "create", "payroll")
    propose(town, "create", "vault", "--suite", "shamir-gf256")
    town.sync()
    for key in ("payroll", "vault"):
        town.await_active(key)


def propose(town: Town, *words: str) -> None:
    """`tally key WORDS`, by alice and bob."""
    asked = town.json("key", *words, "--profile", "alice", "--no-wait")
    town.approve(asked["proposal"], "bob")


def people_come_and_go(town: Town) -> None:
    """dave joins and is removed: the keys are shared anew twice."""
    town.enrol("dave", by=("alice", "bob"))
    await_epoch(town, 2, *HOLDERS, "dave")
    asked = town.json("holder", "remove", "dave", "--profile", "alice", "--no-wait")
    town.approve(asked["proposal"], "bob")
    await_epoch(town, 3, *HOLDERS)


def await_epoch(town: Town, epoch: int, *holders: str) -> None:
    """These sync until every key is active in its epoch of this number."""
    deadline = time.monotonic() + SECONDS
    while True:
        town.sync(*holders)
        keys = town.json("key", "list", "--profile", "alice")
        if {(key["state"], key["epoch"]) for key in keys} == {("active", epoch)}:
            return
        assert time.monotonic() < deadline, f"no epoch {epoch}: {keys}"


def keys_live(town: Town, work: Path) -> None:
    """Keys of every sort: unattended, rotated, destroyed, imported."""
    (work / "secret").write_bytes(SECRET)
    bring = ("key", "import", "legacy", "--profile", "app", "--in", work / "secret")
    propose(town, "create", "nightly", "--requester", "job", "--unattended")
    propose(town, "create", "ledger")
    propose(town, "create", "gone")
    town.approve(town.json(*bring, "--no-wait")["proposal"], "alice", "bob")
    town.sync()
    propose(town, "rotate", "ledger")
    propose(town, "destroy", "gone")
    town.approve(town.json(*bring, "--no-wait")["proposal"], "alice", "bob")
    town.sync()
    assert town.json(*bring)["state"] == "active"


def restored(town: Town, work: Path) -> None:
    """The authority is restored from a back-up: what came after it is learned from holders."""
    file = work / "hq.backup"
    town.run("authority", "backup", "--profile", "hq", "--out", file)
    propose(town, "create", "late")
    town.sync()
    town.authority_down()
    shutil.rmtree(town.home / "hq")
    town.run("authority", "restore", "--profile", "hq", "--in", file)
    town.authority_up()
    for name in ("alice", "bob"):
        town.run("holder", "unlock", "--accept-rollback", "--profile", name)
    town.sync()


def released(town: Town, work: Path) -> dict[str, str]:
    """Every key that can be released, as its requester gets it."""
    commands, outs = [], {}
    for words in (
        *("payroll 1 app", "vault 1 app", "nightly 1 job", "ledger 1 app", "ledger 2 app"),
        *("legacy 1 app private", "late 1 app"),
    ):
        key, version, asker, *form_ = words.split()
        out = outs[f"{key} {version}"] = work / f"{key}-{version}"
        get = ("key", "get", key, "--version", version, "--profile", asker, "--out", out)
        commands.append((*get, "--reason", "recorded", "--form", *(form_ or ["final"])))
    for ended in town.releases(*commands):
        assert ended.code == 0, str(ended)
    return {name: out.read_bytes().hex() for name, out in outs.items()}


def what_waits(town: Town, work: Path) -> dict[str, str]:
    """One release, one key and one holder wait for one more approval each."""
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "waits")
    release = town.json(*get, "--out", work / "waits", "--no-wait")["proposal"]
    town.approve(release, "bob")
    create = town.json("key", "create", "draft", "--profile", "alice", "--no-wait")["proposal"]
    join = town.json("holder", "enrol", "--profile", "erin", *town.where, "--no-wait")["proposal"]
    return {"release": release, "create": create, "join": join}


if __name__ == "__main__":
    main(sys.argv[1])
