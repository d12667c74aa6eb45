"""The key is in no memory and in no file but the requester's: looked for, with controls (X2)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memory_search import contents_of, forms, memory_of, names_in
from process_rig import HOLDERS, PASSPHRASE, SECONDS
from tigertally.algebra.ed25519 import ORDER
from tigertally.base.ids import HolderIndex, Name
from tigertally.base.secret import Secret
from tigertally.custody.client.rows import Held
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.protocol.suites import SUITES
from tigertally.node.profile import open_profile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.requirement("X2"),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0,
        reason="only root on Linux reads the memory of a hardened process",
    ),
]


def opened(town, name):
    people = name != "hq"
    ask = (lambda: Secret(PASSPHRASE.encode())) if people else None
    return open_profile(town.home, Name(name), passphrase=ask)


def seed_of(town, name):
    with opened(town, name) as profile:
        return profile.signing_key.seed.to_secret_bytes()


def fragments_of(town, names, ref):
    """What these devices hold, read from their stores with their passphrases."""
    payloads, held = {}, None
    for name in names:
        with opened(town, name) as profile, profile.store.reading() as reader:
            held = Held(reader).live(ref)
            number = held.parsed().keys.index(ref)
            payloads[HolderIndex(HOLDERS.index(name) + 1)] = held.payloads[number]
    return held.parsed().commitments[number], payloads


def truth(town, key, suite):
    """What must be nowhere: computed here, from two holders' fragments."""
    commitments, payloads = fragments_of(town, ("alice", "bob"), KeyRef(name=Name(key), version=1))
    secrets = {index: Secret(raw) for index, raw in payloads.items()}
    found = {"private": SUITES[suite].rebuild(commitments, secrets).to_secret_bytes()}
    if suite is Suite.PEDERSEN_ED25519:
        # Lagrange at 0 for the indices 1 and 2: f(0) = 2 f(1) - f(2).
        for name, part in (("scalar", slice(0, 32)), ("blinding", slice(32, 64))):
            one, two = (int.from_bytes(payloads[HolderIndex(i)][part], "little") for i in (1, 2))
            found[name] = ((2 * one - two) % ORDER).to_bytes(32, "little")
    return found


def hold(raw: bytes) -> subprocess.Popen[bytes]:
    """A process that holds these bytes as a number, and has hardened itself."""
    program = (
        "import sys; from tigertally.base.process import harden; harden()\n"
        "number = int.from_bytes(sys.stdin.buffer.read(32), 'little')\n"
        "print('holding', flush=True); sys.stdin.buffer.read(1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdin.write(raw)
    process.stdin.flush()
    assert process.stdout.readline() == b"holding\n"
    return process


def test_the_search_finds_what_is_there(tmp_path):
    secret = os.urandom(32)
    assert len(forms(secret)) > 6
    process = hold(secret)
    try:
        assert names_in(memory_of(process.pid), {"it": secret, "not it": os.urandom(32)}) == {"it"}
    finally:
        process.communicate(b"x")
    for number, form in enumerate(forms(secret)):
        # Also where the search goes on from one part to the next.
        before = bytes(2**18 - number * 4)
        (tmp_path / "file").write_bytes(before + form + b"after")
        assert names_in((raw for _, raw in contents_of(tmp_path)), {"it": secret}) == {"it"}


def look_everywhere(town, secrets):
    """In the authority, the holders' daemons and every file of every profile and log."""
    pids = {"hq": town.authority.pid}
    for command in town.commands:
        if command.args[:2] == ("holder", "run"):
            pids[command.args[3]] = command.pid
    assert set(pids) == {"hq", *HOLDERS}
    for name, pid in pids.items():
        # Control: each memory can be read, and what that process does hold is found there.
        sought = {**secrets, "its own": seed_of(town, name)}
        assert names_in(memory_of(pid), sought) == {"its own"}, name
    for folder in (town.home, town.home.parent / "logs"):
        for path, raw in contents_of(folder):
            assert names_in([raw], secrets) == set(), path


def requesters_at_work(town, keys, tmp_path):
    """The requester, stopped in the middle of encrypting: it does have the final keys."""
    source = tmp_path / "big"
    with source.open("wb") as file:
        file.truncate(3_000_000_000)
    encrypt = ("encrypt", "--profile", "app", "--reason", "r", "--in", source, "--wait", "50")
    working = [town.start(*encrypt, "--key", key, "--out", tmp_path / key) for key in keys]
    for one in town.asked(number=len(keys)):
        town.approve(one["id"], "alice", "bob")
    deadline = time.monotonic() + SECONDS
    for command in working:
        while not command.ended() and _read_by(command.pid) < 20_000_000:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        command.send(signal.SIGSTOP)
        assert not command.ended()
    return working


def _read_by(pid):
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def test_the_key_is_nowhere_but_at_the_requester(stopped_town, tmp_path):
    town = stopped_town
    town.authority_up(started_anew=True)
    town.unlock()
    for name in HOLDERS:
        town.holder_up(name, started_anew=True)
    secrets = {}
    for suite in Suite:
        create = ("key", "create", f"wages-{suite.value}", "--profile", "alice")
        asked = town.json(*create, "--no-wait", "--suite", suite.value)
        town.approve(asked["proposal"], "bob")
        done = town.json(*create, "--suite", suite.value, "--wait", "30")
        assert done["state"] == "active"
        for name, raw in truth(town, f"wages-{suite.value}", suite).items():
            secrets[f"{name} of {suite.value}"] = raw
    assert len(secrets) == 4
    look_everywhere(town, secrets)  # after their creation

    for suite in Suite:
        private, final = tmp_path / f"private-{suite.value}", tmp_path / f"final-{suite.value}"
        get = ("key", "get", f"wages-{suite.value}", "--profile", "app", "--reason")
        for out, options in ((final, ()), (private, ("--form", "private"))):
            working = town.start(*get, out.name, "--out", out, *options, "--wait", "50")
            (one,) = town.asked()
            town.approve(one["id"], "carol", "bob")
            assert working.wait().code == 0, str(working.wait())
        known = secrets[f"private of {suite.value}"]
        assert private.read_bytes() == known, "what was looked for is the key"
        secrets[f"final of {suite.value}"] = final.read_bytes()
    look_everywhere(town, secrets)  # after their release
    assert _children_at_work(town.authority.pid) == []

    working = requesters_at_work(town, [f"wages-{suite.value}" for suite in Suite], tmp_path)
    for suite, command in zip(Suite, working, strict=True):
        assert f"final of {suite.value}" in names_in(memory_of(command.pid), secrets)
    look_everywhere(town, secrets)  # while the requester has them
    for command in working:
        command.kill()


def _children_at_work(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
