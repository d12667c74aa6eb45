from __future__ import annotations

import json
import signal
import sys
import types
from typing import Annotated

import pytest
import typer

from tigertally.base import errors as tree
from tigertally.cli import main as shell
from tigertally.cli import output
from tigertally.cli.options import MaybeProfile
from tigertally.cli.table import COMMANDS, Entry

probe = typer.Typer(no_args_is_help=True)
asked: dict[str, object] = {}


@probe.command(epilog="Example: tally probe good x")
def good(word: str, profile: MaybeProfile = None) -> None:
    """Say a word."""
    asked["profile"] = profile
    output.emit({"word": word}, f"the word is {word}")


@probe.command(epilog="Example: tally probe bad 3")
def bad(kind: Annotated[str, typer.Argument()]) -> None:
    """Fail as told."""
    output.emit({"before": 1}, "before")
    raise {
        "refused": tree.Refused("the rules say no"),
        "fault": tree.PeerFault("a lie", culprits=("bob",), sure=True),
        "disk": OSError(28, "No space left on device", "/x"),
        "ctrl-c": KeyboardInterrupt(),
        "bug": ZeroDivisionError("secret"),
        "exit": typer.Exit(5),
        "system": SystemExit(7),
    }[kind]


def single(number: int) -> None:
    """A single command."""
    output.emit({"number": number}, str(number))


@pytest.fixture(autouse=True)
def table(monkeypatch):
    module = types.ModuleType("probe_commands")
    module.app, module.single = probe, single
    monkeypatch.setitem(sys.modules, "probe_commands", module)
    monkeypatch.setitem(COMMANDS, "probe", Entry(module="probe_commands", help="P.", panel="X"))
    monkeypatch.setitem(
        COMMANDS,
        "single",
        Entry(module="probe_commands", call="single", help="S.", panel="X", example="tally single"),
    )
    monkeypatch.setitem(COMMANDS, "gone", Entry(module="no_such_module", help="G.", panel="X"))
    monkeypatch.delenv("TALLY_PROFILE", raising=False)
    shell.load.cache_clear()


@pytest.fixture
def run(capsys):
    def call(*args: str):
        code = shell.run(args)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_a_command_for_people(run):
    assert run("probe", "good", "x") == (0, "the word is x\n", "")


def test_a_command_for_scripts(run):
    code, out, err = run("probe", "good", "x", "--json")
    assert (code, json.loads(out), err) == (0, {"word": "x"}, "")


def test_one_run_does_not_remember_the_other(run):
    run("probe", "good", "x", "--json")
    assert run("probe", "good", "x")[1] == "the word is x\n"


@pytest.mark.parametrize(
    ("kind", "code"),
    [("refused", 3), ("fault", 5), ("disk", 1), ("ctrl-c", 130), ("bug", 1)],
)
def test_a_failure_is_one_line_and_its_code(run, kind, code):
    got, out, err = run("probe", "bad", kind)
    assert got == code
    assert out == "before\n"
    assert err.startswith("tally: ")
    assert err.count("\n") == 1
    assert "secret" not in err


@pytest.mark.parametrize("kind", ["refused", "fault", "disk", "ctrl-c", "bug"])
def test_a_failure_with_json_is_one_object(run, kind):
    code, out, err = run("probe", "bad", kind, "--json")
    said = json.loads(out)
    assert said["code"] == code
    assert said["before"] == 1
    assert {"error", "message", "culprits"} <= said.keys()
    assert err.count("\n") == 1


def test_culprits_reach_scripts(run):
    assert json.loads(run("probe", "bad", "fault", "--json")[1])["culprits"] == ["bob"]


@pytest.mark.parametrize(("kind", "code"), [("exit", 5), ("system", 7)])
def test_a_command_may_end_with_a_code_of_its_own(run, kind, code):
    got, out, err = run("probe", "bad", kind, "--json")
    assert (got, json.loads(out), err) == (code, {"before": 1}, "")


def test_the_traceback_is_for_those_who_ask(run):
    assert "Traceback" not in run("probe", "bad", "refused")[2]
    err = run("probe", "bad", "refused", "--debug")[2]
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("tally: ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("nope",), "no such command 'nope'"),
        (("prob",), "did you mean 'probe'"),
        (("probe", "nope"), "see tally probe --help"),
        (("probe", "good"), "missing argument"),
        (("probe", "good", "x", "--nope"), "no such option"),
        (("probe", "good", "x", "--profile", "Not A Name"), "a name is"),
        (("single", "x"), "see tally single --help"),
        (("gone",), "this version has no 'tally gone' yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_is_exit_2_and_says_where_to_look(run, args, words):
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert words.lower() in err.lower()
    assert err.count("\n") == 1
    code, out, _ = run(*args, "--json")
    assert (code, json.loads(out)["error"]) == (2, "usage")


def test_json_behind_a_double_dash_is_a_word(run):
    assert run("probe", "good", "--", "--json")[1] == "the word is --json\n"
    assert run("probe", "nope", "--", "--json")[1] == ""


def test_a_group_alone_shows_its_help_and_is_no_success(run):
    code, out, err = run("probe")
    assert code == 2
    assert "Say a word." in out
    assert err == ""


@pytest.mark.parametrize("args", [("probe", "good", "x"), ("single", "3")])
def test_every_command_takes_a_profile(run, args):
    assert run(*args, "--profile", "alice")[0] == 0


def test_a_profile_that_a_command_declares_reaches_it(run):
    run("probe", "good", "x", "--profile", "alice")
    assert asked["profile"] == "alice"


def test_a_single_command_gets_its_example(run):
    code, out, _ = run("single", "--help")
    assert code == 0
    assert "Example: tally single" in out
    assert "--json" in out


def test_the_list_of_commands_loads_none_of_them(run, monkeypatch):
    monkeypatch.setattr(shell, "load", lambda name: pytest.fail(f"loaded {name}"))
    code, out, _ = run("--help")
    assert code == 0
    assert all(name in out for name in COMMANDS)


def test_a_missing_package_is_said(run, monkeypatch):
    def lacking(name):
        raise ModuleNotFoundError("no", name="aiohttp")

    monkeypatch.setattr(shell.importlib, "import_module", lacking)
    code, _, err = run("probe", "good", "x")
    assert code == 2
    assert "aiohttp" in err
    assert "install" in err


def test_a_signal_becomes_an_exit_that_cleans_up(run, monkeypatch):
    cleaned = []

    def slow(number: int) -> None:
        try:
            signal.raise_signal(signal.Signals(number))
        finally:
            cleaned.append(number)

    monkeypatch.setattr(sys.modules["probe_commands"], "single", slow)
    for number in (signal.SIGTERM, signal.SIGHUP):
        before = signal.signal(number, signal.SIG_DFL)
        try:
            assert run("single", str(int(number)))[0] == 128 + number
            assert signal.getsignal(number) is signal.SIG_DFL
        finally:
            signal.signal(number, before)
    assert len(cleaned) == 2


def test_version_at_the_root(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("tally ")


def test_the_table_is_in_order():
    for name, entry in COMMANDS.items():
        assert entry.help.endswith("."), name
        assert len(entry.help) < 80, name
        assert entry.call == "app" or entry.example.startswith("tally "), name
