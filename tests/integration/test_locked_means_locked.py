"""After every start the authority is locked: nothing goes until a holder unlocks it (C6)."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from process_rig import PASSPHRASE
from tigertally.base.codec import encode
from tigertally.base.errors import Refused
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.lock import UNLOCK_CHALLENGE, ChallengeRequest
from tigertally.node.profile import open_profile
from tigertally.transport.client import HttpChannel

pytestmark = pytest.mark.requirement("C6")


def audit(town, kind):
    entries = town.json("audit", "list", "--profile", "alice")
    return [entry["summary"] for entry in entries if entry["kind"] == kind]


@pytest.mark.slow
def test_every_key_command_exits_4(town, tmp_path):
    """Those that were begun before the restart too; afterwards all go on."""
    plain, k = tmp_path / "plain", tmp_path / "k"
    plain.write_text("text")
    get = ("key", "get", "payroll", "--profile", "app", "--reason", "r", "--out", k)
    begun = town.json(*get, "--no-wait")
    create = ("key", "create", "wages", "--profile", "alice")
    created = town.json(*create, "--no-wait")
    before = town.state()
    town.authority_down()
    town.authority_up()
    status = town.json("authority", "status", "--profile", "hq")
    assert (status["state"], status["unlock"]) == ("locked", {"have": 0, "need": 1})
    files = ("--in", plain, "--out", tmp_path / "out")
    commands = (
        ("key", "list", "--profile", "alice"),
        ("key", "show", "payroll", "--profile", "app"),
        (*create, "--no-wait"),
        ("key", "create", "other", "--profile", "bob", "--wait", "1"),
        (*get, "--no-wait"),
        ("key", "get", "vault", "--profile", "app", "--reason", "r", "--out", k, "--wait", "1"),
        ("encrypt", "--profile", "app", "--key", "payroll", "--reason", "r", *files),
        ("holder", "approve", begun["proposal"], "--profile", "alice"),
        ("holder", "reject", begun["proposal"], "--profile", "alice"),
        ("holder", "sync", "--profile", "bob"),
        ("holder", "inbox", "--profile", "bob"),
        ("tally", "list", "--profile", "bob"),
    )
    for command in commands:
        document = town.json(*command, code=4)
        assert document["error"] == "locked", command
    town.person("dora")
    town.run("holder", "enrol", "--profile", "dora", *town.where, "--no-wait", code=4)
    assert not k.exists()
    assert not (tmp_path / "out").exists()
    assert town.json("audit", "verify", "--profile", "bob")["ok"], "the log is open while locked"

    town.unlock("carol")
    assert town.state() == before
    assert town.json(*get, "--no-wait")["proposal"] == begun["proposal"]
    assert town.json(*create, "--no-wait")["proposal"] == created["proposal"]
    assert audit(town, "unlock.done")[-1] == "unlocked by carol"


async def challenge(town, key):
    """What a program without our client's manners would send."""
    fingerprint = Fingerprint.from_text(town.fingerprint)
    request = ChallengeRequest(roster_version=0, checkpoint_size=0, wrong_passphrases=0)
    async with HttpChannel(town.url, key, fingerprint) as channel:
        await channel.connect()
        with pytest.raises(Refused, match="only a holder"):
            await channel.call(UNLOCK_CHALLENGE, encode(request))


def test_strangers_and_requesters_do_not_unlock(locked_town):
    town = locked_town
    asyncio.run(challenge(town, SigningKey.generate(SystemRandomness())))
    app = open_profile(town.home, Name("app"), passphrase=lambda: Secret(PASSPHRASE.encode()))
    with app:
        asyncio.run(challenge(town, app.signing_key))
    town.run("holder", "unlock", "--profile", "app", code=2)
    town.person("dora")
    town.run("holder", "unlock", "--profile", "dora", code=2)
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"
    stranger, requester = audit(town, "unlock.failed")
    assert stranger.startswith("strangers asked to unlock")
    assert "app asked to unlock and is no holder" in requester


@pytest.mark.requirement("C11")
def test_wrong_passphrases_are_refused_and_told_at_the_next_unlock(locked_town):
    town = locked_town
    for guess in ("one", "two", "three"):
        town.run("holder", "unlock", "--profile", "bob", code=3, TALLY_PASSPHRASE=guess)
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"
    assert audit(town, "unlock.failed") == []
    town.unlock("bob")
    (told,) = audit(town, "unlock.failed")
    assert "bob's device was tried with 3 wrong passphrases" in told
    town.unlock("bob")
    assert len(audit(town, "unlock.failed")) == 1, "told once"


