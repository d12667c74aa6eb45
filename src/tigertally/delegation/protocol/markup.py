"""What a text of YAML or JSON means, for values that are encrypted or shown. No I/O.

Strict: no anchors, aliases, tags or merge keys, one document, no name twice, names are text, and
no word or number that programs read differently, or whose digits a number would not keep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import yaml

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol.edits import Text
from tigertally.delegation.protocol.looks import Splice, line_start, spliced, yaml_text
from tigertally.delegation.protocol.nodes import Kind, Node, line_of, same, same_but_inside
from tigertally.delegation.protocol.places import normal, shown

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
# YAML's core schema 1.2, and what is a number to some reader only.
_NUMBER = re.compile(
    r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS = 4000  # of an integer: the language's own limit of what it converts is 4,300
_OTHERS = yaml.SafeLoader.yaml_implicit_resolvers  # of YAML 1.1
_STRING = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc,unused-ignore]
    """Quotes every text that some reader could take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> Any:
    style = None if yaml_text(text) == text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text says.

    Raises:
        MalformedMessage: not YAML, or a feature that hides what it says; names the line.
    """
    parts = Text.parse(text, json=False).parts
    if len(parts) > 1:
        raise MalformedMessage(f"these are {len(parts)} YAML documents: give one")
    return value_of(text, parts[0].root, json=False) if parts else None


def parse_json(text: str) -> Any:
    """The value that a JSON text says; raises as `parse_yaml`."""
    parts = Text.parse(text, json=True).parts
    if not parts:
        raise MalformedMessage("the document is not JSON: it is empty")
    return value_of(text, parts[0].root, json=True)


def value_of(text: str, node: Node, *, json: bool) -> Any:
    """What a node means.

    Raises:
        MalformedMessage: it hides that, or means different things to different programs.
    """
    if node.kind is Kind.ALIAS or node.marks:
        what = "a tag" if node.marks and not node.marks.startswith("&") else "an anchor or alias"
        raise MalformedMessage(f"{what}, line {line_of(text, node.start)}: write the value out")
    if node.kind is Kind.LIST:
        return [value_of(text, item, json=json) for item in node.items]
    if node.kind is Kind.MAPPING:
        return _mapping(text, node, json)
    if node.style:
        return _checked_text(text, node)
    return _plain(text, node, json)


def _mapping(text: str, node: Node, json: bool) -> dict[str, Any]:
    check_names(text, node)
    result: dict[str, Any] = {}
    for key, value in node.pairs:
        name = value_of(text, key, json=json)
        if type(name) is not str:
            line = line_of(text, key.start)
            raise MalformedMessage(f"a name that is no text, line {line}: put it in quotes")
        result[name] = value_of(text, value, json=json)
    return result


def _checked_text(text: str, node: Node) -> str:
    try:
        node.text.encode()
    except UnicodeEncodeError:
        raise MalformedMessage(
            f"half of a surrogate pair, line {line_of(text, node.start)}: it is no text"
        ) from None
    return node.text


def _plain(text: str, node: Node, json: bool) -> Any:
    word = node.text
    if _NULL.fullmatch(word):
        return None
    if _BOOL.fullmatch(word):
        return word.lower() == "true"
    if _JSON_NUMBER.fullmatch(word) and (json or _other_kind(word) in ("int", "float")):
        return _number(text, node)
    if not json and (_NUMBER.fullmatch(word) or _other_kind(word) != "str"):
        raise MalformedMessage(
            f"{shown(word)}, line {line_of(text, node.start)}, is read differently by different "
            "programs: put it in quotes"
        )
    return _checked_text(text, node)


def _number(text: str, node: Node) -> Any:
    """A number whose digits are all kept; else it is refused."""
    word = node.text
    if len(word) <= _MOST_DIGITS:
        number = json.loads(word)
        if json.dumps(number) == word:
            return number
    raise MalformedMessage(
        f"the number {shown(word)}, line {line_of(text, node.start)}, would not keep its digits: "
        "put it in quotes"
    )


def _other_kind(word: str) -> str:
    """What a reader of YAML 1.1 takes a plain scalar for."""
    for tag, pattern in _OTHERS.get(word[:1], []):
        if pattern.match(word):
            return str(tag).rpartition(":")[2]
    return "str"


def dump_yaml(value: Any) -> str:
    """A value as YAML, one unit a line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("...\n")


