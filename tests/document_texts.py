"""Texts of YAML and JSON in many styles, drawn by a source of random numbers."""

from __future__ import annotations

import json
from random import Random
from typing import Any

PLAIN = (
    *("0400", "1.10", "02134", "1e3", "+49", "0xFF", "12:30:15", "2024-01-01", "1_000", "-0"),
    *("yes", "NO", "on", "~", "null", "true", ".inf", "-.INF", ".nan", "12345678901234567890.123"),
    *("a", "some words", "http://x.y/z?a=b#c", "a:b", "é", "e\u0301", "🐅", "x-y_z", "v@w"),
)
QUOTED = (
    *('"a # b"', r'"\u00e9\t\x41"', r'"\U0001F600"', "'it''s'", "''", '""', "'0400'", '"yes"'),
    *('": {"', "'- x'", '"a\\\n    b"', "'two\n    lines'"),
)
PLAIN_NAMES = (
    "a",
    "b1",
    "some name",
    "x/y",
    "x~1y",
    "kubernetes.io/name",
    "é",
    "e\u0301",
    "on",
    "80",
)
QUOTED_NAMES = ('"q"', "'q r'", r'"q\ts"', "'q: x'", '"#"', '"<<"')
COMMENTS = ("# note", "#", "# { [ : \" '", "#!/bin/sh", "# é")
NUMBERS = ("0", "-0", "1.10", "56.6680", "1E2", "1e-999", "1.000000000000000005", "-1.5e+10", "7")
JSON_NAMES = ("a", "b", "a/b", "@scope/package", "é", "e\u0301x", "", "\0", "a~b", 'q"', "😀")


