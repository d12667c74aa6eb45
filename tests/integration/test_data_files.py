"""`tally identity`, `write` and `read` on real files in a real folder."""

from __future__ import annotations

import os
import stat

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
@pytest.mark.requirement("D12")
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
    failed = ann.json("read", written["url"], *me, "--out", out, code=5)
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
    ann.run("write", plain, *me, "--label", "a/../b", "--store", url, code=2)
    ann.run("write", plain, *me, "--label", "a", "--store", "s3://b", code=2)
    made = ann.json("identity", "init", "--profile", "bob")
    assert set(made) == {"name", "fingerprint"}
    ann.run("identity", "init", "--profile", "bob", code=2)
    ann.json(*put)
    ann.run("read", written["url"], "--profile", "bob", "--out", work / "stolen", code=3)
    assert not [name for name in names(work) if name in ("partly", "moved", "nothing", "stolen")]
    assert not [name for name in names(work) if name.startswith(".")]
