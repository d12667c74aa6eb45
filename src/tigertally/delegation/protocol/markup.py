"""What a text of YAML or JSON means, for values that are encrypted or shown. No I/O.

Strict: no anchors, aliases, tags or merge keys, one document, no name twice, names are text, and
no word or number that programs read differently, or whose digits a number would not keep.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from functools import partial
from typing import Any

import yaml

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.delegation.protocol.anchors import alias_of_outside
from tigertally.delegation.protocol.edits import Text
from tigertally.delegation.protocol.looks import (
    Splice,
    column_of,
    indent_at,
    spliced,
    yaml_text,
)
from tigertally.delegation.protocol.nodes import Kind, Node, line_of, same, same_but_inside
from tigertally.delegation.protocol.places import component_of, normal, shown
from tigertally.delegation.protocol.yaml_text import Part

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
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+")


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
    return _labelled(text, parts[0].root, json=False) if parts else None


def parse_json(text: str) -> Any:
    """The value that a JSON text says; raises as `parse_yaml`."""
    parts = Text.parse(text, json=True).parts
    if not parts:
        raise MalformedMessage("the document is not JSON: it is empty")
    return _labelled(text, parts[0].root, json=True)


def _labelled(text: str, node: Node, *, json: bool) -> Any:
    """What a node means, if its names can be those of fields; inside of lists any names can be."""
    left = [node]
    while left:
        for name, below in left.pop().pairs:
            left.append(below)
            if name.kind is not Kind.SCALAR:
                continue  # refused for that below
            try:
                component_of(name.text)
            except UsageError as error:
                line = line_of(text, name.start)
                raise MalformedMessage(f"line {line}: {error}") from None
    return value_of(text, node, json=json)


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


def dump_yaml(value: Any, *, flow: bool = False) -> str:
    """A value as YAML, one unit a line; with `flow` all of it on one line, in brackets."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=flow,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
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
    check_names_among(text, node, {normal(name.text) for name, _ in node.pairs})


def check_names_among(text: str, node: Node, asked: Container[str]) -> None:
    """The same of some of the names of a mapping, in normal form; an alias may stand for any.

    Raises:
        MalformedMessage: no; says the line.
    """
    seen: dict[str, Node] = {}
    for name, _ in node.pairs:
        spelt = normal(name.text)
        if spelt not in asked and name.kind is not Kind.ALIAS:
            continue
        if name.kind is not Kind.SCALAR or name.marks or (name.text == "<<" and not name.style):
            line = line_of(text, name.start)
            raise MalformedMessage(f"a name that is not written out, line {line}")
        if spelt in seen:
            first, line = line_of(text, seen[spelt].start), line_of(text, name.start)
            raise MalformedMessage(
                f"the name {shown(name.text)} is there twice, lines {first} and {line}"
            )
        seen[spelt] = name


def plain_value(node: Node, *, json: bool) -> Any:
    """What a scalar that is not encrypted means; text where programs could read it differently."""
    try:
        return value_of(node.text, node, json=json)
    except MalformedMessage:
        return node.text


def opened_text(text: Text, values: Mapping[int, Any]) -> str:
    """The whole text, with values instead of the fields that begin at these characters.

    Raises:
        UsageError: it would not say so.
    """
    roots = [part.root for part in text.parts]
    written = _written(text, values)
    opened = spliced(text.text, _splices(roots, written))
    again = [part.root for part in _parts(opened, json=text.json)]
    if len(again) != len(roots) or not all(map(partial(_says, text, written), again, roots)):
        raise UsageError("the document cannot be printed as it stands: print parts of it")
    return opened


def text_of(text: Text, node: Node, values: Mapping[int, Any]) -> str:
    """A node by itself, with values instead of the fields that begin at these characters.

    Raises:
        UsageError: it does not say the same by itself.
    """
    around, written = text.text, _written(text, values)
    if node.kind is Kind.SCALAR:
        value = values.get(node.start, node.text)
        return value if isinstance(value, str) else written[node.start]
    splices = _splices([node], written)
    shifted = [Splice(s.start - node.start, s.end - node.start, s.text) for s in splices]
    lines = _LINES.findall(spliced(around[node.start : node.end], shifted))
    indent = column_of(around, node.start)
    if node.style:  # the line that the bracket is on says how far the others are indented
        indent = len(indent_at(around, node.start))
    bare = "".join([*lines[:1], *(_dedented(line, indent) for line in lines[1:])])
    bare = bare if bare.endswith("\n") else bare + "\n"
    again = _parts(bare, json=text.json)
    if alias_of_outside(node) or len(again) != 1 or not _says(text, written, again[0].root, node):
        raise UsageError(
            f"what begins on line {line_of(around, node.start)} cannot be printed by itself: print "
            "the whole document"
        )
    return bare


def _parts(text: str, *, json: bool) -> tuple[Part, ...]:
    try:
        return Text.parse(text, json=json).parts
    except MalformedMessage:
        return ()


def _says(text: Text, written: Mapping[int, str], new: Node, old: Node) -> bool:
    """Whether a node says what an older one said, with what is written instead of its fields."""
    if old.kind is Kind.SCALAR and old.start in written:
        alone = _parts(written[old.start], json=text.json)
        return len(alone) == 1 and same(new, alone[0].root)
    return (
        same_but_inside(new, old)
        and len(new.pairs) == len(old.pairs)
        and len(new.items) == len(old.items)
        and all(
            same(a_name, b_name) and _says(text, written, a, b)
            for (a_name, a), (b_name, b) in zip(new.pairs, old.pairs, strict=True)
        )
        and all(map(partial(_says, text, written), new.items, old.items))
    )


def _splices(roots: list[Node], written: Mapping[int, str]) -> list[Splice]:
    splices, left = [], list(roots)
    while left:
        node = left.pop()
        if node.kind is Kind.SCALAR and node.start in written:
            splices.append(Splice(node.start, node.end, written[node.start]))
        left += [value for _, value in node.pairs]
        left += node.items
    return splices


def _written(text: Text, values: Mapping[int, Any]) -> dict[int, str]:
    """Each value on one line, in the language of a text."""
    if text.json:
        return {start: json.dumps(one, ensure_ascii=False) for start, one in values.items()}
    return {start: _in_yaml(text.text, start, value) for start, value in values.items()}


def _in_yaml(text: str, start: int, value: Any) -> str:
    if not isinstance(value, str):
        return dump_yaml(value, flow=True).removesuffix("\n")
    bare = yaml_text(value)
    # Without a blank before it, it would be one word with the colon.
    return bare if not text[start - 1 : start].strip() or bare[0] == '"' else f'"{bare}"'


def _dedented(line: str, indent: int) -> str:
    blank = len(line) - len(line.lstrip(" \t"))
    return line[min(blank, indent) :]
