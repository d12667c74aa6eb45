"""The public suites of JSON and YAML as documents and as values; ten of them by the command."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from allowed_skips import require_folder
from delegation_rig import NOW, label, person
from sources import ROOT
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.client.documents import Document, parsed
from tigertally.delegation.protocol.markup import parse_json, parse_yaml
from tigertally.quorum.card import Role
from walks import sampled

T = TypeVar("T")
ANN = person("ann")  # its profile stays open
# Why the docs say that a value is refused: docs/protocols/delegation-files.md, "Documents".
REASONS = r"would not keep its digits|is there twice, lines|cannot be the name of a field"
EMPTY = {"n_structure_no_data.json", "n_structure_UTF8_BOM_no_data.json"}
# Of kinds of YAML that PyYAML does not read.
NO_YAML = r"^this is not YAML, or a kind of YAML that is not supported, line \d+$"

pytestmark = pytest.mark.requirement("D11")


def suites() -> Path:
    return require_folder(ROOT.parent / "shared", "suites")


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=tuple)


def tried(work: Callable[[], T]) -> tuple[T | None, str]:
    """What some work gives, or why it is refused."""
    try:
        return work(), ""
    except (MalformedMessage, UsageError) as error:
        return None, str(error)


def kept(value: Any) -> Any:
    """A value that was a field of a document, and has come back."""
    document = parsed(Path("v.json"), label("v"), None).with_value(("v",), value, ANN, NOW)
    return document.value(("v",), ANN)


def set_in(document: Document, part: int = 1) -> tuple[Document, tuple[str, ...]]:
    """The document with a field at a new place in it, and where."""
    root = document.text.root(part)
    items = root.items if root is not None else ()
    is_list = root is not None and (items or root.style == "[")
    place = (str(len(items)),) if is_list else ("zz new", "field")
    return document.with_value(place, "pw", ANN, NOW, part=part), place


@cache
def json_files() -> tuple[Path, ...]:
    return tuple(sorted((suites() / "json/test_parsing").iterdir()))


@pytest.mark.walk
def test_every_valid_json_is_a_document_and_a_value():
    seen: Counter[str] = Counter()
    for path in sampled([path for path in json_files() if path.name[0] == "y"], 40, "json y"):
        raw = path.read_bytes()
        found = parsed(path, label("y"), raw)
        root = found.text.root(1)
        if root.kind.value == "scalar":
            with pytest.raises(UsageError, match=r"^the value of /, line 1, would be lost"):
                set_in(found)
        else:
            changed, place = set_in(found)
            assert exact(changed.content().decode())[:-1] == exact(raw.decode()), path.name
            assert changed.without(place).content() == raw, path.name
            assert changed.value(place, ANN) == "pw"
        seen["document"] += 1
        value, why = tried(lambda raw=raw: repr(kept(parse_json(raw.decode()))))
        if why:
            assert re.search(REASONS, why), (path.name, why)
            seen["refused"] += 1
        else:
            assert value == repr(json.loads(raw)), path.name
    assert seen["document"] > seen["refused"] * 2


@pytest.mark.walk
def test_nothing_invalid_is_taken_as_json():
    for path in sampled([path for path in json_files() if path.name[0] == "n"], 60, "json n"):
        raw = path.read_bytes()
        if path.name not in EMPTY:  # a file without content is a document without fields
            with pytest.raises(UsageError, match=r"line \d|UTF-8"):
                parsed(path, label("n"), raw)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            continue
        with pytest.raises(MalformedMessage):
            parse_json(text)


def notation(text: str) -> str:
    """The text that the suite's notation means."""
    text = re.sub("—*»", "\t", text.replace("␣", " ").replace("↵", ""))
    return re.sub("∎\n?", "", text).replace("←", "\r").replace("⇔", "\ufeff")


@cache
def yaml_cases() -> tuple[tuple[str, str], ...]:
    """Name and text of every valid case."""
    cases = []
    for path in sorted((suites() / "yaml/src").glob("*.yaml")):
        known: dict[str, Any] = {}
        for number, case in enumerate(yaml.safe_load(path.read_text())):
            known.update(case)
            if not case.get("fail"):
                cases.append((f"{path.stem}/{number}", notation(known["yaml"])))
    return tuple(cases)


@pytest.mark.walk
def test_no_valid_yaml_changes_silently():
    seen: Counter[str] = Counter()
    for name, text in sampled(yaml_cases(), 90, "yaml"):
        raw = text.encode()
        found, why = tried(lambda raw=raw: parsed(Path("y.yaml"), label("y"), raw))
        if found is None:
            assert re.search(NO_YAML, why.partition(": ")[2]), (name, why)
            seen["not read"] += 1
            continue
        part = max(1, len(found.text.parts))
        done, why = tried(lambda found=found, part=part: set_in(found, part))
        if done is None:
            assert re.search(r"line \d+", why), (name, why)
            seen["refused"] += 1
            continue
        changed, place = done
        seen["set"] += 1
        assert changed.without(place, part=part).content() == raw, name
        assert changed.value(place, ANN, part=part) == "pw", name
        assert is_within(said(found.text.text), said(changed.text.text)), name
        value, why = tried(lambda text=text: parse_yaml(text))
        if not why:
            _, why = tried(lambda value=value: kept(value))
        if why:
            assert re.search(rf"line \d+|documents: give one|{REASONS}", why), (name, why)
            continue
        assert repr(kept(value)) == repr(value), name
        seen["value"] += 1
    # Of all cases about half; a sample may have fewer.
    assert seen["set"] * 2 > seen["refused"] + seen["not read"]
    assert seen["value"]


def said(text: str) -> list[tuple[str, ...]]:
    """What a text says, by another reader of the same language: PyYAML in Python, not in C."""
    try:
        events = list(yaml.parse(text, yaml.SafeLoader))
    except yaml.YAMLError:  # it reads a little less
        return []
    parts = ("value", "anchor", "tag", "style")
    return [
        (type(event).__name__, *(str(getattr(event, part, "")) for part in parts))
        for event in events
    ]


def is_within(short: list[tuple[str, ...]], long: list[tuple[str, ...]]) -> bool:
    """Whether all of the one is in the other, in order; but a document that said nothing."""
    rest = iter(long)
    return all(one in rest for one in short if one[:2] != ("ScalarEvent", ""))


def test_ten_by_the_real_command(nowhere, tmp_path):
    nowhere.person("ann", Role.IDENTITY)
    me = ("--profile", "ann")
    valid = [path for path in json_files() if path.name.startswith("y_object")]
    cases = [(path.name, path.read_bytes()) for path in valid][-5:]
    for name, text in yaml_cases():
        if len(cases) < 10 and re.match(r"[a-z]+: ", text) and "\r" not in text:
            cases.append((name.replace("/", "-") + ".yaml", text.encode()))
    assert len(cases) == 10
    for name, raw in cases:
        path = tmp_path / name
        path.write_bytes(raw)
        (tmp_path / "value").write_text("pw")
        nowhere.run("secret", "set", path, "zz new/field", *me, "--in", tmp_path / "value")
        assert path.read_bytes() != raw
        got = nowhere.json("secret", "get", path, "zz new/field", *me)
        assert got["value"] == "pw"
        nowhere.run("secret", "unset", path, "zz new/field", *me)
        assert path.read_bytes() == raw, name