class YamlTexts:
    """Draws texts of YAML.

    Args:
        random: decides.
        marks: whether there are anchors, aliases and tags.
    """

    def __init__(self, random: Random, *, marks: bool = True) -> None:
        self.random = random
        self.marks = marks
        self.newline = random.choice(["\n", "\n", "\n", "\r\n", "\r"])
        self.step = random.choice([1, 2, 2, 2, 3, 4, 8])
        self.lines: list[str] = []
        self.anchors: list[str] = []

    def text(self) -> str:
        """One file, of one document or several."""
        documents = 1 if self.chance(0.7) else self.random.randint(2, 3)
        for number in range(documents):
            self.anchors = []
            if number or self.chance(0.2):
                self.lines.append("---" + self.comment_behind())
            self.comments(0)
            kind = self.random.random()
            if kind < 0.75:
                self.mapping(0, depth=0)
            elif kind < 0.83:
                self.sequence(0, depth=0)
            elif kind < 0.93:
                self.lines += self.flow(0, 0, may_break=True).split("\n")
            self.comments(0)
            if self.chance(0.1):
                self.lines.append("...")
        text = self.newline.join("\n".join(self.lines).split("\n"))
        return text + (self.newline if text and self.chance(0.8) else "")

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def comments(self, indent: int) -> None:
        while self.chance(0.12):
            blank = self.chance(0.4)
            self.lines.append("" if blank else " " * indent + self.random.choice(COMMENTS))

    def comment_behind(self) -> str:
        blanks = " " * self.random.randint(1, 3)
        return blanks + self.random.choice(COMMENTS) if self.chance(0.2) else ""

    def name(self, used: set[str]) -> str:
        while True:
            quoted = self.chance(0.25)
            name = self.random.choice(QUOTED_NAMES if quoted else PLAIN_NAMES)
            if self.chance(0.5) and not quoted:
                name += str(self.random.randint(0, 99))
            plain = name.strip("\"'").replace("e\u0301", "é")
            if plain not in used:
                used.add(plain)
                return name

    def mapping(self, indent: int, depth: int, first: str | None = None) -> None:
        """Pairs by lines; the first one behind `first`, which is on the line already."""
        used: set[str] = set()
        for number in range(self.random.randint(1, 4)):
            if number or first is None:
                self.comments(indent)
            before = first if first is not None and not number else " " * indent
            colon = ":" if self.chance(0.9) else " :"
            self.value(before + self.name(used) + colon, indent, depth, in_mapping=True)

    def sequence(self, indent: int, depth: int, first: str | None = None) -> None:
        for number in range(self.random.randint(1, 3)):
            if number or first is None:
                self.comments(indent)
            before = first if first is not None and not number else " " * indent
            kind = self.random.random()
            inner = indent + 1 + self.random.randint(1, 3)
            if kind < 0.3 and depth < 4:
                self.mapping(inner, depth + 1, before + "-" + " " * (inner - indent - 1))
            elif kind < 0.4 and depth < 4:
                self.sequence(inner, depth + 1, before + "-" + " " * (inner - indent - 1))
            else:
                self.value(before + "-", indent, depth, in_mapping=False)

    def value(self, before: str, indent: int, depth: int, *, in_mapping: bool) -> None:
        """A value behind a name's colon or a dash."""
        kind = self.random.random()
        mark = self.mark()
        step = self.random.choice([self.step, self.step, self.step + 1])
        if kind < 0.1:
            self.lines.append(before + " " * self.random.randint(0, 1) + self.comment_behind())
        elif kind < 0.3 and depth < 4 and in_mapping:
            self.lines.append(before + mark + self.comment_behind())
            self.mapping(indent + step, depth + 1)
        elif kind < 0.4 and depth < 4 and in_mapping:
            self.lines.append(before + mark + self.comment_behind())
            self.sequence(indent + self.random.choice([0, step]), depth + 1)
        elif kind < 0.5:
            self.block_scalar(before + mark, indent + max(step, 2))
        elif kind < 0.62:
            value = self.flow(indent + step, depth, may_break=True)
            self.lines += (before + mark + " " + value + self.comment_behind()).split("\n")
        elif kind < 0.65 and self.anchors:
            self.lines.append(before + " *" + self.random.choice(self.anchors))
        elif kind < 0.8:
            value = self.random.choice(QUOTED).replace("\n", "\n" + " " * indent)
            self.lines += (before + mark + " " + value + self.comment_behind()).split("\n")
        elif kind < 0.84:
            self.lines.append(before + mark + " several")
            self.lines.append(" " * (indent + step) + "lines of words" + self.comment_behind())
        else:
            blanks = " " * self.random.randint(1, 3)
            value = self.random.choice(PLAIN) or "v"
            self.lines.append(before + mark + blanks + value + self.comment_behind())

    def block_scalar(self, before: str, indent: int) -> None:
        header = self.random.choice(["|", ">", "|-", ">-", "|+", ">+"])
        self.lines.append(before + " " + header + self.comment_behind())
        for _ in range(self.random.randint(1, 3)):
            words = self.random.choice(["#!/bin/sh", "a: b", "words", "  deeper", "- x", "\ttab"])
            self.lines.append(" " * indent + words)
            if self.chance(0.2):
                self.lines.append("")
        while self.chance(0.2):
            self.lines.append("" if self.chance(0.8) else " " * indent)

    def flow(self, indent: int, depth: int, *, may_break: bool) -> str:
        """A mapping in braces or a list in brackets."""
        breaks = may_break and self.chance(0.3)
        opening, closing = "{}" if self.chance(0.6) else "[]"
        members = []
        used: set[str] = set()
        for _ in range(self.random.randint(0, 3) if depth < 4 else 0):
            if self.chance(0.25):
                value = self.flow(indent + 2, depth + 1, may_break=breaks)
            else:
                value = self.random.choice((*PLAIN, *QUOTED[:-2])) or "v"
                value = value.replace("a:b", "ab").replace("?a=b#c", "")
            members.append(f"{self.name(used)}: {value}" if opening == "{" else value)
        blank = self.random.choice(["", "", " "])
        if not breaks:
            trailing = "," if members and self.chance(0.1) else ""
            return opening + blank + (f",{blank}").join(members) + trailing + blank + closing
        comma = self.random.choice([",", ", # and"])
        lines = f"{comma}\n{' ' * (indent + 2)}".join(members)
        behind = self.random.choice(["", ",", " # end"])
        inner = f"\n{' ' * (indent + 2)}{lines}{behind}" if members else ""
        return f"{opening}{inner}\n{' ' * (indent + 1)}{closing}"

    def mark(self) -> str:
        if not self.marks or self.chance(0.92):
            return ""
        if self.chance(0.4):
            return self.random.choice([" !local", " !!str"])
        anchor = f"n{len(self.anchors)}"
        self.anchors.append(anchor)
        return f" &{anchor}"


def json_text(random: Random) -> str:
    """A text of JSON."""
    newline = random.choice(["\n", "\n", "\r\n"])
    indent = random.choice([None, None, 1, 2, 2, 4, "\t"])
    comma = random.choice([",", ", ", " , "])
    colon = random.choice([":", ": ", " : "])
    text = json.dumps(
        _json_value(random, 0),
        indent=indent,
        separators=(comma.rstrip() if indent is not None else comma, colon),
        ensure_ascii=random.random() < 0.5,
    )
    text = text.replace('"%', "").replace('%"', "")  # numbers, as they are written
    before = random.choice(["", "", "", " ", newline])
    return before + text.replace("\n", newline) + random.choice(["", newline, newline, " "])


def _json_value(random: Random, depth: int) -> Any:
    kind = random.random()
    if depth == 0 or (kind < 0.35 and depth < 4):
        if random.random() < 0.75:
            names = random.sample(JSON_NAMES, random.randint(0, 4))
            return {name: _json_value(random, depth + 1) for name in names}
        return [_json_value(random, depth + 1) for _ in range(random.randint(0, 3))]
    if kind < 0.65:
        return f"%{random.choice(NUMBERS)}%"
    return random.choice([None, True, False, "", "text", "a\tb", "😀", "\x7f", "line\nline"])
