"""Outputs of the real commands destroy nothing; many writers of one document lose nothing."""

from __future__ import annotations

import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from tigertally.quorum.card import Role

ANN = ("--profile", "ann")


@pytest.fixture
def ann(nowhere):
    nowhere.person("ann", Role.IDENTITY)
    return nowhere


def everything(folder):
    """Names, modes and contents of all that is below but logs; of a profile, its identity."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if name.startswith("logs") or (name.startswith("home/ann/") and path.name != "identity"):
            continue
        found[name] = (path.lstat().st_mode, path.read_bytes() if path.is_file() else None)
    return {**found, "profile": sorted(path.name for path in (folder / "home/ann").iterdir())}


@pytest.mark.requirement("D12")
def test_what_is_read_stays_what_it_is(ann, tmp_path):
    plain, store = tmp_path / "plain", tmp_path / "store"
    plain.write_bytes(b"only copy")
    ann.run("write", plain, *ANN, "--label", "s/p", "--store", store)
    os.link(store / "s/p", tmp_path / "hard")
    (tmp_path / "soft").symlink_to(store / "s")
    before = everything(tmp_path)
    inside = (store / "s/p", store / "new", tmp_path / "hard", tmp_path / "soft/p")
    for out in (*inside, tmp_path / "soft/new", plain):
        told = ann.run("read", store / "s/p", *ANN, "--out", out, code=2)
        assert (
            "is there already" in told.err if out is plain else "what the command reads" in told.err
        )
        if out is not plain:
            ann.run("read", store / "s/p", *ANN, "--out", out, "--force", code=2)
    for out in (store / "s", store / "t", plain):  # a folder of them
        ann.run("read", store / "s", *ANN, "--out", out, code=2)
        ann.run("read", store / "s", *ANN, "--out", out, "--force", code=2)
    for out in (ann.home / "ann/identity", ann.home / "ann/new"):
        told = ann.run("read", store / "s/p", *ANN, "--out", out, "--force", code=2)
        assert "a profile" in told.err
    assert everything(tmp_path) == before
    ann.run("read", store / "s/p", *ANN, "--out", plain, "--force")
    ann.run("read", store / "s/p", *ANN, "--out", tmp_path / "new")
    assert plain.read_bytes() == (tmp_path / "new").read_bytes() == b"only copy"


@pytest.mark.requirement("D12")
def test_a_file_is_not_written_over_itself(ann, tmp_path):
    """`write` into the folder that it reads from, and over what is no object of a store."""
    folder = tmp_path / "q"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.keys", "sub/c"):
        (folder / name).write_bytes(b"only " + name.encode())
    os.link(folder / "a.txt", folder / "twin")
    before = everything(tmp_path)
    for source, label in (
        *((folder / "a.txt", "a.txt"), (folder / "a.txt", "twin"), (folder / "b.keys", "b")),
        *((folder / "sub", "sub"), (folder / "twin", "a.txt")),
    ):
        put = ("write", source, *ANN, "--label", label, "--store", folder)
        for force in ((), ("--force",)):
            told = ann.run(*put, *force, code=2)
            assert "what the command reads" in told.err
    other = tmp_path / "other"
    other.write_bytes(b"something else")
    before = everything(tmp_path)
    put = ("write", other, *ANN, "--label", "a.txt", "--store", folder)
    assert "is there already" in ann.run(*put, code=2).err
    assert everything(tmp_path) == before
    ann.run(*put, "--force")
    ann.run(*put)  # its own object it may replace
    assert (folder / "twin").read_bytes() == b"only a.txt", "the name was replaced, not the file"
    (folder / "a.txt").unlink()  # as a killed first write leaves it: slots, and no file yet
    ann.run(*put)
    for label in ("ann/identity", "ann/store.db", "ann/new"):
        into = ("write", other, *ANN, "--label", label, "--store", ann.home)
        assert "a profile" in ann.run(*into, "--force", code=2).err
    ann.run("profile", "show", *ANN)


@pytest.mark.requirement("D12")
@pytest.mark.parametrize("label", ["label", "label.keys"])
def test_a_file_that_came_while_an_object_was_written_stays(ann, tmp_path, label):
    pipe, store = tmp_path / "pipe", tmp_path / "store"
    os.mkfifo(pipe)
    store.mkdir()

    def somebody() -> None:
        with pipe.open("wb") as content:  # waits for the reader, who has looked at the store
            (store / label).write_bytes(b"only copy")
            content.write(b"content")

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(somebody)
        put = ("write", pipe, *ANN, "--label", "label", "--store", store)
        assert "is there already" in ann.run(*put, code=2).err
        done.result()
    assert (store / label).read_bytes() == b"only copy"
    left = {"label", "label.keys"} if label == "label" else {label}  # key slots come first
    assert {path.name for path in store.iterdir()} == left


def test_documents_and_their_values(ann, tmp_path):
    doc, value = tmp_path / "app.yaml", tmp_path / "value"
    value.write_text("v")
    ann.run("secret", "set", doc, "a", *ANN, "--in", value)
    os.link(doc, tmp_path / "twin.yaml")
    before = everything(tmp_path)
    for source in (doc, tmp_path / "twin.yaml"):
        told = ann.run("secret", "set", doc, "b", *ANN, "--in", source, code=2)
        assert "what the command reads" in told.err
        ann.run("secret", "get", doc, "a", *ANN, "--out", source, "--force", code=2)
    assert (
        "is there already" in ann.run("secret", "get", doc, "a", *ANN, "--out", value, code=2).err
    )
    ann.run("secret", "set", ann.home / "ann/new.yaml", "a", *ANN, "--in", value, code=2)
    (ann.home / "ann/notes.yaml").write_text("a: 1\nb: 2\n")
    told = ann.run("secret", "unset", ann.home / "ann/notes.yaml", "a", code=2)
    assert "a profile" in told.err
    assert (ann.home / "ann/notes.yaml").read_text() == "a: 1\nb: 2\n"
    (ann.home / "ann/notes.yaml").unlink()
    assert everything(tmp_path) == before
    ann.run("secret", "get", doc, "a", *ANN, "--out", value, "--force")
    assert value.read_text() == "v"


@pytest.mark.requirement("D11")
def test_what_is_wrong_with_a_persons_own_file_is_told_as_that(ann, tmp_path):
    loop, doc = tmp_path / "loop.yaml", tmp_path / "half.json"
    loop.symlink_to(loop.name)
    doc.write_text('{"a": "\\ud83d"}')
    told = ann.run("secret", "get", loop, "a", *ANN, code=2)
    assert "is a link that leads nowhere" in told.err
    told = ann.run("secret", "get", doc, "a", *ANN, "--plain", "--out", loop / "out", code=2)
    assert "is a link that leads nowhere" in told.err
    told = ann.run("secret", "get", doc, "a", *ANN, "--plain", "--out", tmp_path / "out", code=2)
    assert "a holds half of a surrogate pair" in told.err
    assert not (tmp_path / "out").exists()
    twice = tmp_path / "twice.yaml"
    twice.write_text("a: 1\na: 2\n")
    told = ann.run("secret", "get", twice, "/", *ANN, "--plain", "--json", code=2)
    assert "the name a is there twice, lines 1 and 2" in told.err
    assert "at fault" not in told.err


@pytest.mark.requirement("D11")
def test_a_document_keeps_what_it_is(ann, tmp_path):
    doc, twin, link = tmp_path / "app.yaml", tmp_path / "twin", tmp_path / "link.yaml"
    doc.write_text("kind: Secret\n")
    doc.chmod(0o664)
    if os.geteuid() == 0:
        shutil.chown(doc, "nobody")
    link.symlink_to("app.yaml")
    value = tmp_path / "value"
    value.write_text("v")
    for links in (1, 2):
        before = doc.stat()
        ann.run("secret", "set", link, f"place{links}", *ANN, "--in", value)
        now = doc.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )
        assert now.st_nlink == links
        assert link.is_symlink()
        if links == 1:
            os.link(doc, twin)
    assert twin.samefile(doc)
    assert "place1" in doc.read_text()
    assert "place2" in doc.read_text()
    ann.run("secret", "set", tmp_path / "new.yaml", "a", *ANN, "--in", value)
    assert stat.S_IMODE((tmp_path / "new.yaml").stat().st_mode) == 0o600


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("links", [0, 1, 2], ids=["made", "renamed", "in place"])
def test_many_writers_of_two_profiles_lose_no_update(ann, tmp_path, links):
    ann.person("bob", Role.IDENTITY)
    doc, value = tmp_path / "shared.yaml", tmp_path / "value"
    value.write_text("v")
    if links:
        doc.write_text("kept: plain\n")
    if links == 2:
        os.link(doc, tmp_path / "twin")
    places = [(name, f"{name}{number}") for number in range(5) for name in ("ann", "bob")]
    running = [
        ann.start("secret", "set", doc, place, "--profile", name, "--in", value)
        for name, place in places
    ]
    for command in running:
        outcome = command.wait()
        assert outcome.code == 0, str(outcome)
    for name, place in places:
        assert ann.json("secret", "get", doc, place, "--profile", name)["value"] == "v"
    expected = {"shared.yaml", "value"} | ({"twin"} if links == 2 else set())
    assert {path.name for path in tmp_path.iterdir()} - {"home", "logs"} >= expected
    assert not [path for path in tmp_path.iterdir() if ".tally-" in path.name]
    assert ("kept: plain" in doc.read_text()) == bool(links)


def test_outputs_of_a_domain(town, tmp_path):
    """Each of them refuses a file that is there before it asks anybody; `--force` replaces it."""
    member, asks = ("--profile", "alice"), ("--profile", "app", "--reason", "r", "--no-wait")
    plain, taken = tmp_path / "plain", tmp_path / "taken"
    plain.write_bytes(b"content")
    taken.write_bytes(b"precious")
    proposals = len(town.json("tally", "list", *member))
    commands = [
        ("roster", "export", *member),
        ("audit", "prove", "--index", "0", *member),
        ("holder", "invite", *member),
        ("tally", "export", town.json("tally", "list", *member)[-1]["id"], *member),
        ("requester", "backup", "--profile", "app"),
        ("authority", "backup", "--profile", "hq"),
        ("authority", "scraper"),
        ("key", "get", "payroll", *asks),
        ("encrypt", "--key", "payroll", "--in", plain, *asks),
    ]
    for command in commands:
        told = town.run(*command, "--out", taken, code=2)
        assert "is there already" in told.err, command
        assert taken.read_bytes() == b"precious"
    told = town.run(
        "encrypt", "--key", "payroll", "--in", taken, *asks, "--out", taken, "--force", code=2
    )
    assert "what the command reads" in told.err
    assert len(town.json("tally", "list", *member)) == proposals, "nobody was asked"
    assert taken.read_bytes() == b"precious"
    for command in commands[:6]:
        out = tmp_path / "out"
        out.write_bytes(b"of no use any more")
        town.run(*command, "--out", out, "--force")
        assert not out.read_bytes().startswith(b"of no use")
        precious = "backup" in command
        town.run(*command, "--out", out, "--force", code=2 if precious else 0)
        out.unlink()


def test_a_key_is_not_written_over_another_and_not_lost(town, tmp_path):
    """What came to stand there while holders were asked stays; the key can be had elsewhere."""
    first = town.get("payroll", tmp_path / "k")
    key = (tmp_path / "k").read_bytes()
    assert first["out"] == str(tmp_path / "k")
    again = ("key", "get", "payroll", "--profile", "app", "--reason", "again", "--out")
    told = town.run(*again, tmp_path / "k", "--force", code=2)
    assert "a key" in told.err
    asked = town.json(*again, tmp_path / "late", "--no-wait")
    for name in ("alice", "bob"):
        town.approve(asked["proposal"], name)
    town.sync("alice", "bob")
    (tmp_path / "late").write_bytes(b"precious")
    assert "is there already" in town.run(*again, tmp_path / "late", code=2).err
    got = town.json(*again, tmp_path / "elsewhere", "--wait", "20")
    assert got["proposal"] == asked["proposal"], "the same request goes on"
    assert (tmp_path / "late").read_bytes() == b"precious"
    assert (tmp_path / "elsewhere").read_bytes() == (tmp_path / "k").read_bytes() == key
    assert json.dumps(got)


@pytest.mark.requirement("D12")
def test_what_is_in_the_way_is_called_what_it_is(ann, tmp_path):
    plain, store = tmp_path / "plain", tmp_path / "store"
    plain.write_bytes(b"x")
    (store / "folder").mkdir(parents=True)
    for force in ((), ("--force",)):
        told = ann.run("write", plain, *ANN, "--label", "folder", "--store", store, *force, code=2)
        assert "is a folder" in told.err
        assert "--force to" not in told.err
    ann.run("write", plain, *ANN, "--label", "p", "--store", store)
    told = ann.run("read", store / "p", *ANN, "--out", "-", code=2)
    assert "a file of that name is ./-" in told.err
    told = ann.run("read", store / "p", *ANN, "--out", store.parent, code=2)
    assert "a folder, which nothing replaces" in told.err
    out = tmp_path / "o"
    assert ann.json("read", store / "p", *ANN, "--out", out)["unsigned"] == 0
    assert type(ann.json("read", store / "p", *ANN, "--out", out, "--force")["unsigned"]) is int
