"""What the commands of members say: the next step, whose file it is, who a profile is."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tigertally.base.clock import SystemClock
from tigertally.base.errors import MalformedMessage, Unavailable, UsageError
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.cli.errors import report
from tigertally.cli.members import check_role, next_step, of_file, tell_owed
from tigertally.cli.output import counted
from tigertally.cli.roster import read_chain
from tigertally.node.profile import create_profile, read_info
from tigertally.quorum.card import Role
from tigertally.storage.erasure import owe
from tigertally.storage.memory import MemoryStore


def test_what_waits_says_how_it_goes_on():
    id_ = "0123456789abcdef" * 4
    said = next_step({"state": "waiting", "proposal": id_})
    assert (
        said == f"\nHolders approve it: `tally holder approve {id_}`. Then the same command again."
    )
    assert next_step({"state": "complete", "proposal": "0123"}) == ""
    assert next_step({"state": "waiting", "proposal": None}) == ""


def test_a_file_of_another_kind_is_named(tmp_path):
    wrong = tmp_path / "seed"
    with pytest.raises(UsageError, match=r"cannot read .*seed: No such file"):
        read_chain(wrong)
    wrong.write_text("something else")
    with pytest.raises(MalformedMessage, match="seed is not a roster as `tally roster export`"):
        read_chain(wrong)
    with pytest.raises(ValueError, match="ours"), of_file(wrong, "a roster", "x"):
        raise ValueError("ours")


def test_a_role_has_its_article(tmp_path):
    create_profile(
        tmp_path,
        Name("hq"),
        role=Role.AUTHORITY,
        member=Name("authority"),
        passphrase=None,
        randomness=SeededRandomness("roles"),
        now=1_800_000_000,
    ).close()
    info = read_info(tmp_path, Name("hq"))
    check_role(info, Role.AUTHORITY)
    with pytest.raises(UsageError, match=r"^profile hq is an authority, not a holder$"):
        check_role(info, Role.HOLDER)


class Owing(MemoryStore):
    """A store with somebody in the way of every scrub."""

    def scrub(self) -> bool:
        return False


@pytest.mark.parametrize(("days", "told"), [(0, False), (2, True)])
def test_an_erasure_that_is_owed_for_a_day_is_told(capsys, days, told):
    store = Owing()
    with store.transaction() as tx:
        owe(tx, now=SystemClock().now() - days * 24 * 3600)
    profile = SimpleNamespace(store=store, info=SimpleNamespace(store="bob/store.db"))
    tell_owed(profile)
    assert ("may still be in its files" in capsys.readouterr().err) is told


def test_a_file_of_another_kind_is_not_its_makers_fault():
    path = Path("domain.roster")
    with pytest.raises(MalformedMessage) as other, of_file(path, "a roster", "tally roster export"):
        raise MalformedMessage("no CBOR")
    assert "whoever made" not in report(other.value).line()
    assert report(other.value).code == 5
    with pytest.raises(UsageError), of_file(path, "a roster", "tally roster export"):
        raise PermissionError(13, "Permission denied")


def test_one_is_singular():
    assert [counted(n, "key", "keys") for n in (0, 1, 2)] == ["0 keys", "1 key", "2 keys"]


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_without_room_is_no_fault_of_the_file_that_is_read(tmp_path, number):
    """What is made of a back-up needs room: exit 4, and the same command again."""
    with pytest.raises(Unavailable, match="no room"), of_file(tmp_path, "a back-up", "x"):
        raise OSError(number, os.strerror(number))
