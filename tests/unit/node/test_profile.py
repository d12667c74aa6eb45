from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tigertally.base.errors import Corrupt, Refused, Unavailable, UsageError
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node import folders
from tigertally.node import profile as profiles
from tigertally.node.profile import (
    OpenProfile,
    change_passphrase,
    create_profile,
    home,
    open_profile,
    profile_names,
    read_info,
)
from tigertally.quorum.card import Role

NOW = 1_800_000_000
RIGHT = b"correct horse"
ALICE, HQ = Name("alice"), Name("hq")


def right() -> Secret:
    return Secret(RIGHT)


def wrong() -> Secret:
    return Secret(b"correct house")


def make(folder: Path, name: Name = ALICE, role: Role = Role.HOLDER) -> OpenProfile:
    return create_profile(
        folder,
        name,
        role=role,
        member=name,
        passphrase=None if role is Role.AUTHORITY else right(),
        randomness=SystemRandomness(),
        now=NOW,
        parameters=FOR_TESTS_ONLY,
    )


@pytest.fixture
def alice(tmp_path):
    make(tmp_path).close()
    return tmp_path


def test_home_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("TALLY_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.delenv("TALLY_HOME")
    monkeypatch.setenv("HOME", "/somewhere")
    assert home() == Path("/somewhere/.tigertally")
    monkeypatch.delenv("HOME")
    with pytest.raises(UsageError, match="TALLY_HOME"):
        home()


def test_a_relative_home_does_not_move_with_the_process(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_HOME", "there")
    assert home() == tmp_path / "there"


@pytest.mark.requirement("C11")
def test_a_profile_comes_back_with_its_keys_and_settings(tmp_path):
    with make(tmp_path) as made:
        made.put_settings(url="https://127.0.0.1:8440", port=8440, pin=b"\x01\x02")
        made.put_settings(port=8441)
        keys = (made.signing_key.public, made.wrapping_key.public)
        device = made.device_secret.to_secret_bytes()
    with open_profile(tmp_path, ALICE, passphrase=right) as again:
        assert (again.signing_key.public, again.wrapping_key.public) == keys
        assert again.device_secret.matches(device)
        settings = {"url": "https://127.0.0.1:8440", "port": 8441, "pin": b"\x01\x02"}
        assert again.settings() == settings
        assert again.info == made.info == read_info(tmp_path, ALICE)


def test_info_needs_no_passphrase(alice):
    info = read_info(alice, ALICE)
    assert (info.profile, info.member, info.role, info.created) == (ALICE, ALICE, Role.HOLDER, NOW)
    assert info.path == alice / "alice"
    assert info.store == str(alice / "alice" / "store.db")
    assert info.sealed


def test_a_daemon_opens_alone(tmp_path):
    make(tmp_path, HQ, Role.AUTHORITY).close()
    with open_profile(tmp_path, HQ, passphrase=None) as opened:
        opened.put_settings(url="x")
        assert opened.settings() == {"url": "x"}
        assert not opened.info.sealed


@pytest.mark.parametrize("role", [Role.HOLDER, Role.REQUESTER])
def test_a_person_needs_a_passphrase(tmp_path, role):
    with pytest.raises(UsageError, match="needs a passphrase"):
        create_profile(
            tmp_path,
            ALICE,
            role=role,
            member=ALICE,
            passphrase=None,
            randomness=SystemRandomness(),
            now=NOW,
        )
    assert not list(tmp_path.iterdir())


def test_only_the_owner_reads_any_of_it(tmp_path):
    umask = os.umask(0)
    try:
        folder = tmp_path / "home"
        with make(folder) as opened, opened.exclusive():
            opened.put_settings(a=1)
        with pytest.raises(Refused):
            open_profile(folder, ALICE, passphrase=wrong)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "alice").stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder / "alice").iterdir()}
    assert files.keys() == {"identity", "store.db", "lock", "wrong-passphrases"}
    assert set(files.values()) == {0o600}


def test_no_file_holds_a_setting_in_the_clear(tmp_path):
    with make(tmp_path) as opened:
        opened.put_settings(secret="find me if you can")
        with opened.plain_store.transaction() as rows:
            rows.put("audit", b"1", b"this is found")
    everything = b"".join(path.read_bytes() for path in (tmp_path / "alice").iterdir())
    assert b"this is found" in everything
    assert b"find me if you can" not in everything


def test_a_wrong_passphrase_is_refused_and_counted(alice):
    for _ in range(2):
        with pytest.raises(Refused, match="wrong passphrase for profile alice"):
            open_profile(alice, ALICE, passphrase=wrong)
    with open_profile(alice, ALICE, passphrase=right) as opened:
        assert opened.wrong_passphrases() == 2
        opened.clear_wrong_passphrases(1)
        assert opened.wrong_passphrases() == 1


def test_without_a_passphrase_a_sealed_profile_stays_shut(alice):
    with pytest.raises(UsageError, match="needs its passphrase"):
        open_profile(alice, ALICE, passphrase=None)


def test_an_unknown_profile_says_which_there_are(alice):
    make(alice, HQ, Role.AUTHORITY).close()
    with pytest.raises(UsageError, match=r"no profile bob .*there: alice, hq"):
        open_profile(alice, Name("bob"), passphrase=right)
    with pytest.raises(UsageError, match="there: none"):
        read_info(alice / "nowhere", Name("bob"))


def test_a_taken_name_is_kept(alice):
    before = (alice / "alice" / "identity").read_bytes()
    with pytest.raises(UsageError, match="already"):
        make(alice)
    assert (alice / "alice" / "identity").read_bytes() == before
    assert [path.name for path in alice.iterdir()] == ["alice"]


