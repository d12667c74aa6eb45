"""Patterns of text that match in linear time: regular expressions without backtracking.

Whoever writes the text (a requester its reason) must not be able to stop the device that matches
it, as a backtracking engine allows. Thompson, "Regular expression search algorithm", 1968: all
ways through the pattern are followed at once, so matching costs the length of the text times the
size of the pattern, whatever they are. Known are literals, `.`, classes, groups, `|` and the
repetitions `*`, `+`, `?`, `{m}`, `{m,}`, `{m,n}`; they mean what Python's `re` means by them with
`re.ASCII`. Always the whole text is matched.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tigertally.base.errors import UsageError

MAX_PATTERN_LENGTH = 200  # characters; a rule that nobody can read protects nobody
MAX_STATES = 2000  # after repetitions are written out: a second at most for the longest reason
_MAX_DEPTH = 20  # groups inside groups
_SPECIAL = frozenset("\\|()[]{}*+?.^$")

_Ranges = tuple[tuple[int, int], ...]
_DIGIT: _Ranges = ((48, 57),)
_WORD: _Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: _Ranges = ((9, 13), (32, 32))
_NAMED = {"d": _DIGIT, "w": _WORD, "s": _SPACE}


@dataclass(frozen=True, slots=True)
class _One:
    """One character out of (or outside) some ranges."""

    ranges: _Ranges
    outside: bool = False

    def takes(self, code: int) -> bool:
        return any(low <= code <= high for low, high in self.ranges) is not self.outside


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Either:
    ways: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    node: _Node
    least: int
    most: int | None


_Node = _One | _Sequence | _Either | _Repeat


@dataclass(frozen=True, slots=True)
class _State:
    """Takes a character and goes on, or (without one) goes on in several ways at once."""

    one: _One | None
    after: tuple[int, ...]


class Pattern:
    """A compiled pattern; `text` is how it was written.

    Raises:
        UsageError: it is not written in the syntax above, or it is too large. Says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > MAX_PATTERN_LENGTH:
            raise UsageError(f"a pattern is at most {MAX_PATTERN_LENGTH} characters")
        builder = _Builder()
        self._start = builder.add(_Parser(text).whole(), _Builder.END)
        self._states = tuple(builder.states)

    def matches(self, text: str) -> bool:
        """Does the whole text match?"""
        present = self._reached({self._start})
        for character in text:
            code = ord(character)
            found = (self._states[number] for number in present)
            present = self._reached({s.after[0] for s in found if s.one and s.one.takes(code)})
            if not present:
                return False
        return _Builder.END in present

    def _reached(self, numbers: set[int]) -> set[int]:
        """These states, and all that are reached from them without a character."""
        waiting, seen = list(numbers), set(numbers)
        while waiting:
            state = self._states[waiting.pop()]
            if state.one is None:
                fresh = set(state.after) - seen
                seen |= fresh
                waiting += fresh
        return seen

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"


def glob(text: str) -> Pattern:
    """A pattern in which `*` is any characters and `?` is one; everything else is itself."""
    wild = {"*": ".*", "?": "."}
    return Pattern("".join(wild.get(c, f"\\{c}" if c in _SPECIAL else c) for c in text))


@dataclass(slots=True)
class _Builder:
    """Writes a tree out as states, from its end to its beginning."""

    END = 0
    states: list[_State] = field(default_factory=lambda: [_State(None, ())])

    def add(self, node: _Node, after: int) -> int:
        """The state at which this node begins, if it goes on at state `after`."""
        if isinstance(node, _One):
            return self._state(_State(node, (after,)))
        if isinstance(node, _Sequence):
            for part in reversed(node.parts):
                after = self.add(part, after)
            return after
        if isinstance(node, _Either):
            return self._state(_State(None, tuple(self.add(way, after) for way in node.ways)))
        return self._repeat(node, after)

    def _repeat(self, node: _Repeat, after: int) -> int:
        start = after
        if node.most is None:
            start = self._state(_State(None, ()))
            self.states[start] = _State(None, (self.add(node.node, start), after))
        for _ in range(0 if node.most is None else node.most - node.least):
            start = self._state(_State(None, (self.add(node.node, start), after)))
        for _ in range(node.least):
            start = self.add(node.node, start)
        return start

    def _state(self, state: _State) -> int:
        if len(self.states) >= MAX_STATES:
            raise UsageError("the pattern is too large: repeat less often")
        self.states.append(state)
        return len(self.states) - 1


