"""The model of the epoch change names the code that it models, and its states are the code's."""

from __future__ import annotations

import re

from sources import DOCS, PACKAGE
from tigertally.custody.state.authority import NEXT_EPOCH, EpochStatus

MODEL = (DOCS / "models" / "epoch.pml").read_text("utf-8")
PAGE = (DOCS / "protocols" / "epoch-model.md").read_text("utf-8")
TEST = (DOCS.parent / "tests" / "models" / "test_epoch_model.py").read_text("utf-8")


def code_of(model: str) -> str:
    """Without comments."""
    return re.sub(r"/\*.*?\*/", "", model, flags=re.DOTALL)


def test_the_states_are_those_of_the_authority() -> None:
    names = re.search(r"mtype:status = \{ ([\w, ]+) \}", MODEL)
    assert names is not None
    assert names[1].split(", ") == [status.value for status in EpochStatus]


def test_a_record_moves_only_as_the_table_says() -> None:
    """`open` follows dealing and so on: each assignment stands below a guard on what was before."""
    targets = set(re.findall(r"record\[[^\]]*\] = (\w+)", code_of(MODEL))) - {"0"}
    assert targets == {status.value for status in EpochStatus}
    reached = {after for following in NEXT_EPOCH.values() for after in following}
    assert {status.value for status in reached} == targets - {"dealing"}


def test_every_function_that_a_step_names_exists() -> None:
    comments = " ".join(re.findall(r"/\*.*?\*/", MODEL, flags=re.DOTALL))
    named = re.findall(r"((?:service|protocol|client)/\w+\.py) ((?:\w+\.)?\w+(?:, \w+)*)", comments)
    assert len(named) >= 12
    for file, functions in named:
        source = (PACKAGE / "custody" / file).read_text("utf-8")
        for name in re.split(r"[., ]+", functions):
            assert re.search(rf"(?:def|class) {name}\b", source), f"{file} has no {name}"


def test_every_switch_is_explained_and_run() -> None:
    switches = set(re.findall(r"#\s*ifn?def (\w+)", MODEL)) - {"M"}
    switches |= set(re.findall(r"defined\((\w+)\)", MODEL))
    assert len(switches) >= 12
    for switch in switches:
        assert f"`{switch}`" in PAGE, f"the page does not explain {switch}"
        assert f'"{switch}"' in TEST, f"no test runs {switch}"
