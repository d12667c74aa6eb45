"""What has landed stays as it is: every message of every path, and all that is signed."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("shapes", HERE / "shapes.py")
assert SPEC is not None
assert SPEC.loader is not None
shapes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(shapes)

RECORDED = json.loads((HERE / "messages.json").read_text())
WHAT_TO_DO = (
    "a message that has landed never changes: yesterday's devices would not read it. Leave it as "
    "it is, and send the new one on a new path or as a new kind (docs/versions.md)"
)
NEW = "record what is new: PYTHONPATH=src python tests/versions/shapes.py"


def test_no_landed_message_has_changed():
    try:
        now = shapes.added(RECORDED, shapes.all_shapes())
    except ValueError as error:
        pytest.fail(f"{error}; {WHAT_TO_DO}")
    assert now == RECORDED, NEW


@pytest.mark.parametrize(
    "change",
    [
        lambda now: now["v1"]["messages"]["SyncRequest"].append("limit: int"),
        lambda now: now["v1"]["messages"]["KeyInfo"].pop(),
        lambda now: now["v1"]["messages"]["SyncRequest"].reverse(),
        lambda now: now["v1"]["doors"].pop("/v1/sync"),
        lambda now: now["v1"]["doors"].update({"/v1/sync": "SyncRequest -> SyncReply2"}),
        lambda now: now["signed"]["Approval"].append("place: str"),
    ],
)
def test_a_change_would_be_noticed(change):
    changed = copy.deepcopy(RECORDED)
    change(changed)
    with pytest.raises(ValueError, match=r"has (changed|lost)"):
        shapes.added(RECORDED, changed)


def test_what_is_new_is_taken_beside_it():
    more = copy.deepcopy(RECORDED)
    more["v1"]["doors"]["/v1/more"] = "Nothing -> Nothing"
    assert shapes.added(RECORDED, more) == more
