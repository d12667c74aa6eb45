"""The harness that runs the blocks of the documentation notices when a page is wrong."""

from __future__ import annotations

import pytest

from console import Shell, Step, matches, steps_of

PAGE = """
Some words.

```console
$ export WHO=world
$ echo hello $WHO
hello world
$ ls nothing-here  # exit 2
...
```

```sh
$ rm -rf never-run
```

```console
$ echo one \\
>   two
one two
```
"""


def test_blocks_become_steps():
    assert steps_of(PAGE) == [
        Step(command="export WHO=world"),
        Step(command="echo hello $WHO", expected=("hello world",)),
        Step(command="ls nothing-here", expected=("...",), code=2),
        Step(command="echo one two", expected=("one two",)),
    ]


@pytest.mark.parametrize(
    ("expected", "printed", "good"),
    [
        (("state: ready",), "state: ready\n", True),
        (("state: ready",), "state: locked\n", False),
        (("id ... needed",), "id 3f2a needed\n", True),
        (("id ... needed",), "id 3f2a\n", False),
        (("first", "...", "last"), "first\na\nb\nlast\n", True),
        (("first", "...", "last"), "first\nlast\n", True),
        (("first", "..."), "second\n", False),
        (("a+b",), "aab\n", False),
        (("one",), "one\ntwo\n", False),
        (("done  yes  1.42",), "done  yes  17.05\n", True),
        (("done  yes  1.42",), "done  yes  soon\n", False),
        (("version 0.1.0",), "version 0.2.0\n", False),
        (("at 127.0.0.1",), "at 127.1.0.1\n", False),
    ],
)
def test_expected_lines(expected, printed, good):
    assert matches(expected, printed) is good


def test_a_page_runs_from_top_to_bottom(tmp_path):
    with Shell(tmp_path) as shell:
        for step in steps_of(PAGE):
            shell.run(step)


@pytest.mark.parametrize(
    "step",
    [
        Step(command="echo no", expected=("yes",)),
        Step(command="false"),
        Step(command="true", code=3),
        Step(command="echo almost &", expected=("never",)),
    ],
)
def test_a_wrong_page_is_noticed(tmp_path, step):
    with Shell(tmp_path, seconds=1) as shell, pytest.raises(AssertionError):
        shell.run(step)


def test_a_command_that_hangs_is_noticed(tmp_path):
    with Shell(tmp_path, seconds=0.3) as shell, pytest.raises(AssertionError, match="no end"):
        shell.run(Step(command="read -r line < <(sleep 60)"))


def test_background_output_is_awaited_and_ports_are_free_ones(tmp_path):
    listen = "python -c \"import time; print('ready on 127.0.0.1:8440'); time.sleep(60)\" &"
    with Shell(tmp_path) as shell:
        shell.run(Step(command=listen, expected=("ready on 127.0.0.1:8440",)))
        written = (tmp_path / ".background-1").read_text()
        assert "127.0.0.1:8440" not in written
        shell.run(Step(command="echo 127.0.0.1:8440", expected=("127.0.0.1:8440",)))


ASK = """if test -t 0; then read -p 'Sure? [y/N] ' ANSWER; fi
echo "<$ANSWER>"; test "$ANSWER" = y"""


@pytest.mark.parametrize(
    ("expected", "code"),
    [(("Sure? [y/N] y", "<y>"), 0), (("Sure? [y/N] n", "<n>"), 1), (("<>",), 1)],
)
def test_a_question_is_answered_at_a_terminal_if_the_page_does(tmp_path, expected, code):
    (tmp_path / "ask").write_text(ASK)
    with Shell(tmp_path) as shell:
        shell.run(
            Step(
                command="bash ask < /dev/null" if len(expected) == 1 else "bash ask",
                expected=expected,
                code=code,
            )
        )
