"""What has landed stays as it is: every message of every path, and all that is signed."""

from __future__ import annotations

import copy
import importlib.util
import json
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from tigertally.base.codec import decode, encode
from tigertally.custody.messages import (
    base_key,
    dealing,
    destroy,
    imports,
    kinds,
    lock,
    release,
    reports,
    sync,
    v1,
)
from tigertally.quorum import receive_keys
from versions_rig import BASE

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


CASES = {
    case["name"]: bytes.fromhex(case["hex"])
    for case in json.loads((HERE / BASE / "custody_messages.json").read_text())["cases"]
}
LANDED = {
    name: kind
    for module in (
        base_key,
        kinds,
        dealing,
        destroy,
        imports,
        lock,
        release,
        sync,
        reports,
        v1,
        receive_keys,
    )
    for name, kind in vars(module).items()
    if is_dataclass(kind)
}


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"Create", "Rotate", "Destroy", "Release"}))
def test_bytes_of_then_are_read_and_written_as_then(name):
    """Those left out never travel: their options do, as the body of a proposal."""
    kind = LANDED.get(f"{name}V1") or LANDED[name]
    message = decode(kind, CASES[name])
    assert encode(message) == CASES[name]
    if kind.__name__.endswith("V1"):
        assert kind.of(message.today()) == message


def test_what_is_new_is_taken_beside_it():
    more = copy.deepcopy(RECORDED)
    more["v1"]["doors"]["/v1/more"] = "Nothing -> Nothing"
    assert shapes.added(RECORDED, more) == more
