"""YAML and JSON without their surprises: plain trees of names and values, in text and back.

YAML's core schema 1.2 (`yes` is text, `010` is ten), no anchors, no aliases, no tags, no merge
keys, one document; in both no name twice, and names are text. No I/O.
"""

from __future__ import annotations

import json
import re
from typing import Any

import yaml
from yaml.nodes import MappingNode

from tigertally.base.errors import MalformedMessage
from tigertally.base.limits import MAX_LABEL_DEPTH

MAX_BYTES = 16 * 1024 * 1024
_MAX_DEPTH = MAX_LABEL_DEPTH + 16  # of lists within, too
_MAX_NODES = 100_000  # names, lists and values; encrypted ones fill MAX_BYTES before that
_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


class _Loader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
    """Refuses what a reader of the text would not see."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012 - filled below
    depth = 0
    nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if self.check_event(yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise MalformedMessage("the document has anchors or aliases: write values out")
        if getattr(event, "tag", None) is not None:
            raise MalformedMessage("the document has tags")
        self.depth += 1
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            raise MalformedMessage("the document has too many values: write them as files")
        if self.depth > _MAX_DEPTH:
            raise MalformedMessage("the document is nested too deeply")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = [
            (self.construct_object(key, deep=True), self.construct_object(value, deep=True))
            for key, value in node.value
        ]
        return _unique(pairs)

    def construct_yaml_map(self, node: MappingNode) -> dict[Any, Any]:
        return self.construct_mapping(node)

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        "tag:yaml.org,2002:" + _tag, re.compile(f"^(?:{_pattern})$"), _first
    )
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Dumper(yaml.SafeDumper):  # type: ignore[misc,unused-ignore]
    """Quotes every text that some reader could take for something else."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> Any:
    bare = _BARE.fullmatch(text) and text.lower() not in _WORDS and len(text) < 60
    style = None if bare else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text says.

    Raises:
        MalformedMessage: not YAML, or a feature that hides what it says.
    """
    _check_size(text)
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a restricted safe loader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where is not None else ""
        # not `from error`: it quotes the text, in which there may be a secret
        raise MalformedMessage(f"the document is not YAML{line}") from None


def parse_json(text: str) -> Any:
    """The value that a JSON text says; raises as `parse_yaml`."""
    _check_size(text)
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
        _check_depth(found)
        return found
    except (ValueError, RecursionError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise MalformedMessage(f"the document is not JSON{where}") from error


def has_comments(text: str) -> bool:
    """Whether a YAML text that could be parsed has lines that are comments."""
    return any(line.lstrip().startswith("#") for line in text.splitlines())


def dump_yaml(value: Any) -> str:
    """A value as YAML, one unit a line."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=float("inf")
    )
    return text.removesuffix("...\n")


def dump_json(value: Any) -> str:
    """A value as JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for name, value in pairs:
        if type(name) is not str:
            raise MalformedMessage("the names in a document are text: write them in quotes")
        if name in result:
            raise MalformedMessage("the document has one name twice")
        if name == "<<":
            raise MalformedMessage("the document has merge keys: write values out")
        result[name] = value
    return result


def _refuse_constant(_: str) -> Any:
    raise MalformedMessage("the document has a number that is none")


def _check_depth(value: Any) -> None:
    layer = [value]
    for _ in range(_MAX_DEPTH + 1):
        layer = [
            inner
            for one in layer
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not layer:
            return
    raise MalformedMessage("the document is nested too deeply")


def _check_size(text: str) -> None:
    if len(text) > MAX_BYTES:
        raise MalformedMessage("the document is too long: write large values as files")