@pytest.mark.requirement("X5")
def test_an_authority_in_an_older_state_is_not_unlocked(stopped_town):
    """Its store is swapped for an older copy: before dora was a holder."""
    town = stopped_town
    old = town.home.parent / "old"
    shutil.copytree(town.home / "hq", old)
    town.authority_up()
    town.unlock()
    town.enrol("dora", by=("alice", "bob"))
    town.sync("alice", "bob")
    town.authority_down()
    shutil.rmtree(town.home / "hq")
    old.rename(town.home / "hq")
    town.authority_up()
    told = town.json("holder", "unlock", "--profile", "alice", code=3)
    assert "older roster" in told["message"]
    assert town.json("authority", "status", "--profile", "hq")["state"] == "locked"
    told = town.json("audit", "verify", "--profile", "alice", code=5)
    assert told["culprits"] == ["authority"]
    carol = town.json("audit", "list", "--profile", "carol")  # knew nothing newer
    kinds = [entry["kind"] for entry in carol]
    assert kinds[-2:] == ["unlock.refused", "roster.adopted"]
    # With the right roster, the log is still cut: who saw the newer one does not unlock.
    assert town.json("holder", "unlock", "--profile", "bob", code=5)["culprits"] == ["authority"]


@pytest.mark.requirement("C8")
def test_five_wrong_pins_void_it(nowhere):
    pin = nowhere.make_authority()
    nowhere.person("alice")
    enrol = ("holder", "enrol", "--profile", "alice", *nowhere.where, "--pin")
    for left in (4, 3, 2, 1):
        assert f"{left} tries left" in nowhere.run(*enrol, "aaaa-bbbb-cccc-dddd", code=3).err
    assert "now void" in nowhere.run(*enrol, "aaaa-bbbb-cccc-eeee", code=3).err
    assert "void" in nowhere.run(*enrol, pin, code=3).err, "the right one is void too"
    nowhere.authority_down()
    nowhere.authority_up()
    assert "void" in nowhere.run(*enrol, pin, code=3).err, "also after a restart"
    assert nowhere.json("authority", "status", "--profile", "hq")["roster_version"] == 0
    fresh = nowhere.json("authority", "pin", "--profile", "hq")["pin"]  # it is running meanwhile
    assert fresh != pin
    file = nowhere.home / "pin"
    file.write_text(f"{fresh}\n")
    nowhere.run(*enrol, fresh, "--pin-file", file, code=2)
    assert nowhere.json(*enrol[:-1], "--pin-file", file)["state"] == "enrolled"
    assert "has its first holder" in nowhere.run("authority", "pin", "--profile", "hq", code=3).err
    kinds = [one["kind"] for one in nowhere.json("audit", "list", "--profile", "alice")]
    assert kinds.index("pin.renewed") == kinds.index("roster.founded") - 1
    nowhere.run("audit", "verify", "--profile", "alice")


@pytest.mark.requirement("C8")
def test_the_pin_is_asked_for_at_a_terminal(nowhere):
    """Not shown, and only of the first holder: others read whom they wait for."""
    pin = nowhere.make_authority()
    nowhere.person("alice")
    enrol = ("holder", "enrol", "--profile", "alice", *nowhere.where)
    terminal = nowhere.at_terminal(*enrol)
    terminal.terminal.await_text("PIN, as .* printed it: $")
    outcome = terminal.answer(f"{pin}\n")
    assert outcome.code == 0, outcome
    assert pin not in outcome.err
    nowhere.person("bob")
    later = nowhere.at_terminal("holder", "enrol", "--profile", "bob", *nowhere.where, "--no-wait")
    outcome = later.wait()
    assert (outcome.code, "PIN, as" in outcome.err) == (0, False)


@pytest.mark.requirement("C8")
def test_a_wrong_pin_then_the_right_one_and_never_again(nowhere):
    pin = nowhere.make_authority()
    for name in ("alice", "bob"):
        nowhere.person(name)
    enrol = ("holder", "enrol", *nowhere.where, "--profile")
    nowhere.run(*enrol, "alice", "--pin", "aaaa-bbbb-cccc-dddd", code=3)
    done = nowhere.json(*enrol, "alice", "--pin", pin.upper().replace("-", " "))
    assert (done["state"], done["index"]) == ("enrolled", 1)
    assert "first holder" in nowhere.run(*enrol, "bob", "--pin", pin, code=3).err
