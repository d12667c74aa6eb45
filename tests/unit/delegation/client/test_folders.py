from __future__ import annotations

import stat

import pytest

from delegation_rig import NOW, label, person
from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.crypto.outputs import Output
from tigertally.delegation.client.folders import read_folder, size_of, write_folder
from tigertally.delegation.client.locating import locate
from tigertally.delegation.stores.open import open_store

ANN = person("ann")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "folder"
    (made / "below").mkdir(parents=True)
    (made / "a").write_bytes(b"1")
    (made / "below" / "b").write_bytes(b"22")
    return made


def written(tmp_path, folder):
    store = open_store(str(tmp_path / "store"))
    return write_folder(ANN, store, folder, label("x"), now=NOW)


@pytest.mark.requirement("D12")
def test_a_folder_comes_back(tmp_path, folder):
    done = written(tmp_path, folder)
    assert (done.files, done.bytes) == (2, 3)
    location = locate(str(tmp_path / "store" / "x"), ANN, [])
    back = tmp_path / "back"
    got = read_folder(ANN, location, Output(path=back))
    assert (got.files, got.bytes) == (done.files, done.bytes)
    assert (got.senders, got.unsigned) == ({ANN.signing_key.public}, 0)
    assert (back / "below" / "b").read_bytes() == b"22"
    assert {stat.S_IMODE(p.stat().st_mode) for p in (back, back / "below")} == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (back / "a", back / "below" / "b")} == {0o600}
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "nowhere").symlink_to("nothing")
    with pytest.raises(UsageError, match="there is no directory"):
        read_folder(ANN, location, Output(path=tmp_path / "none" / "back"))
    before = sorted(tmp_path.rglob("*"))
    for taken in (back, tmp_path / "file", tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="is there already"):
            read_folder(ANN, location, Output(path=taken))
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("bad", ["link", "same", "keys", "partial", "bytes"])
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, folder, bad):
    if bad == "link":
        (folder / "z").symlink_to("a")
    elif bad == "same":
        for name in ("\u00e9", "e\u0301"):
            (folder / name).write_bytes(b"")
    elif bad == "bytes":
        (folder / b"\xff".decode(errors="surrogateescape")).write_bytes(b"")
    else:
        (folder / {"keys": "a.keys", "partial": ".a.partial"}[bad]).write_bytes(b"")
    with pytest.raises(UsageError):
        written(tmp_path, folder)
    assert not (tmp_path / "store").exists()


def test_one_bad_file_and_the_folder_does_not_appear(tmp_path, folder):
    written(tmp_path, folder)
    store = tmp_path / "store" / "x"
    raw = bytearray((store / "below" / "b").read_bytes())
    raw[-1] ^= 1
    (store / "below" / "b").write_bytes(raw)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidSignature):
        read_folder(ANN, locate(str(store), ANN, []), Output(path=tmp_path / "back"))
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_without_a_file_is_refused(tmp_path):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(UsageError, match="no file"):
        written(tmp_path, tmp_path / "empty")
    assert not (tmp_path / "store").exists()


def test_what_the_folder_lacks_stays_and_is_counted(tmp_path, folder):
    assert written(tmp_path, folder).others == 0
    (folder / "a").unlink()
    assert written(tmp_path, folder).others == 1
    assert (tmp_path / "store" / "x" / "a").exists()


def test_a_name_that_is_refused_can_be_read(tmp_path, folder):
    (folder / "new\nline").write_bytes(b"")
    with pytest.raises(UsageError, match=r"folder/new\\nline cannot"):
        written(tmp_path, folder)


def test_the_damaged_file_of_a_folder_is_named_and_progress_adds_up(tmp_path, folder):
    seen: list[int] = []
    store = open_store(str(tmp_path / "store"))
    write_folder(ANN, store, folder, label("x"), now=NOW, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] >= size_of(folder) == 3
    location = locate(str(tmp_path / "store" / "x"), ANN, [])
    sealed = tmp_path / "store" / "x" / "below" / "b"
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(InvalidSignature, match=r"^x/below/b: "):
        read_folder(ANN, location, Output(path=tmp_path / "back"))
    assert not (tmp_path / "back").exists()
