"""Lets a docstring list errors without saying again what each of them means.

Under `Raises:` a line such as `MalformedMessage, Refused` becomes one entry for each name, with the
first sentence of the error's own docstring.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

from tigertally.base import errors

_SECTION = re.compile(r"^Raises:\n((?:[ \t]+.*\n?|\n)*)", re.MULTILINE)
_NAMES = re.compile(r"^([ \t]+)([A-Z]\w+(?:, [A-Z]\w+)*)$", re.MULTILINE)


def _meaning(name: str) -> str:
    kind = getattr(errors, name, None)
    first = (kind.__doc__ or "").partition("\n")[0] if kind is not None else ""
    return first or "see there."


def _entries(line: re.Match[str]) -> str:
    indent, names = line[1], line[2].split(", ")
    return "\n".join(f"{indent}{name}: {_meaning(name)}" for name in names)


def spelled_out(docstring: str) -> str:
    """The docstring with every name under `Raises:` explained."""
    return _SECTION.sub(lambda section: _NAMES.sub(_entries, section[0]), docstring)


class Raises(griffe.Extension):
    """Applied by mkdocstrings to every function and class."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring before it is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = spelled_out(obj.docstring.value)