def dump_json(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def check_names(text: str, node: Node) -> None:
    """Has a mapping every name once, and are all of them text that is written out?

    Raises:
        MalformedMessage: no; says the line.
    """
    seen: dict[str, Node] = {}
    for name, _ in node.pairs:
        line = line_of(text, name.start)
        if name.kind is not Kind.SCALAR or name.marks or (name.text == "<<" and not name.style):
            raise MalformedMessage(f"a name that is not written out, line {line}")
        if normal(name.text) in seen:
            first = line_of(text, seen[normal(name.text)].start)
            raise MalformedMessage(
                f"the name {shown(name.text)} is there twice, lines {first} and {line}"
            )
        seen[normal(name.text)] = name


def plain_value(node: Node, *, json: bool) -> Any:
    """What a scalar that is not encrypted means; text where programs could read it differently."""
    try:
        return value_of(node.text, node, json=json)
    except MalformedMessage:
        return node.text


def opened_text(text: Text, values: Mapping[int, Any]) -> str:
    """The whole text, with values instead of the fields that begin at these characters."""
    return spliced(text.text, _splices(text, [part.root for part in text.parts], values))


def text_of(text: Text, node: Node, values: Mapping[int, Any]) -> str:
    """A node by itself, with values instead of the fields that begin at these characters.

    Raises:
        MalformedMessage: it does not say the same by itself.
    """
    if node.kind is Kind.SCALAR:
        value = values.get(node.start, node.text)
        return value if isinstance(value, str) else _written(text, value)
    around = text.text
    splices = _splices(text, [node], values)
    shifted = [Splice(s.start - node.start, s.end - node.start, s.text) for s in splices]
    lines = spliced(around[node.start : node.end], shifted).splitlines(keepends=True)
    start = line_start(around, node.start)
    indent = node.start - start
    if node.style:  # the line that the bracket is on says how far the others are indented
        indent = len(around[start:]) - len(around[start:].lstrip(" \t"))
    bare = "".join([*lines[:1], *(_dedented(line, indent) for line in lines[1:])])
    bare = bare if bare.endswith("\n") else bare + "\n"
    try:
        again = Text.parse(bare, json=text.json).parts
    except MalformedMessage:
        again = ()
    if len(again) != 1 or not _says(again[0].root, node, values, text.json):
        raise UsageError(
            f"what begins on line {line_of(around, node.start)} cannot be printed by itself: print "
            "the whole document"
        )
    return bare


def _says(new: Node, old: Node, values: Mapping[int, Any], json: bool) -> bool:
    """Whether a node says what an older one said, with these values instead of its fields."""
    if old.kind is Kind.SCALAR and old.start in values:
        return bool(plain_value(new, json=json) == values[old.start])
    return (
        same_but_inside(new, old)
        and len(new.pairs) == len(old.pairs)
        and len(new.items) == len(old.items)
        and all(
            same(a_name, b_name) and _says(a, b, values, json)
            for (a_name, a), (b_name, b) in zip(new.pairs, old.pairs, strict=True)
        )
        and all(_says(a, b, values, json) for a, b in zip(new.items, old.items, strict=True))
    )


def _splices(text: Text, roots: list[Node], values: Mapping[int, Any]) -> list[Splice]:
    splices, left = [], list(roots)
    while left:
        node = left.pop()
        if node.kind is Kind.SCALAR and node.start in values:
            splices.append(Splice(node.start, node.end, _written(text, values[node.start])))
        left += [value for _, value in node.pairs]
        left += node.items
    return splices


def _written(text: Text, value: Any) -> str:
    """A value on one line, in the language of a text."""
    if isinstance(value, str) and not text.json:
        return yaml_text(value)
    written = json.dumps(value, ensure_ascii=False)
    if text.json:
        return written
    return "".join(c if c == " " or c.isprintable() else f"\\u{ord(c):04x}" for c in written)


def _dedented(line: str, indent: int) -> str:
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(blank, indent) :]
