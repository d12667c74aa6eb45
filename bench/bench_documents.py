"""`tally secret set` of one field in a document of 10 MB against reading and writing it.

Ours is what the command does once the profile is open: read, parse, encrypt, edit, read again what
changed, replace the file. The other half reads and parses the same document with the same code
and replaces the file with what it read; bare is the standard library's `json`, or PyYAML in C,
and a plain write. Interleaved pairs, median ratios. Run: `python bench/bench_documents.py [MB]`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parent))

from bench_formats import owner
from pairs import compare, duration, timed
from tigertally.delegation.client.documents import edit, load
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.messages.labels import parse_label

NOW = 1_800_000_000
UNIT = "A" * 1336  # characters of a short field
AIM = "read and write / ours ≥ 0.5"


def documents(size: int) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Documents of about `size` bytes, and a place in each."""
    fields = [f"name{number}" for number in range(size // (len(UNIT) + 16))]
    flat = "".join(f'{name}: "{UNIT}"\n' for name in fields)
    deep = "".join(f'    {name}: "{UNIT}"\n' for name in fields)
    small = "".join(f"- name: element {number}\n" for number in range(size // 25))
    tree = {"db": {"user": "x"}, **dict.fromkeys(fields, UNIT)}
    return {
        "encrypted fields.yaml": (f"db:\n  user: x\n{flat}", ("db", "password")),
        "one subtree.yaml": (f"all:\n  below:\n{deep}", ("all", "below", "password")),
        "encrypted fields.json": (json.dumps(tree, indent=2), ("db", "password")),
        "small plain values.yaml": (f"db:\n  user: x\nlist:\n{small}", ("db", "password")),
    }


def put(path: Path, place: tuple[str, ...], ann: Owner) -> None:
    label = parse_label(path.name)
    known = load(path, label)
    edit(path, label, lambda found: found.with_value(place, "secret", ann, NOW), known)


def read_and_write(path: Path) -> None:
    load(path, parse_label(path.name)).save()


def bare(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".json":
        json.loads(text)
    else:
        for _ in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            pass
    path.write_text(text)


def row(path: Path, place: tuple[str, ...], text: str, ann: Owner) -> dict[str, str]:
    path.write_text(text)
    ours: Callable[[], object] = partial(put, path, place, ann)
    pairs = compare(ours, partial(read_and_write, path), pairs=7)
    size = len(text) / 1_000_000
    return {
        **pairs.row(f"{path.stem}, {path.suffix}, {size:.0f} MB", peer="read and write", aim=AIM),
        "bare parser": duration(timed(partial(bare, path), 1)),
    }


def run(megabytes: int = 10) -> list[dict[str, str]]:
    """A row for each kind of document."""
    ann = owner()
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        return [
            row(Path(folder) / name, place, text, ann)
            for name, (text, place) in documents(megabytes * 1_000_000).items()
        ]


if __name__ == "__main__":
    for one in run(*map(int, sys.argv[1:2])):
        print(one)
