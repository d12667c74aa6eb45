from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from tigertally.base.ids import Fingerprint, Name, Text
from tigertally.base.randomness import SystemRandomness
from tigertally.cli import options
from tigertally.node.profile import create_profile
from tigertally.quorum.card import Role

got: dict[str, object] = {}
app = typer.Typer()
A_FINGERPRINT = Fingerprint(bytes(range(32)))


@app.command()
def command(  # noqa: PLR0917 - typer reads the parameters
    profile: options.Profile,
    url: options.MaybeUrl = None,
    fingerprint: options.MaybeFingerprint = None,
    listen: options.Listen = None,
    reason: options.Reason = None,
    wait: options.Wait = options.DEFAULT_WAIT,
    no_wait: options.NoWait = False,
    passphrase_file: options.PassphraseFile = None,
    out: options.MaybeOut = None,
) -> None:
    got.clear()
    got.update(locals())


def run(*args: str, **env: str):
    got.clear()
    return CliRunner().invoke(app, args, env={"TALLY_PROFILE": None, **env})


def test_all_of_them_reach_the_command_as_checked_values():
    words = "--profile alice --url https://h:1/ --listen [::1]:0 --wait 5m --no-wait --out f"
    text = str(A_FINGERPRINT).upper()
    result = run(*words.split(), "--fingerprint", text, "--reason", "year end")
    assert result.exit_code == 0, result.output
    assert got["profile"] == "alice"
    assert isinstance(got["profile"], Name)
    assert got["url"] == "https://h:1"
    assert got["fingerprint"] == A_FINGERPRINT
    assert got["listen"] == options.Address(host="::1", port=0)
    assert str(got["listen"]) == "[::1]:0"
    assert isinstance(got["reason"], Text)
    assert got["wait"] == 300.0
    assert got["no_wait"] is True
    assert got["out"] == options.OutName(text="f")


def test_defaults():
    assert run("--profile", "alice").exit_code == 0
    assert got["wait"] == 300.0
    assert options.waiting(300.0, no_wait=False) == 300.0
    assert options.waiting(300.0, no_wait=True) == 0.0


def test_the_profile_may_come_from_the_environment():
    assert run(TALLY_PROFILE="bob").exit_code == 0
    assert got["profile"] == "bob"


def test_no_profile_is_a_usage_error():
    assert run().exit_code == 2


@pytest.mark.parametrize(
    "args",
    [
        ("--profile", "Alice"),
        ("--profile", "../x"),
        ("--profile", "a", "--url", "http://h:1"),
        ("--profile", "a", "--url", "https://u:p@h:1"),
        ("--profile", "a", "--url", "https://h:1/path"),
        ("--profile", "a", "--fingerprint", "abcd"),
        ("--profile", "a", "--listen", "8440"),
        ("--profile", "a", "--listen", "h:99999"),
        ("--profile", "a", "--listen", ":1"),
        ("--profile", "a", "--wait", "-1"),
        ("--profile", "a", "--wait", "soon"),
        ("--profile", "a", "--reason", "two\nlines"),
        ("--profile", "a", "--reason", "x" * 501),
        ("--profile", "a", "--reason", "form" + " " * 442 + "final"),
    ],
    ids=lambda args: " ".join(args)[-20:],
)
def test_what_makes_no_sense_is_a_usage_error(args):
    assert run(*args).exit_code == 2
    assert not got


def test_a_reason_that_hides_something_is_told_which_character_it_is():
    told = run("--profile", "a", "--reason", "urgent\u202f!")
    assert told.exit_code == 2
    assert "U+202F NARROW NO-BREAK SPACE at character 7" in " ".join(told.output.split())


def test_completion_knows_the_profiles(tmp_path, monkeypatch):
    monkeypatch.setenv("TALLY_HOME", str(tmp_path))
    for name in ("hq", "hq2", "vault"):
        create_profile(
            tmp_path,
            Name(name),
            role=Role.AUTHORITY,
            member=Name(name),
            passphrase=None,
            randomness=SystemRandomness(),
            now=1,
        ).close()
    assert options.complete_profiles("hq") == ["hq", "hq2"]
    (tmp_path / "hq" / "identity").write_bytes(b"damaged")
    assert "vault" in options.complete_profiles("")


def test_completion_is_silent_without_a_home(monkeypatch):
    monkeypatch.delenv("TALLY_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert options.complete_profiles("") == []