def test_many_at_once_make_one(tmp_path):
    made, refused = [], []

    def attempt():
        try:
            made.append(make(tmp_path, HQ, Role.AUTHORITY))
        except UsageError:
            refused.append(1)

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["hq"]
    made[0].close()


def test_a_new_folder_that_another_takes_for_a_dead_one_is_made_again(tmp_path, monkeypatch):
    taken = []
    real = folders._lock

    def lock(folder):
        if not taken:
            taken.append(folder)
            shutil.rmtree(folder)
        return real(folder)

    monkeypatch.setattr(folders, "_lock", lock)
    make(tmp_path).close()
    assert taken
    assert [path.name for path in tmp_path.iterdir()] == ["alice"]


def test_a_making_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def broken(folder, create):
        raise KeyboardInterrupt

    monkeypatch.setattr(profiles, "store_in", broken)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_list_is_in_order_and_knows_its_own(alice):
    make(alice, HQ, Role.AUTHORITY).close()
    make(alice, Name("a1"), Role.AUTHORITY).close()
    (alice / "notes").mkdir()
    (alice / ".hq.x.partial").mkdir()
    (alice / "file").write_text("")
    assert profile_names(alice) == ["a1", "alice", "hq"]
    assert profile_names(alice / "nowhere") == []


def test_a_damaged_identity_is_corrupt_and_still_listed(alice):
    path = alice / "alice" / "identity"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Corrupt, match="identity"):
        read_info(alice, ALICE)
    with pytest.raises(Corrupt):
        open_profile(alice, ALICE, passphrase=right)
    assert profile_names(alice) == ["alice"]


@pytest.mark.parametrize("lost", ["identity", "store.db"])
def test_a_lost_file_is_corrupt_never_a_fresh_start(alice, lost):
    (alice / "alice" / lost).unlink()
    with pytest.raises(Corrupt, match="lost"):
        open_profile(alice, ALICE, passphrase=right).settings()
    assert not (alice / "alice" / lost).exists()


def test_a_damaged_store_is_corrupt(alice):
    (alice / "alice" / "store.db").write_bytes(b"no database" * 1000)
    with open_profile(alice, ALICE, passphrase=right) as opened, pytest.raises(Corrupt):
        opened.settings()


@pytest.mark.parametrize("path", ["alice", "alice/identity"])
def test_others_who_can_read_it_are_warned_of(alice, path):
    (alice / path).chmod(0o755)
    with pytest.warns(RuntimeWarning, match="others can"):
        open_profile(alice, ALICE, passphrase=right).close()


def test_a_new_passphrase_replaces_the_old(alice):
    change_passphrase(
        alice, ALICE, old=right, new=lambda: Secret(b"battery"), parameters=FOR_TESTS_ONLY
    )
    with pytest.raises(Refused):
        open_profile(alice, ALICE, passphrase=right)
    with open_profile(alice, ALICE, passphrase=lambda: Secret(b"battery")) as opened:
        opened.put_settings(a=1)


def test_a_wrong_old_passphrase_changes_nothing(alice):
    before = (alice / "alice" / "identity").read_bytes()
    with pytest.raises(Refused):
        change_passphrase(alice, ALICE, old=wrong, new=right, parameters=FOR_TESTS_ONLY)
    assert (alice / "alice" / "identity").read_bytes() == before


def test_a_daemon_has_no_passphrase_to_change(tmp_path):
    make(tmp_path, HQ, Role.AUTHORITY).close()
    with pytest.raises(UsageError, match="no passphrase"):
        change_passphrase(tmp_path, HQ, old=right, new=right)


@pytest.mark.parametrize("value", [True, None, 1.5, ["x"]])
def test_settings_are_plain(alice, value):
    with open_profile(alice, ALICE, passphrase=right) as opened:
        with pytest.raises(UsageError, match="setting"):
            opened.put_settings(good=1, bad=value)
        assert opened.settings() == {}


def test_closing_wipes_and_may_be_repeated(alice):
    opened = open_profile(alice, ALICE, passphrase=right)
    opened.settings()
    opened.close()
    opened.close()
    with pytest.raises(UsageError):
        opened.device_secret.to_secret_bytes()
    assert repr(opened) == "OpenProfile(alice, holder)"


def test_two_profiles_of_one_seed_are_alike_and_others_are_not(tmp_path):
    def fingerprint(name, seed):
        with create_profile(
            tmp_path,
            Name(name),
            role=Role.AUTHORITY,
            member=HQ,
            passphrase=None,
            randomness=SeededRandomness(seed),
            now=NOW,
        ) as opened:
            return opened.info.fingerprint

    assert fingerprint("a", 1) == fingerprint("b", 1) != fingerprint("c", 2)


WORK = """
import sys
from pathlib import Path
from tigertally.base.ids import Name
from tigertally.node.profile import open_profile
with open_profile(Path(sys.argv[1]), Name("hq"), passphrase=None) as opened:
    with opened.exclusive(doing="work"):
        opened.put_settings(seen=1)
        print("inside", flush=True)
        sys.stdin.read()
"""


def test_a_daemon_and_a_command_take_turns_and_share_the_store(tmp_path):
    make(tmp_path, HQ, Role.AUTHORITY).close()
    command = [sys.executable, "-c", WORK, str(tmp_path)]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
        open_profile(tmp_path, HQ, passphrase=None) as opened,
    ):
        assert other.stdout.readline() == b"inside\n"
        busy = rf"profile hq is in use by process {other.pid} \(work\)"
        with pytest.raises(Unavailable, match=busy), opened.exclusive(wait=0):
            pass
        assert opened.settings() == {"seen": 1}  # reading needs no turn
        other.stdin.close()
        with opened.exclusive(wait=30):
            opened.put_settings(seen=2)
        assert other.wait() == 0
