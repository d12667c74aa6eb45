"""Back-ups of an authority: whole, sealed, restored once, and any bytes do no harm."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.algebra import tags
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    Refused,
    TigertallyError,
    UsageError,
)
from tigertally.base.ids import Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import passphrase as sealing
from tigertally.crypto.outputs import Output
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.node.backup import forget_interrupted, restore_backup, write_backup
from tigertally.node.folders import workshop
from tigertally.node.profile import create_profile, open_profile, profile_names
from tigertally.quorum.authority.admission import Settings, put_settings
from tigertally.quorum.authority.restore import pending, records
from tigertally.quorum.card import Role, sign_card
from tigertally.quorum.enrolment import make_pin, new_pin_state

NOW = 1_800_000_000
HQ, NEW = Name("hq"), Name("new")
RANDOM = SystemRandomness()


def right() -> Secret:
    return Secret(b"correct horse")


def make(folder, role=Role.AUTHORITY):
    passphrase = None if role is Role.AUTHORITY else right()
    opened = create_profile(
        folder,
        HQ,
        role=role,
        member=Name("authority"),
        passphrase=passphrase,
        randomness=RANDOM,
        now=NOW,
        parameters=FOR_TESTS_ONLY,
    )
    card = sign_card(
        opened.signing_key, opened.wrapping_key.public, name=Name("authority"), role=role
    )
    values = Settings(card=card, threshold=2, unlock=1, url="https://127.0.0.1:8440")
    with opened.plain_store.transaction() as tx:
        put_settings(tx, values, new_pin_state(make_pin(RANDOM)))
        tx.put("x", b"row", bytes(200_000))
    return opened


def write(opened, out):
    return write_backup(
        opened, Output(path=out), right(), randomness=RANDOM, now=NOW, parameters=FOR_TESTS_ONLY
    )


def restore(folder, source, ask=right):
    return restore_backup(folder, NEW, source, ask, randomness=RANDOM, now=NOW + 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with make(folder) as opened:
        size, version = write(opened, folder / "hq.backup")
        key = opened.signing_key.public
        assert not list(opened.info.path.glob(".backup*"))
    assert (size, version) == ((folder / "hq.backup").stat().st_size, 0)
    return folder / "hq.backup", key


def test_a_backup_comes_back_as_it_was_and_knows_what_it_is(made, tmp_path):
    source, key = made
    assert stat.S_IMODE(source.stat().st_mode) == 0o600
    assert restore(tmp_path, source) == (source.stat().st_size, 0)
    with open_profile(tmp_path, NEW, passphrase=None) as opened:
        assert opened.signing_key.public == key
        with opened.plain_store.reading() as reader:
            assert reader.get("x", b"row") == bytes(200_000)
            assert len(records(reader)) == 1
            assert pending(reader) is None, "nobody is there who could accept it"
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in (tmp_path / NEW).iterdir())
    with pytest.raises(UsageError, match="already"):
        restore(tmp_path, source)


def test_neither_names_nor_keys_stand_in_the_file(made):
    raw = made[0].read_bytes()
    for word in (b"authority", b"127.0.0.1", b"SQLite", bytes(made[1])):
        assert word not in raw


def test_a_wrong_passphrase_makes_nothing(made, tmp_path):
    with pytest.raises(Refused):
        restore(tmp_path, made[0], lambda: Secret(b"wrong"))
    assert list(tmp_path.iterdir()) == []


def test_only_an_authority_is_backed_up(tmp_path):
    with make(tmp_path, Role.HOLDER) as opened, pytest.raises(UsageError):
        write(opened, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_crash_leaves_nothing_that_looks_real(made, tmp_path):
    left = tmp_path / f".{NEW}.dead.partial"
    left.mkdir(mode=0o700)
    (left / "identity").write_bytes(b"half")
    assert profile_names(tmp_path) == []
    restore(tmp_path, made[0])
    assert not left.exists()
    assert profile_names(tmp_path) == [NEW]


def test_a_back_up_that_was_killed_leaves_its_copy_until_the_next_only(tmp_path):
    """Rows in it are sealed as of then: a holder that was removed since could open them."""
    with make(tmp_path) as opened:
        dead = opened.info.path / ".backup.killed"
        dead.mkdir()
        (dead / "store.db").write_bytes(b"sealed under an old key")
        with workshop(opened.info.path, prefix=".backup.") as busy:
            write(opened, tmp_path / "hq.backup")
            assert busy.is_dir()
        assert not busy.exists()
        assert not dead.exists()
        forget_interrupted(opened.info.path)
        assert not list(opened.info.path.glob(".backup*"))


def test_a_file_that_is_no_store_inside_is_refused(made, tmp_path):
    """Sealed by somebody who knows the passphrase, but with other things in it."""
    raw = made[0].read_bytes()
    sealed = sealing.seal(right(), bytes(5), aad=tags.BACKUP, parameters=FOR_TESTS_ONLY)
    bad = tmp_path / "bad"
    bad.write_bytes(raw[:8] + len(sealed).to_bytes(4, "big") + sealed + raw[300:])
    with pytest.raises(MalformedMessage):
        restore(tmp_path, bad)
    with pytest.raises(UsageError):
        restore(tmp_path, tmp_path / "none")
    assert [p.name for p in tmp_path.iterdir()] == ["bad"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_changed_nothing_is_restored(made, tmp_path_factory, data):
    raw = made[0].read_bytes()
    folder = tmp_path_factory.mktemp("fuzz")
    start = data.draw(st.one_of(st.integers(0, 400), st.integers(0, len(raw))))
    length = data.draw(st.integers(0, 60))
    middle = data.draw(st.binary(max_size=60))
    changed = raw[:start] + middle + raw[start + length :]
    (folder / "b").write_bytes(changed)
    if changed == raw:
        return
    with pytest.raises(TigertallyError) as caught:
        restore(folder, folder / "b")
    assert isinstance(caught.value, MalformedMessage | Refused | InvalidSignature | Corrupt)
    assert [p.name for p in folder.iterdir()] == ["b"]
