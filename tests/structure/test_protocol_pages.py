"""The protocol pages say what the code says: drawings of state tables, numbers of steps."""

from __future__ import annotations

import importlib
import re
from enum import Enum

import pytest

from sources import DOCS, PACKAGE
from tigertally.node.kinds import all_kinds
from tigertally.node.wiring import AuthorityServices

PAGES = {path.name: path.read_text("utf-8") for path in sorted((DOCS / "protocols").glob("*.md"))}

_DRAWING = re.compile(
    r"<!-- states: ([\w.]+)\.(\w+) -->\n+```text\n(.*?)^```$", re.DOTALL | re.MULTILINE
)
_ARROW = re.compile(r"^(?P<source>[a-z]+)?[^▶]*▶ (?P<target>[a-z]+)$")
_NUMBER = re.compile(
    r"(?:# |\"\"\"|^ +|steps? )\((\d+)(?:, [\w-]+)?\)(?: to \((\d+)\))?", re.MULTILINE
)
_ITEM = re.compile(r"^(\d+)\. ", re.MULTILINE)

# Page and heading to the files whose numbers stand there.
STEPS = {
    ("quorum.md", "Verifying a tally"): ["quorum/tally.py"],
    ("custody-create.md", "Checking a dealing"): ["custody/protocol/dealing.py"],
    ("custody-create.md", "Taking an epoch"): ["custody/protocol/receiver.py"],
    ("custody-create.md", "Judging a complaint"): ["custody/protocol/complaints.py"],
    ("custody-reshare.md", "The flow"): ["custody/protocol/reshare.py"],
    ("custody-release.md", "The flow"): ["custody/protocol/release.py"],
    ("custody-destroy.md", "The flow"): ["custody/protocol/destroy.py"],
    ("custody-import.md", "The flow"): ["custody/protocol/imports.py"],
    ("umbral.md", "Delegating"): ["schemes/umbral/key_fragment.py"],
    ("umbral.md", "Opening"): ["schemes/umbral/opening.py"],
    ("delegation-files.md", "Writing"): ["delegation/protocol/writing.py"],
    ("delegation-files.md", "Reading"): [
        "delegation/protocol/reading.py",
        "delegation/client/files.py",
        "delegation/client/owner.py",
    ],
    ("delegation-files.md", "Rotated slots"): ["delegation/protocol/rotated.py"],
    ("delegation-files.md", "Rotating a label"): [
        "delegation/client/rotating.py",
        "delegation/client/slots_below.py",
    ],
    ("delegation-files.md", "Re-keying"): ["delegation/client/rekeying.py"],
    ("delegation-files.md", "Streams"): [
        "delegation/protocol/records.py",
        "delegation/client/channels.py",
    ],
    ("single-proxy.md", "Rekeying"): ["schemes/single_pre/keys.py"],
    ("single-proxy.md", "Sharing"): ["schemes/single_pre/sharing.py"],
    ("rotation.md", "Deriving"): ["schemes/single_pre/rotation.py"],
    ("rotation.md", "Proving"): ["schemes/single_pre/proof.py"],
    ("rotation.md", "Taking a batch"): ["schemes/single_pre/batch.py"],
    ("rotation.md", "Being a member"): ["schemes/single_pre/members.py"],
    ("rotation.md", "Serving and opening"): ["schemes/single_pre/opening.py"],
    ("lock-and-unlock.md", "Unlocking"): [
        "custody/protocol/lock.py",
        "custody/service/lock.py",
        "custody/client/unlock.py",
    ],
}


def edges(drawing: str) -> set[tuple[str, str]]:
    """Who may follow whom: one arrow a line; a line without a source goes on from the last one."""
    found, source = set(), ""
    for line in drawing.splitlines():
        arrow = _ARROW.match(line)
        assert arrow, f"not an arrow: {line}"
        source = arrow["source"] or source
        found.add((source, arrow["target"]))
    return found


def numbers(source: str) -> set[int]:
    """The numbers of steps that comments and docstrings name."""
    found: set[int] = set()
    for first, last in _NUMBER.findall(source):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def items(page: str, heading: str) -> list[int]:
    """The numbered list below a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [int(number) for number in _ITEM.findall(section)]


DRAWINGS = [
    pytest.param(*drawing, id=f"{page}:{drawing[1]}")
    for page, text in PAGES.items()
    for drawing in _DRAWING.findall(text)
]


@pytest.mark.parametrize(("module", "table", "drawing"), DRAWINGS)
def test_the_drawing_is_the_table(module, table, drawing):
    rules: dict[Enum, frozenset[Enum]] = getattr(importlib.import_module(module), table)
    assert edges(drawing) == {(a.value, b.value) for a, after in rules.items() for b in after}


def test_every_state_table_is_drawn():
    tables = {
        (path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."), name)
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"^(NEXT\w*): dict", path.read_text("utf-8"), re.MULTILINE)
    }
    assert len(tables) >= 2
    assert {drawing.values[:2] for drawing in DRAWINGS} == tables


@pytest.mark.parametrize(("page", "heading"), STEPS)
def test_the_numbers_in_the_code_are_steps_of_the_page(page, heading):
    steps = items(PAGES[page], heading)
    assert steps == list(range(1, len(steps) + 1)), "numbered from 1"
    assert len(steps) > 2
    for name in STEPS[page, heading]:
        used = numbers((PACKAGE / name).read_text("utf-8"))
        assert used, f"{name} names no step"
        assert used <= set(steps), f"{name} names steps that the page does not have"


def test_the_page_names_every_kind_of_proposal():
    table = PAGES["quorum.md"].partition("\n| kind |")[2].partition("\n\n")[0]
    named = [name for line in table.splitlines() for name in re.findall(r"`(\w+\.\w+)`", line)]
    assert sorted(named) == sorted(all_kinds())


def test_every_page_that_code_points_to_exists():
    for path in PACKAGE.rglob("*.py"):
        for name in re.findall(r"docs/protocols/([\w-]+\.md)", path.read_text("utf-8")):
            assert name in PAGES, f"{path.name} points to {name}"


def test_drawings_and_numbers_are_read():
    drawing = (
        "open ──┬── all there ──▶ done\n       └── late ───────▶ dead\ndone ─── more ──▶ dead\n"
    )
    assert edges(drawing) == {("open", "done"), ("open", "dead"), ("done", "dead")}
    source = (
        'x = f(1)  # (2) yes\n"""(3, shamir-gf256) no."""\n"""Does: steps (5) to (7)."""\ny(9)\n'
    )
    assert numbers(source) == {2, 3, 5, 6, 7}
    assert items("# P\n\n## A\n\n1. x\n2. y\n\n## B\n\n1. z\n", "A") == [1, 2]


# Doors that change nothing that anybody waits for; of every other door the page says who is woken.
READERS = {
    *("domain", "terms", "proposal", "sync", "rosters", "tallies", "audit", "restorations"),
    *("custody/receive-keys", "custody/keys", "custody/holders", "custody/epoch"),
    *("custody/content",),
}


def test_of_every_door_that_changes_something_the_page_says_who_is_woken():
    section = PAGES["transport.md"].split("## Who is woken")[1].split("\n## ")[0]
    named = set(re.findall(r"`/v\d+/([a-z/-]+)`", section))
    doors = {re.sub(r"^/v\d+/", "", door) for door in AuthorityServices().doors()}
    assert named.isdisjoint(READERS)
    assert named | READERS | {"news"} == doors
