from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tigertally.base.errors import UsageError
from tigertally.base.secret import Secret
from tigertally.crypto import files
from tigertally.crypto.outputs import Output, apart, check_apart
from tigertally.crypto.passphrase import FOR_TESTS_ONLY, seal

WORDS = "what the command reads"
_link = os.link  # for tests, also where the program does without


@pytest.fixture(params=["nameless", "named", "without links"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a file system that can do everything, or less."""
    if request.param != "nameless":
        monkeypatch.setattr(files, "create_nameless", lambda folder: None)
    if request.param == "without links":

        def no(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", no)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_apart(*paths: Path, path: Path, force: bool = False) -> Output:
    return Output(path=path, force=force, apart=apart(paths, WORDS))


def test_a_new_file_appears_complete_and_for_its_owner_alone(folder):
    Output(path=folder / "out").write(b"content")
    assert (folder / "out").read_bytes() == b"content"
    assert stat.S_IMODE((folder / "out").stat().st_mode) == 0o600
    assert names(folder) == {"out"}


def test_a_file_that_is_there_stays_unless_forced(folder):
    target = folder / "out"
    target.write_bytes(b"precious")
    target.chmod(0o644)
    before = target.stat()
    output = Output(path=target)
    for refused in (output.check, output.check_folder, lambda: output.write(b"new")):
        with pytest.raises(UsageError, match="is there already"):
            refused()
    assert target.read_bytes() == b"precious"
    assert target.stat() == before
    Output(path=target, force=True).write(b"new")
    assert target.read_bytes() == b"new"
    assert names(folder) == {"out"}


def test_so_does_one_that_came_while_it_was_written(folder):
    """As the check at the end, and as the system's own: nobody's file is lost by a race."""
    target = folder / "out"

    def somebody_else() -> None:
        target.write_bytes(b"precious")

    with pytest.raises(UsageError, match="is there already"), Output(path=target).file() as file:
        file.write(b"late")
        somebody_else()
    with (
        pytest.raises(FileExistsError),
        files.atomic_output(folder / "other", replaces=False, last_look=somebody_else) as file,
    ):
        (folder / "other").write_bytes(b"precious, too")
        file.write(b"late")
    assert target.read_bytes() == b"precious"
    assert (folder / "other").read_bytes() == b"precious, too"
    assert names(folder) == {"out", "other"}


def test_a_link_is_there_too_and_what_it_leads_to_is_never_written(folder):
    (folder / "victim").write_bytes(b"untouched")
    for name, leads_to in (("link", "victim"), ("dangling", "nowhere")):
        (folder / name).symlink_to(leads_to)
        with pytest.raises(UsageError, match="is there already"):
            Output(path=folder / name).write(b"x")
        assert (folder / name).is_symlink()
        Output(path=folder / name, force=True).write(b"x")
        assert not (folder / name).is_symlink()
    assert (folder / "victim").read_bytes() == b"untouched"
    assert names(folder) == {"victim", "link", "dangling"}


@pytest.mark.requirement("D12")
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("how", ["itself", "link", "hard link", "link to a folder", "dots"])
def test_the_input_is_never_the_output(folder, how, force):
    source = folder / "in"
    source.write_bytes(b"the only copy")
    _link(source, folder / "hard")
    (folder / "soft").symlink_to("in")
    (folder / "sub").mkdir()
    (folder / "here").symlink_to(folder)
    path = {
        "itself": source,
        "link": folder / "soft",
        "hard link": folder / "hard",
        "link to a folder": folder / "here" / "in",
        "dots": folder / "sub" / ".." / "in",
    }
    before = names(folder)
    for read in (source, folder / "soft"):
        output = read_apart(read, path=path[how], force=force)
        for refused in (output.check, lambda output=output: output.write(b"x")):
            with pytest.raises(UsageError, match=f"is {WORDS}"):
                refused()
    assert source.read_bytes() == b"the only copy"
    assert names(folder) == before


def test_an_input_that_was_moved_to_the_output_meanwhile(folder):
    source, target = folder / "in", folder / "out"
    source.write_bytes(b"the only copy")
    output = read_apart(source, path=target, force=True)
    with pytest.raises(UsageError, match=WORDS), output.file() as file:
        file.write(b"x")
        source.rename(target)
    assert target.read_bytes() == b"the only copy"
    assert names(folder) == {"out"}


@pytest.mark.requirement("D12")
@pytest.mark.parametrize("force", [False, True])
def test_nothing_is_written_into_a_folder_that_is_read(folder, force):
    store = folder / "store"
    (store / "deep").mkdir(parents=True)
    (folder / "link").symlink_to(store / "deep")
    for path in (store / "new", store / "deep" / "new", folder / "link" / "new"):
        output = read_apart(store, path=path, force=force)
        for refused in (output.check, output.check_folder, lambda output=output: output.write(b"")):
            with pytest.raises(UsageError, match=f"lies in {WORDS}"):
                refused()
    read_apart(store, path=folder / "beside").write(b"x")  # the control
    assert names(store) == {"deep"}
    assert names(store / "deep") == set()


def test_what_is_read_later_is_kept_apart_too(folder):
    (folder / "in").write_bytes(b"x")
    output = Output(path=folder / "in", force=True).beside([folder / "in"], WORDS)
    with pytest.raises(UsageError, match=WORDS):
        output.check()
    check_apart(folder / "other", output.apart)
    check_apart(folder / "in", apart([folder / "none"], WORDS))  # what is not there has no identity


PRIVATE = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"
PRECIOUS = {
    "an authority's": (b"tallyab\x01" + bytes(5000), 0o600),
    "of a version to come": (b"tallyab\x09" + bytes(9), 0o644),
    "a recovery file": (
        seal(Secret(b"x"), b"device secret", aad=b"", parameters=FOR_TESTS_ONLY),
        0o600,
    ),
    "a private key": (PRIVATE, 0o644),
    "one behind its certificate": (b"-----BEGIN CERTIFICATE-----\n" * 20 + PRIVATE, 0o600),
    "a final key": (bytes(range(32)), 0o600),
}


@pytest.mark.parametrize("name", PRECIOUS)
def test_backups_and_keys_make_way_not_even_by_force(folder, name):
    content, mode = PRECIOUS[name]
    target = folder / "out"
    target.write_bytes(content)
    target.chmod(mode)
    output = Output(path=target, force=True)
    for refused in (output.check, lambda: output.write(b"x")):
        with pytest.raises(UsageError, match="no command replaces"):
            refused()
    assert target.read_bytes() == content
    assert names(folder) == {"out"}


def test_what_cannot_be_looked_at_makes_way_not_even_by_force(folder, monkeypatch):
    """It may be a back-up or a key."""
    target, opened = folder / "out", os.open
    target.write_bytes(b"whatever")

    def no(path: str, *more: int, **options: int) -> int:
        if str(path) == str(target):
            raise PermissionError(13, "Permission denied")
        return opened(path, *more, **options)

    monkeypatch.setattr(os, "open", no)
    with pytest.raises(UsageError, match=r"cannot be looked at \(Permission denied\)"):
        Output(path=target, force=True).write(b"new")
    assert target.read_bytes() == b"whatever"


def test_what_was_written_as_a_key_is_known_as_one(folder):
    target = folder / "out"
    Output(path=target).write(b"an imported secret of any length", key=True)
    try:
        os.getxattr(target, "user.tigertally")
    except OSError:
        pytest.skip("no extended attributes here")
    with pytest.raises(UsageError, match="is a key"):
        Output(path=target, force=True).write(b"x")


@pytest.mark.parametrize(
    ("content", "mode"),
    [(b"", 0o600), (bytes(range(32)), 0o644), (bytes(33), 0o600), (b"\x01" + b"text" * 20, 0o600)],
)
def test_others_do_by_force(folder, content, mode):
    target = folder / "out"
    target.write_bytes(content)
    target.chmod(mode)
    Output(path=target, force=True).write(b"new")
    assert target.read_bytes() == b"new"


def written(path):
    """Which file it is, and when it was written; not when it was read."""
    found = path.stat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def test_a_command_that_was_killed_after_its_write_goes_on(folder):
    """It finds its own file, which holds the same; another one stays, asked for early and late."""
    target = folder / "out"
    for content, key in ((b"the same", False), (bytes(range(32)), True)):
        for force in (False, True):
            output = Output(path=target, force=force, resumes=True)
            output.write(content, key=key)
            before = written(target)
            output.check()
            output.write(content, key=key)
            assert written(target) == before
            target.unlink()
    target.write_bytes(b"another")
    target.chmod(0o600)
    output = Output(path=target, resumes=True)
    output.check()  # it may be: who has not asked before checks anew
    for refused in (
        output.check_anew,
        *(lambda c=c: output.write(c) for c in (b"anothe", b"x", b"")),
    ):
        with pytest.raises(UsageError, match="is there already"):
            refused()
    assert target.read_bytes() == b"another"
    with pytest.raises(UsageError, match=WORDS):
        Output(path=target, resumes=True, apart=apart([target], WORDS)).check()
    if os.geteuid() == 0:  # only root gives files away
        os.chown(target, 12345, -1)
        with pytest.raises(UsageError, match="is there already"):
            output.check()
        os.chown(target, 0, -1)
    target.chmod(0o644)  # none of ours
    with pytest.raises(UsageError, match="is there already"):
        output.check()
    assert names(folder) == {"out"}


def test_folders_devices_and_pipes_never_do(folder):
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    for path in (folder / "sub", folder / "pipe", Path("/dev/null"), Path("/dev/stdout")):
        for force in (False, True):
            with pytest.raises(UsageError):
                Output(path=path, force=force).write(b"x")
    with pytest.raises(UsageError, match="replaces nothing"):
        Output(path=folder / "sub", force=True).check_folder()
    assert names(folder) == {"sub", "pipe"}


def test_a_failure_leaves_what_was_there(folder):
    (folder / "old").write_bytes(b"old")
    for name in ("old", "new"):
        output = Output(path=folder / name, force=True)
        with pytest.raises(KeyboardInterrupt), output.file() as file:
            file.write(b"half")
            raise KeyboardInterrupt
    assert names(folder) == {"old"}
    assert (folder / "old").read_bytes() == b"old"
