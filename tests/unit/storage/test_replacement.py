from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from killed import killed_at, steps_of
from tigertally.base.errors import Unavailable, UsageError
from tigertally.storage import replacement
from tigertally.storage.replacement import changed, content_of
from walks import sampled

MOST = 1 << 20
OLD = b"a: 1\nsecret: old\n" * 300
LONGER = b"a: 1\nsecret: the new one\n" * 300
SHORTER = b"a: 1\nsecret: n\n" * 100


def to(content: bytes) -> Callable[[bytes | None], bytes]:
    return lambda _: content


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def document(folder: Path, mode: int = 0o640) -> Path:
    path = folder / "app.yaml"
    path.write_bytes(OLD)
    path.chmod(mode)
    return path


@pytest.fixture(params=["nameless", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where new files have no name until they are complete, or where they must."""
    if request.param == "named":
        monkeypatch.setattr(replacement, "create_nameless", lambda folder: None)
    return tmp_path


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o4755, 0o440])
def test_only_the_content_changes(folder, mode):
    path = document(folder, mode)
    seen = []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        return LONGER

    changed(path, change, most=MOST)
    assert seen == [OLD]
    assert path.read_bytes() == LONGER
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert names(folder) == {"app.yaml"}


def test_a_new_one_is_for_its_owner_alone(folder):
    path = folder / "new.yaml"
    assert content_of(path, most=MOST) is None
    changed(path, lambda old: b"none" if old is None else b"some", most=MOST)
    assert path.read_bytes() == b"none"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(folder):
    path = document(folder)
    os.chown(path, 12345, 23456)
    inode = path.stat().st_ino
    changed(path, to(LONGER), most=MOST)
    status = path.stat()
    assert (status.st_uid, status.st_gid) == (12345, 23456)
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert status.st_ino != inode, "a rename"


@pytest.mark.parametrize("where", ["in its place", "by a rename"])
def test_an_owner_that_cannot_be_given(folder, monkeypatch, where):
    def no(*_: object) -> None:
        raise PermissionError(1, "not allowed")

    path = document(folder)
    monkeypatch.setattr(os, "fchown", no)
    monkeypatch.setattr(replacement.os, "access", lambda *_: where == "in its place")
    os.chown(path, 12345, 23456) if os.geteuid() == 0 else pytest.skip("only root gives files away")
    inode = path.stat().st_ino
    changed(path, to(LONGER), most=MOST)
    status = path.stat()
    assert path.read_bytes() == LONGER
    if where == "in its place":
        assert (status.st_ino, status.st_uid, status.st_gid) == (inode, 12345, 23456)
        assert stat.S_IMODE(status.st_mode) == 0o640
    else:
        assert status.st_ino != inode
        assert stat.S_IMODE(status.st_mode) == 0o600, "the group would be another one"
    assert names(folder) == {"app.yaml"}


@pytest.mark.parametrize("content", [LONGER, SHORTER, OLD[:-1] + b"x", b""])
def test_hard_links_stay(folder, content):
    path, other = document(folder), folder / "elsewhere"
    os.link(path, other)
    changed(path, to(content), most=MOST)
    assert path.read_bytes() == other.read_bytes() == content
    assert path.samefile(other)
    assert names(folder) == {"app.yaml", "elsewhere"}


def test_extended_attributes_stay_and_none_is_added(folder):
    path = document(folder)
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("no extended attributes here")
    changed(path, to(LONGER), most=MOST)
    assert os.getxattr(path, "user.note") == b"kept"
    assert os.listxattr(path) == ["user.note"]


def test_a_link_to_a_document_stays_one(folder):
    path = document(folder)
    link = folder / "link"
    link.symlink_to(path.name)
    changed(link, to(LONGER), most=MOST)
    assert link.is_symlink()
    assert path.read_bytes() == LONGER


def test_a_change_that_fails_changes_nothing(folder):
    path = document(folder)
    before = path.stat()

    def fails(_: bytes | None) -> bytes:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        changed(path, fails, most=MOST)
    assert path.read_bytes() == OLD
    assert path.stat() == before
    assert names(folder) == {"app.yaml"}


def test_an_editor_that_asks_for_no_lock_is_not_overwritten(folder):
    path = document(folder)
    seen: list[bytes | None] = []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) == 1:
            path.write_bytes(OLD + b"# by hand\n")  # in its place
        if len(seen) == 2:
            (folder / "tmp").write_bytes(OLD + b"# twice\n")  # and by a rename
            (folder / "tmp").replace(path)
        assert old is not None
        return old + b"set: 1\n"

    changed(path, change, most=MOST)
    assert seen == [OLD, OLD + b"# by hand\n", OLD + b"# twice\n"]
    assert path.read_bytes() == OLD + b"# twice\nset: 1\n"


def test_an_editor_that_sets_back_the_time_is_not_overwritten_either(folder):
    path = document(folder)
    before = path.stat()
    by_hand = OLD.swapcase()

    def change(old: bytes | None) -> bytes:
        assert old is not None
        if old == OLD:
            path.write_bytes(by_hand)
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            assert path.stat().st_mtime_ns == before.st_mtime_ns
        return old + b"set: 1\n"

    changed(path, change, most=MOST)
    assert path.read_bytes() == by_hand + b"set: 1\n"


def test_another_name_or_mode_that_it_gets_meanwhile_stays(folder):
    path, seen = document(folder), []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) == 1:
            os.link(path, folder / "other")
        if len(seen) == 2:
            path.chmod(0o600)
        return LONGER

    changed(path, change, most=MOST)
    assert seen == [OLD, OLD, OLD]
    assert path.samefile(folder / "other")
    assert path.read_bytes() == LONGER
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_somebody_else_makes_it_first(folder):
    path, seen = folder / "new.yaml", []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if old is None:
            path.write_bytes(b"first\n")
        return (old or b"") + b"second\n"

    changed(path, change, most=MOST)
    assert seen == [None, b"first\n"]
    assert path.read_bytes() == b"first\nsecond\n"


def test_whoever_waits_too_long_is_told(folder):
    path = document(folder)

    def change(old: bytes | None) -> bytes:
        with pytest.raises(Unavailable, match="somebody else is changing"):
            changed(path, to(b"mine"), most=MOST, wait=0)
        return LONGER

    changed(path, change, most=MOST)
    assert path.read_bytes() == LONGER


def test_what_is_no_file(folder):
    os.mkfifo(folder / "pipe")
    for path in (folder, folder / "pipe", Path("/dev/null"), folder / "none" / "doc"):
        with pytest.raises(UsageError):
            changed(path, to(b"x"), most=MOST)
    assert names(folder) == {"pipe"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A change that is killed at every step."""

    name: str
    content: bytes
    links: bool = False
    there: bool = True
    nameless: bool = True

    def prepare(self, folder: Path) -> Path:
        path = folder / "app.yaml"
        if self.there:
            document(folder)
            if os.geteuid() == 0:
                os.chown(path, 12345, 23456)
                path.chmod(0o640)
        if self.links:
            os.link(path, folder / "other")
        return path

    def work(self, path: Path) -> Callable[[], None]:
        def run() -> None:
            if not self.nameless:
                replacement.create_nameless = lambda _: None  # in the child
            changed(path, to(self.content), most=MOST)

        return run


CASES = [
    Case(name="renamed", content=LONGER),
    Case(name="renamed, named", content=LONGER, nameless=False),
    Case(name="made", content=LONGER, there=False),
    Case(name="longer in place", content=LONGER, links=True),
    Case(name="longer in place, named", content=LONGER, links=True, nameless=False),
    Case(name="shorter in place", content=SHORTER, links=True),
    Case(name="same length in place", content=OLD.swapcase(), links=True),
]
_MOST_STEPS = 40
STEPS = [(case, step, half) for case in CASES for step in range(_MOST_STEPS) for half in (0, 1)]


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_step_is_among_those_walked(tmp_path, case):
    assert 3 < steps_of(case.work(case.prepare(tmp_path))) < _MOST_STEPS


@pytest.mark.walk
@pytest.mark.requirement("D11")
@pytest.mark.parametrize(
    ("case", "step", "half"),
    sampled(STEPS, 120, "replacement"),
    ids=lambda one: one.name if isinstance(one, Case) else str(one),
)
def test_killed_at_any_step_it_is_the_old_one_or_the_new_one(tmp_path, case, step, half):
    path = case.prepare(tmp_path)
    before = path.stat() if case.there else None
    killed = killed_at(step, case.work(path), half=bool(half))
    mine = {"app.yaml", "other"} if case.links else {"app.yaml"}
    wanted = {OLD if case.there else None, case.content}
    left = [one for one in tmp_path.iterdir() if one.name not in mine]
    for one in left:
        assert not one.stat().st_mode & 0o037, "what is left is for no more eyes than the document"
    if not case.links:  # at every moment, for every program
        assert (path.read_bytes() if path.exists() else None) in wanted
    assert killed or path.read_bytes() == case.content
    assert content_of(path, most=MOST) in wanted, "what a command reads"
    found = path.read_bytes() if path.exists() else None
    assert found in wanted, "and from then on every program"
    if before is not None:
        now = path.stat()
        assert (now.st_mode, now.st_uid, now.st_gid) == (
            before.st_mode,
            before.st_uid,
            before.st_gid,
        )
        assert now.st_nlink - len([one for one in left if one.exists() and one.samefile(path)]) == (
            before.st_nlink
        )
    changed(path, lambda old: (old or b"") + b"more", most=MOST)
    assert path.read_bytes() == (found or b"") + b"more"
    if case.links:
        assert path.samefile(tmp_path / "other")
    assert names(tmp_path) == mine, "the next change removes what was left"


def test_a_change_that_was_cut_off_is_finished_by_whoever_reads(tmp_path):
    """The control of the walk: in the middle of an overwriting a document is neither."""
    neither = 0
    for content in (LONGER, SHORTER):
        case = Case(name="", content=content, links=True)
        for step in range(steps_of(case.work(case.prepare(tmp_path)))):
            for file in tmp_path.iterdir():
                file.unlink()
            path = case.prepare(tmp_path)
            assert killed_at(step, case.work(path), half=True)
            neither += path.read_bytes() not in (OLD, content)
            assert content_of(path, most=MOST) in (OLD, content)
            assert path.read_bytes() in (OLD, content)
        for file in tmp_path.iterdir():
            file.unlink()
    assert neither >= 3  # in each write, and between the last write and the cut


def cut_off(folder: Path) -> tuple[Path, Path]:
    """A document in the middle of being overwritten, and what was put down beside it."""
    case = Case(name="", content=LONGER, links=True)
    for step in range(_MOST_STEPS):
        path = case.prepare(folder)
        assert killed_at(step, case.work(path), half=True)
        if path.read_bytes() not in (OLD, LONGER):
            (redo,) = (one for one in folder.iterdir() if one.name.endswith(".tally-redo"))
            return path, redo
        for file in folder.iterdir():
            file.unlink()
    raise AssertionError("it is never in the middle")


def test_what_was_changed_by_hand_since_is_left_alone(tmp_path):
    path, redo = cut_off(tmp_path)
    mended = b"mended: by hand\n" * 400
    path.write_bytes(mended)
    for use in (lambda: content_of(path, most=MOST), lambda: changed(path, to(b"x"), most=MOST)):
        with pytest.raises(UsageError, match="was changed since"):
            use()
    assert path.read_bytes() == mended
    redo.unlink()
    assert content_of(path, most=MOST) == mended


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_nobody_elses_change_is_finished(tmp_path):
    """Who can make files in a folder must not write another's document by it."""
    path, redo = cut_off(tmp_path)
    middle = path.read_bytes()
    os.chown(redo, 11111, 11111)
    os.chown(path, 0, 0)
    assert content_of(path, most=MOST) == middle
    assert path.read_bytes() == middle


def test_a_torn_note_beside_it_says_nothing(tmp_path):
    path, redo = cut_off(tmp_path)
    path.write_bytes(OLD)
    raw = redo.read_bytes()
    for torn in (b"", raw[:20], raw[:-1], raw[:-1] + b"?"):
        redo.write_bytes(torn)
        assert content_of(path, most=MOST) == OLD
        assert not redo.exists()


def test_longest_names(tmp_path):
    for name in ("n" * 255, "é" * 127, "n" * 254 + "m"):
        path = tmp_path / name
        changed(path, to(b"one"), most=MOST)
        changed(path, to(b"two"), most=MOST)
        assert path.read_bytes() == b"two"


@pytest.mark.requirement("D11")
@pytest.mark.parametrize("links", [1, 2], ids=["renamed", "in place"])
def test_many_at_once_lose_no_change_and_read_no_half(tmp_path, links):
    """Writers count in a document of changing length, and readers look at it all the while."""
    path = document(tmp_path)
    path.write_bytes(b"0\n")
    if links == 2:
        os.link(path, tmp_path / "other")

    def count(number: int) -> Callable[[bytes | None], bytes]:
        def change(old: bytes | None) -> bytes:
            assert old is not None
            return b"%d\n" % (int(old.partition(b"\n")[0]) + 1) * (1, 9000, 40)[number % 3]

        return change

    def write() -> None:
        for number in range(12):
            changed(path, count(number), most=MOST)

    def read() -> None:
        for _ in range(60):
            found = content_of(path, most=MOST)
            assert found is not None
            assert len(set(found.split(b"\n")) - {b""}) == 1, "a half"

    running = [in_child(work) for work in (write, write, write, write, read)]
    for pid in running:
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert path.read_bytes().partition(b"\n")[0] == b"48"
    assert names(tmp_path) == ({"app.yaml", "other"} if links == 2 else {"app.yaml"})


def in_child(work: Callable[[], None]) -> int:
    """The pid of a child that does this and nothing else; 0 where it went well."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def test_a_file_system_without_locks(folder, monkeypatch):
    def no(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(replacement.fcntl, "flock", no)
    test_an_editor_that_asks_for_no_lock_is_not_overwritten(folder)
    test_somebody_else_makes_it_first(folder)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    path = document(tmp_path)
    opened = os.open

    def no(name: str, flags: int, *more: int, **options: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(name, flags, *more, **options)

    monkeypatch.setattr(replacement, "create_nameless", lambda folder: None)
    monkeypatch.setattr(os, "open", no)
    with pytest.raises(UsageError, match="cannot change what is in"):
        changed(path, to(LONGER), most=MOST)
    assert path.read_bytes() == OLD


def no_attributes(*_: object) -> None:
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


@pytest.mark.parametrize("where", ["in its place", "by a rename"])
def test_attributes_that_cannot_be_given(folder, monkeypatch, where):
    path = document(folder, 0o660)
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError:
        pytest.skip("no extended attributes here")
    monkeypatch.setattr(os, "setxattr", no_attributes)
    monkeypatch.setattr(replacement.os, "access", lambda *_: where == "in its place")
    inode = path.stat().st_ino
    changed(path, to(LONGER), most=MOST)
    assert path.read_bytes() == LONGER
    status = path.stat()
    if where == "in its place":
        assert (status.st_ino, stat.S_IMODE(status.st_mode)) == (inode, 0o660)
        assert os.getxattr(path, "user.note") == b"kept"
    else:
        assert status.st_ino != inode
        assert stat.S_IMODE(status.st_mode) == 0o600, "one of them may have held back the group"
    assert names(folder) == {"app.yaml"}


def test_what_a_folder_gives_to_new_files_is_not_given_to_a_document(folder):
    path = document(folder)
    entries = ((1, 7, -1), (2, 7, 12345), (4, 5, -1), (16, 7, -1), (32, 0, -1))
    access = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *one) for one in entries)
    try:
        os.setxattr(folder, "system.posix_acl_default", access)
        (folder / "control").write_bytes(b"")
        given = os.listxattr(folder / "control")
    except OSError:
        pytest.skip("no lists of access rights here")
    assert given == ["system.posix_acl_access"]
    changed(path, to(LONGER), most=MOST)
    assert os.listxattr(path) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("content", [LONGER, SHORTER])
def test_a_disk_that_is_full_in_the_middle_leaves_the_old_one(folder, monkeypatch, content):
    path = document(folder)
    os.link(path, folder / "other")
    inode, pwrite, failures = path.stat().st_ino, os.pwrite, []

    def full(descriptor: int, piece: bytes, at: int) -> int:
        if os.fstat(descriptor).st_ino == inode and len(failures) < 2:
            failures.append(at)
            if len(failures) == 1:
                return pwrite(descriptor, piece[: len(piece) // 2], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, piece, at)

    monkeypatch.setattr(replacement.os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        changed(path, to(content), most=MOST)
    assert len(failures) == 2
    assert path.read_bytes() == OLD
    assert names(folder) == {"app.yaml", "other"}


def test_a_rename_that_fails_leaves_nothing(folder, monkeypatch):
    def no(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path = document(folder)
    monkeypatch.setattr(Path, "replace", no)
    with pytest.raises(PermissionError):
        changed(path, to(LONGER), most=MOST)
    assert path.read_bytes() == OLD
    assert names(folder) == {"app.yaml"}


@pytest.mark.parametrize("why", ["access", "descriptor"])
def test_one_with_other_names_that_cannot_be_written(folder, monkeypatch, why):
    path = document(folder)
    os.link(path, folder / "other")
    if why == "access":
        monkeypatch.setattr(replacement.os, "access", lambda *_: False)
    else:
        monkeypatch.setattr(replacement, "_is_writable", lambda _: False)
    with pytest.raises(UsageError, match=r"other names \(hard links\) and cannot be written"):
        changed(path, to(LONGER), most=MOST)
    assert path.read_bytes() == OLD
    assert names(folder) == {"app.yaml", "other"}


def test_who_may_only_read_sees_the_change_that_was_cut_off_as_done(tmp_path, monkeypatch):
    path, redo = cut_off(tmp_path)
    middle = path.read_bytes()
    monkeypatch.setattr(replacement, "_is_writable", lambda _: False)
    assert content_of(path, most=MOST) == LONGER
    assert content_of(path, most=100) == LONGER[:100]
    assert path.read_bytes() == middle
    assert redo.exists(), "for who may write"


def test_a_link_beside_it_says_nothing(tmp_path):
    """A note of this user's about another change, which somebody linked there."""
    path, redo = cut_off(tmp_path)
    middle = path.read_bytes()
    redo.rename(tmp_path / "elsewhere")
    redo.symlink_to("elsewhere")
    assert content_of(path, most=MOST) == middle
    assert path.read_bytes() == middle


def test_a_reader_sees_no_half_of_what_is_written_in_its_place(folder, monkeypatch):
    path, read, seen = document(folder), replacement._read, []

    def meanwhile(descriptor: int, most: int) -> bytes:
        found = read(descriptor, most)
        seen.append(found)
        if len(seen) == 1:
            path.write_bytes(LONGER)
            return found[:100] + LONGER[100:]
        return found

    monkeypatch.setattr(replacement, "_read", meanwhile)
    assert content_of(path, most=MOST) == LONGER
    assert len(seen) >= 2
