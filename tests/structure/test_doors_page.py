"""The table of doors in `docs/protocols/transport.md` says what the doors say.

After a change of a door: `PYTHONPATH=src:tests python tests/structure/test_doors_page.py`.
"""

from __future__ import annotations

import re
from typing import Any

from sources import DOCS
from tigertally.node.wiring import AuthorityServices
from tigertally.transport.door import Door, Standing

PAGE = DOCS / "protocols" / "transport.md"
_TABLE = re.compile(r"(<!-- doors -->\n)(.*?)(<!-- /doors -->)", re.DOTALL)
WHO = {
    Standing.STRANGER: "anybody",
    Standing.REQUESTER: "members",
    Standing.HOLDER: "holders",
}


def size(number: int) -> str:
    """Bytes as people read them."""
    for unit, one in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if number >= one:
            return f"{number / one:g} {unit}"
    return f"{number} bytes"


def row(door: Door[Any, Any]) -> str:
    most = door.most[Standing.HOLDER]
    long_poll = ", a long poll" if door.poll else ""
    return f"| `{door}` | {WHO[door.who]}{long_poll} | {size(most.bytes)} | {most.items:,} |"


def table() -> str:
    head = "| door | for | bytes at most | items at most |\n|---|---|---|---|\n"
    return head + "\n".join(row(door) for door in sorted(AuthorityServices().doors())) + "\n"


def test_the_table_of_doors_is_up_to_date():
    found = _TABLE.search(PAGE.read_text("utf-8"))
    assert found is not None
    assert found[2] == table()


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda m: m[1] + table() + m[3], PAGE.read_text("utf-8")), "utf-8")
