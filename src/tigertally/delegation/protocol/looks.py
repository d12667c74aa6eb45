"""How new fields are written into a text of YAML or JSON: in the style of what is around them.

No I/O. A piece of new text is a `Splice`; the rest of the text stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from tigertally.delegation.protocol.nodes import LINE_END, Node

# What is written at a place: one encrypted field, or names with such fields.
Content: TypeAlias = "str | Mapping[str, Content]"


class Rest(str):
    """What is left at a place where something was taken out: text as it is, without quotes."""

    __slots__ = ()


GONE = Rest("gone")
EMPTY, EMPTY_LIST, NOTHING = Rest("{}"), Rest("[]"), Rest("")

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_BLANKS = re.compile(r"[ \t]*")
_MOST_BARE = 60
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co")


class Splice(NamedTuple):
    """New text instead of what is between two characters."""

    start: int
    end: int
    text: str


def spliced(text: str, splices: Sequence[Splice]) -> str:
    """The text with these pieces, which do not overlap."""
    pieces, at = [], 0
    for one in sorted(splices):
        pieces += [text[at : one.start], one.text]
        at = one.end
    return "".join([*pieces, text[at:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a text is written like.

    Attributes:
        json: its language.
        newline: how its lines end.
        step: by how much what is inside is indented.
    """

    json: bool
    newline: str
    step: str

    def name(self, name: str) -> str:
        """A name, in quotes where the language or some reader of it needs them."""
        return json.dumps(name, ensure_ascii=False) if self.json else yaml_text(name)

    def flow(self, content: Content, colon: str = ": ", indent: str | None = None) -> str:
        """Content in braces.

        A blank follows an opening brace: `unset` knows by it that a mapping was made for what is
        in it.

        Args:
            content: what to write.
            colon: between a name and its value.
            indent: of the lines around it; on one line where it is none.
        """
        if isinstance(content, Rest):
            return str(content)
        if isinstance(content, str):
            return f'"{content}"'
        if not content:
            return "{}"
        inner = None if indent is None else indent + self.step
        parts = [self.pair(name, below, colon, inner) for name, below in content.items()]
        if indent is None or inner is None:
            return "{ " + ", ".join(parts) + " }"
        between = "," + self.newline + inner
        return "{" + self.newline + inner + between.join(parts) + self.newline + indent + "}"

    def pair(self, name: str, content: Content, colon: str, indent: str | None) -> str:
        """A name and its content, for a mapping in braces."""
        return self.name(name) + colon + self.flow(content, colon, indent)

    def lines(self, content: Mapping[str, Content], indent: str) -> list[str]:
        """Content by lines and indentation."""
        lines = []
        for name, below in content.items():
            before = f"{indent}{self.name(name)}:"
            if isinstance(below, str) or not below:
                lines.append(f"{before} {self.flow(below)}")
            else:
                lines += [before, *self.lines(below, indent + self.step)]
        return lines


def look_of(text: str, root: Node | None, *, json: bool) -> Look:
    """How a text is written: the first end of a line, and the first step of indentation."""
    newline = LINE_END.search(text)
    step = _step_of(text, root) if root is not None else ""
    return Look(
        json=json,
        newline=newline[0] if newline else "\n",
        step=step if step and (json or not step.strip(" ")) else "  ",
    )


def line_start(text: str, at: int) -> int:
    """Where the line begins that holds this character."""
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def column_of(text: str, at: int) -> int:
    """How many characters are before this one on its line."""
    return at - line_start(text, at)


def indent_at(text: str, at: int) -> str:
    """The indentation of the line that holds this character, at most up to it."""
    found = _BLANKS.match(text, line_start(text, at), at)
    return found[0] if found else ""


def yaml_text(text: str) -> str:
    """A text as YAML, in quotes where some reader could take it for something else."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS and len(text) < _MOST_BARE:
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character == "\n":
        return "\\n"
    if character == " " or unicodedata.category(character) not in _UNSEEN:
        return character
    code = ord(character)
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def _step_of(text: str, node: Node) -> str:
    """By how much the first mapping inside another, on lines of its own, is indented."""
    left = [node]
    while left:
        around = left.pop()
        for _, inner in around.pairs:
            if not inner.pairs:
                continue
            start = inner.pairs[0][0].start
            indent = text[line_start(text, start) : start]
            outer = text[line_start(text, around.pairs[0][0].start) : around.pairs[0][0].start]
            if not indent.strip(" \t") and not outer.strip(" \t") and len(indent) > len(outer):
                return indent[len(outer) :]
            left.append(inner)
    if node.style and node.pairs:  # of JSON: the top's own names are indented
        start = node.pairs[0][0].start
        indent = text[line_start(text, start) : start]
        return indent if not indent.strip(" \t") else ""
    return ""