class _Parser:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def whole(self) -> _Node:
        node = self._either()
        if self._at < len(self._text):
            raise self._wrong("this `)` closes nothing")
        return node

    def _next(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self) -> str:
        character = self._next()
        if not character:
            raise self._wrong("it ends too early")
        self._at += 1
        return character

    def _wrong(self, why: str) -> UsageError:
        return UsageError(f"pattern {self._text!r}, character {self._at + 1}: {why}")

    def _either(self) -> _Node:
        ways = [self._sequence()]
        while self._next() == "|":
            self._at += 1
            ways.append(self._sequence())
        return ways[0] if len(ways) == 1 else _Either(tuple(ways))

    def _sequence(self) -> _Node:
        parts = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self, node: _Node) -> _Node:
        counts = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        character = self._next()
        if character in counts:
            self._at += 1
            node = _Repeat(node, *counts[character])
        elif character == "{":
            node = self._counted(node)
        else:
            return node
        if self._next() and self._next() in "*+?{":
            raise self._wrong("a repetition of a repetition is written with a group")
        return node

    def _counted(self, node: _Node) -> _Node:
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : max(end, 0)].partition(",")
        numbers = [number for number in (low, high) if number]
        if end < 0 or not low or any(not (n.isascii() and n.isdigit()) for n in numbers):
            raise self._wrong("a repetition is {m}, {m,} or {m,n}; write \\{ for the sign")
        least = int(low[:6])
        most = (int(high[:6]) if high else None) if comma else least
        if most is not None and most < least:
            raise self._wrong("a repetition is from fewer to more")
        if max(least, most or 0) > MAX_STATES:
            raise self._wrong("it repeats too often")
        self._at = end + 1
        return _Repeat(node, least, most)

    def _atom(self) -> _Node:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._class()
        if character == ".":
            return _One(((10, 10),), outside=True)
        if character == "\\":
            return self._escaped()
        if character in _SPECIAL:
            self._at -= 1
            hint = (
                "the whole text is matched: leave it out, or" if character in "^$" else "if meant"
            )
            raise self._wrong(f"`{character}` cannot stand here; {hint} write \\{character}")
        return _One(((ord(character), ord(character)),))

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._wrong(f"groups lie at most {_MAX_DEPTH} deep")
        if self._next() == "?":
            if not self._text.startswith("?:", self._at):
                raise self._wrong("a group is ( ) or (?: )")
            self._at += 2
        node = self._either()
        if self._take() != ")":
            raise self._wrong("a group ends with `)`")
        self._depth -= 1
        return node

    def _escaped(self) -> _One:
        character = self._take()
        if character.lower() in _NAMED:
            return _One(_NAMED[character.lower()], outside=character.isupper())
        if character.isalnum():
            raise self._wrong(f"`\\{character}` is not known here")
        return _One(((ord(character), ord(character)),))

    def _class(self) -> _One:
        outside = self._next() == "^"
        self._at += outside
        ranges: list[tuple[int, int]] = []
        while self._next() != "]":
            one = self._class_part()
            if self._next() == "-" and not self._text.startswith("-]", self._at):
                self._at += 1
                ranges.append(self._range(one, self._class_part()))
            else:
                ranges += one.ranges
        self._at += 1
        if not ranges:
            raise self._wrong("a class has something in it")
        return _One(tuple(ranges), outside=outside)

    def _class_part(self) -> _One:
        character = self._take()
        if character == "\\":
            one = self._escaped()
            if one.outside:
                raise self._wrong("in a class stand \\d, \\w, \\s only")
            return one
        if character == "[":
            raise self._wrong("write \\[ for the sign")
        return _One(((ord(character), ord(character)),))

    def _range(self, first: _One, last: _One) -> tuple[int, int]:
        (low, low_end), *more = first.ranges
        (high, high_end), *others = last.ranges
        if more or others or low != low_end or high != high_end or low > high:
            raise self._wrong("a range is from one character to a later one")
        return low, high
