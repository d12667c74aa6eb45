from __future__ import annotations

import pytest

from tigertally.base.errors import UsageError
from tigertally.cli import passphrase
from tigertally.cli.passphrase import new_passphrase, passphrase_source


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
