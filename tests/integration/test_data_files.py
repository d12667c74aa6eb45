"""`tally identity`, `write`, `read`, `secret` and `stream` on real files in a real folder."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from tigertally.quorum.card import Role

CHUNK = 65536


@pytest.fixture
def ann(nowhere):
    nowhere.person("ann", Role.IDENTITY)
    return nowhere


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.requirement("D1")
@pytest.mark.requirement("D6")
@pytest.mark.requirement("D8")
@pytest.mark.requirement("D12")
@pytest.mark.requirement("D13")
def test_a_day_of_an_owner(ann, tmp_path):
    me = ("--profile", "ann")
    shown = ann.json("profile", "show", *me)
    assert (shown["role"], shown["name"]) == ("identity", "ann")
    carded = ann.json("identity", "card", *me, "--out", tmp_path / "card")
    assert carded["fingerprint"] == shown["fingerprint"]

    work = tmp_path / "work"
    work.mkdir()
    store, out = work / "store", work / "out"
    plain = work / "plain"
    plain.write_bytes(os.urandom(3 * CHUNK + 5))
    put = ("write", plain, *me, "--label", "reports/may.bin", "--store", store)
    written = ann.json(*put)
    assert written["label"] == "reports/may.bin"
    assert written["url"] == str(store / "reports/may.bin")
    assert written["bytes"] == 3 * CHUNK + 5
    got = ann.json("read", written["url"], *me, "--out", out)
    assert (got["bytes"], got["cfrags"], got["bad_proxies"]) == (3 * CHUNK + 5, 0, [])
    assert (got["signed_by"], got["unsigned"]) == ([shown["fingerprint"]], 0)
    assert out.read_bytes() == plain.read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    out.unlink()
    ann.json(*put, "--aont")  # an update, under the transform
    ann.json("read", written["url"], *me, "--out", out)
    assert out.read_bytes() == plain.read_bytes()

    # damaged: exit 5, and what was at the output path stays
    sealed = store / "reports" / "may.bin"
    raw = bytearray(sealed.read_bytes())
    raw[len(raw) // 2] ^= 1
    sealed.write_bytes(raw)
    before = names(work)
    failed = ann.json("read", written["url"], *me, "--out", out, "--force", code=5)
    assert failed["error"] == "invalid-signature"
    ann.run("read", written["url"], *me, "--out", work / "new", code=5)
    assert names(work) == before
    assert out.read_bytes() == plain.read_bytes()

    # a folder, moved ones and strangers
    tree = work / "tree"
    (tree / "deep" / "er").mkdir(parents=True)
    (tree / "deep" / "er" / "é").write_bytes(b"1")
    (tree / "empty").write_bytes(b"")
    url = f"file://{store}"
    folder = ann.json("write", tree, *me, "--label", "tree", "--store", url)
    assert (folder["url"], folder["bytes"], folder["files"]) == (f"{url}/tree", 1, 2)
    ann.json("read", folder["url"], *me, "--out", work / "back")
    assert (work / "back" / "deep" / "er" / "é").read_bytes() == b"1"
    assert (work / "back" / "empty").read_bytes() == b""
    assert stat.S_IMODE((work / "back").stat().st_mode) == 0o700
    ann.run("read", folder["url"], *me, "--out", work / "back", code=2)
    (store / "moved").mkdir()
    for name in ("empty", "empty.keys"):
        (store / "tree" / name).rename(store / "moved" / name)
        (store / "tree" / "deep" / name).write_bytes((store / "moved" / name).read_bytes())
    ann.run("read", store / "moved", *me, "--out", work / "moved", code=5)
    ann.run("read", folder["url"], *me, "--out", work / "partly", code=5)
    ann.run("read", store / "nothing", *me, "--out", work / "nothing", code=4)
    (tree / "link").symlink_to("empty")
    ann.run("write", tree, *me, "--label", "tree", "--store", url, code=2)
    made = ann.json("identity", "init", "--profile", "bob")
    assert set(made) == {"name", "fingerprint"}
    ann.run("identity", "init", "--profile", "bob", code=2)
    ann.json(*put)
    ann.run("read", written["url"], "--profile", "bob", "--out", work / "stolen", code=3)
    assert not [name for name in names(work) if name in ("partly", "moved", "nothing", "stolen")]
    assert not [name for name in names(work) if name.startswith(".")]


@pytest.mark.requirement("D11")
def test_secrets_in_a_document(ann, tmp_path):
    me = ("--profile", "ann")
    doc, value, out = tmp_path / "app.yaml", tmp_path / "value", tmp_path / "out"
    value.write_text("correct horse battery\n")
    said = ann.json("secret", "set", doc, "db/password", *me, "--in", value)
    assert (said["path"], said["fields"]) == ("db/password", 1)
    value.write_text("{port: 5432, hosts: [a, b]}")
    assert ann.json("secret", "set", doc, "db/more", *me, "--in", value, "--parse")["fields"] == 2
    assert stat.S_IMODE(doc.stat().st_mode) == 0o600
    text = doc.read_text()
    assert "horse" not in text
    got = ann.json("secret", "get", doc, "/", *me)
    more = {"port": 5432, "hosts": ["a", "b"]}
    assert got["value"] == {"db": {"password": "correct horse battery", "more": more}}
    assert ann.run("secret", "get", doc, "db/password", *me).out == "correct horse battery\n"
    ann.json("secret", "get", doc, "db/password", *me, "--out", out)
    assert out.read_text() == "correct horse battery"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    link = tmp_path / "link.yaml"
    link.symlink_to(doc.name)
    assert ann.json("secret", "get", link, "db/password", *me)["document"] == str(doc)
    doc.write_text("# a comment\n" + text)
    assert ann.run("secret", "set", link, "db/more", *me, "--in", value, "--parse").err == ""
    assert link.is_symlink()
    text = doc.read_text()
    assert text.startswith("# a comment\ndb:\n")
    out.unlink()
    doc.write_text(text.replace("more:", "other:"))
    ann.run("secret", "get", doc, "db/other", *me, "--out", out, code=5)
    ann.run("secret", "get", doc, "db/nothing", *me, "--out", out, code=2)
    text += "a: &b {c: 1}\n"
    doc.write_text(text)
    told = ann.run("secret", "set", doc, "a/c", *me, "--in", value, code=2)
    assert "a is marked by an anchor" in told.err
    assert f"line {text.count(chr(10))}" in told.err
    assert not out.exists()
    assert doc.read_text() == text


@pytest.mark.requirement("D14")
def test_a_stream_is_read_while_it_is_written(ann, tmp_path):
    me = ("--profile", "ann")
    store, out = tmp_path / "store", tmp_path / "out"
    place = store / "camera" / "may"
    live = ann.start("stream", "read", place, *me, "--wait", "60")
    words = ("stream", "write", *me, "--label", "camera/may", "--store", store)
    writer = subprocess.Popen(
        [sys.executable, "-m", "tigertally.cli.main", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=ann.environment(),
        cwd=tmp_path,
    )
    assert writer.stdin is not None
    for piece in (b"one,", b"two,"):
        writer.stdin.write(piece)
        writer.stdin.flush()
        deadline = time.monotonic() + 60
        while not live.out.read_bytes().endswith(piece):
            assert time.monotonic() < deadline
            assert not live.ended(0.01), live.wait()
    writer.stdin.close()
    assert writer.wait(60) == 0
    assert live.wait().out == "one,two,"
    got = ann.json("stream", "read", place, *me, "--out", out)
    assert (got["records"], got["bytes"], got["gaps"]) == (3, 8, [])
    assert out.read_bytes() == b"one,two,"
    out.unlink()
    (place / f"{0:016}").unlink()
    cut = ann.json("stream", "read", place, *me, "--out", out, code=5)
    assert cut["gaps"] == [0]
    assert not out.exists()
    ann.run("stream", "read", place, *me, "--out", out, "--gaps")
    assert out.read_bytes() == b"two,"
    (place / f"{2:016}").unlink()
    assert ann.run("stream", "read", place, *me, "--from", "1", "--wait", "0", code=5).out == "two,"
    ann.run("stream", "read", place, *me, "--json", code=2)
    ann.run("stream", "read", store / "none", *me, "--wait", "0", code=4)


@pytest.mark.requirement("D14")
def test_a_signal_ends_a_stream_with_its_last_record(ann, tmp_path):
    store, place = tmp_path / "store", tmp_path / "store" / "live"
    words = ("stream", "write", "--profile", "ann", "--label", "live", "--store", store)
    writer = subprocess.Popen(
        [sys.executable, "-m", "tigertally.cli.main", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=ann.environment(),
    )
    assert writer.stdin is not None
    with writer.stdin:
        writer.stdin.write(b"one")
        writer.stdin.flush()
        live = ann.start("stream", "read", place, "--profile", "ann", "--wait", "60")
        deadline = time.monotonic() + 60
        while not live.out.read_bytes():
            assert time.monotonic() < deadline
            assert not live.ended(0.01), live.wait()
        writer.send_signal(signal.SIGTERM)
        assert writer.wait(60) == 128 + signal.SIGTERM
    assert live.wait().out == "one"
