from __future__ import annotations

import os
from pathlib import Path

import pytest

from tigertally.base.errors import UsageError
from tigertally.cli import passphrase
from tigertally.cli.passphrase import (
    STANDARD_INPUT,
    check_input_free,
    new_passphrase,
    passphrase_source,
)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("TALLY_PASSPHRASE", raising=False)
    monkeypatch.setattr(passphrase, "_has_terminal", lambda: False)


@pytest.fixture
def typed(monkeypatch):
    """A person at the terminal who types these answers."""
    questions: list[str] = []

    def sit_down(*answers: str):
        left = list(answers)

        def ask(question):
            questions.append(question)
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr(passphrase, "_has_terminal", lambda: True)
        monkeypatch.setattr(passphrase.getpass, "getpass", ask)
        return questions

    return sit_down


def ask(file=None):
    return passphrase_source(file, of="profile alice")()


def test_the_file_comes_first_then_the_environment_then_the_terminal(tmp_path, monkeypatch, typed):
    questions = typed("from the terminal")
    assert ask().matches(b"from the terminal")
    assert questions == ["Passphrase of profile alice: "]
    monkeypatch.setenv("TALLY_PASSPHRASE", "from the environment")
    assert ask().matches(b"from the environment")
    file = tmp_path / "p"
    file.write_text("from the file\n")
    file.chmod(0o600)
    assert ask(file).matches(b"from the file")


@pytest.fixture
def piped(monkeypatch):
    """Standard input with these bytes, which nobody types."""
    opened = []

    def write(content: bytes):
        read, write = os.pipe()
        os.write(write, content)
        os.close(write)
        opened.append(os.fdopen(read, "r"))
        monkeypatch.setattr(passphrase.sys, "stdin", opened[-1])
        return read

    yield write
    for one in opened:
        one.close()


def test_a_dash_is_standard_input_a_line_for_each(piped):
    rest = piped("erste ü\r\nsecond\nwhat others read".encode())
    assert ask(STANDARD_INPUT).matches("erste ü".encode())
    assert new_passphrase(STANDARD_INPUT, of="x").matches(b"second")
    assert os.read(rest, 100) == b"what others read"
    for content in (b"", b"\n", b"\xff\n", b"x" * 5000):
        piped(content)
        with pytest.raises(UsageError):
            ask(STANDARD_INPUT)


def test_standard_input_is_no_passphrase_where_it_is_something_else(monkeypatch):
    check_input_free(None, Path("file"), what="the value")
    with pytest.raises(UsageError, match="standard input has the value"):
        check_input_free(None, STANDARD_INPUT, what="the value")
    monkeypatch.setattr(passphrase.sys, "stdin", None)
    with pytest.raises(UsageError, match="is closed"):
        ask(STANDARD_INPUT)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (b"plain", b"plain"),
        (b"plain\n", b"plain"),
        (b"plain\r\n", b"plain"),
        (b"first\nsecond\n", b"first"),
        (b" kept as typed \n", b" kept as typed "),
        ("e\u0301".encode(), "\u00e9".encode()),
        ("虎符\n".encode(), "虎符".encode()),
    ],
)
def test_the_first_line_counts_in_normal_form(tmp_path, written, meant):
    (tmp_path / "p").write_bytes(written)
    assert ask(tmp_path / "p").matches(meant)


@pytest.mark.parametrize("written", [b"", b"\n", b"\nsecond", b"\xff\xfe", b"x" * 4097])
def test_a_file_without_a_passphrase_is_a_usage_error(tmp_path, written):
    (tmp_path / "p").write_bytes(written)
    with pytest.raises(UsageError):
        ask(tmp_path / "p")


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        ask(tmp_path / "p")
    with pytest.raises(UsageError, match="directory"):
        ask(tmp_path)


def test_a_file_that_others_read_is_warned_of(tmp_path, capsys):
    file = tmp_path / "p"
    file.write_text("x")
    file.chmod(0o600)
    ask(file)
    assert capsys.readouterr().err == ""
    file.chmod(0o640)
    ask(file)
    assert "others can read" in capsys.readouterr().err


def test_an_empty_variable_is_a_usage_error(monkeypatch):
    monkeypatch.setenv("TALLY_PASSPHRASE", "")
    with pytest.raises(UsageError, match="TALLY_PASSPHRASE"):
        ask()


def test_no_source_and_no_terminal_is_a_usage_error():
    with pytest.raises(UsageError, match="no terminal") as refused:
        ask()
    assert "--passphrase-file" in refused.value.__notes__[0]


def test_a_new_one_is_asked_for_twice(typed):
    questions = typed("correct horse", "correct horse")
    assert new_passphrase(None, of="profile alice").matches(b"correct horse")
    assert len(questions) == 2


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("correct horse", "correct house"), "differ"),
        (("short",), "shorter"),
        (("",), "empty"),
        ((), "no passphrase was typed"),
    ],
)
def test_a_new_one_that_is_not_good_is_refused(typed, answers, words):
    typed(*answers)
    with pytest.raises(UsageError, match=words):
        new_passphrase(None, of="profile alice")


def test_the_environment_is_the_old_one_when_one_replaces_the_other(monkeypatch, typed):
    monkeypatch.setenv("TALLY_PASSPHRASE", "the old one")
    assert new_passphrase(None, of="x").matches(b"the old one")
    typed("the new one", "the new one")
    assert new_passphrase(None, of="x", replaces=True).matches(b"the new one")
