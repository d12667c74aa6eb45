r"""The rules file of an unattended holder, read strictly: what is not understood is an error.

timezone = "Europe/Zurich"       # default UTC

[[rule]]
key = "night-*"                  # a name, or with * and ?
requester = "backup"
reason = 'nightly backup \d{4}-\d{2}-\d{2}'   # the whole reason; see base/pattern.py
hours = "02:00-05:00"            # default: all day
form = "final"                   # default; or "private", or both in a list
per_day = 2
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.ids import Name
from tigertally.base.pattern import Pattern, glob
from tigertally.custody.messages.kinds import Form, parse_form
from tigertally.custody.rules import ALL_DAY, DAY_MINUTES, Hours, Rule, Rules

MAX_RULES_BYTES = 64 * 1024  # nobody checks a longer one by eye
_MAX_RULES = 100
_MAX_PER_DAY = 100_000
_KEY = re.compile(r"[a-z0-9._*?-]{1,64}")
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_NEEDED = ("key", "requester", "reason", "per_day")
_KNOWN = (*_NEEDED, "hours", "form")


def parse_rules(text: str) -> Rules:
    """The rules in a TOML text.

    Raises:
        UsageError: anything that is not exactly rules; names the line, or the rule and its key.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}") from error
    _check_keys(document, ("timezone", "rule"), "at the top")
    tables = document.get("rule", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError("each rule begins with [[rule]]")
    if len(tables) > _MAX_RULES:
        raise UsageError(f"there are more than {_MAX_RULES} rules")
    name = document.get("timezone", "UTC")
    rules = tuple(_rule(table, number) for number, table in enumerate(tables, start=1))
    first: dict[bytes, int] = {}
    for rule in rules:
        same = first.setdefault(rule.name, rule.number)
        if same != rule.number:
            raise UsageError(f"rule {rule.number} says the same as rule {same}")
    return Rules(zone=_zone(name), zone_name=name, rules=rules)


def _check_keys(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; known are {', '.join(known)}")


def _rule(table: dict[str, Any], number: int) -> Rule:
    where = f"rule {number}"
    _check_keys(table, _KNOWN, where)
    for key in _NEEDED:
        if key not in table:
            raise UsageError(f"{where}: {key!r} is missing")
    try:
        key_text = _text(table, "key")
        if not _KEY.fullmatch(key_text):
            raise UsageError("'key' is a key's name, perhaps with * and ?")
        return Rule(
            number=number,
            key_text=key_text,
            key=glob(key_text),
            requester=Name(_text(table, "requester")),
            reason=Pattern(_text(table, "reason")),
            forms=_forms(table.get("form", Form.FINAL.value)),
            hours=_hours(_text(table, "hours")) if "hours" in table else ALL_DAY,
            per_day=_count(table["per_day"]),
        )
    except (UsageError, MalformedMessage) as error:
        raise UsageError(f"{where}: {error}") from error


def _text(table: dict[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str) or not value:
        raise UsageError(f"{key!r} is a text in quotes")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 1 <= value <= _MAX_PER_DAY:
        raise UsageError(f"'per_day' is a number from 1 to {_MAX_PER_DAY}")
    return value


def _forms(value: object) -> tuple[Form, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError('\'form\' is "final", "private", or a list of both')
    return tuple(sorted({parse_form(str(name)) for name in names}, key=lambda form: form.value))


def _hours(text: str) -> Hours:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise UsageError("'hours' is like \"02:00-05:00\"")
    hour, minute, last_hour, last_minute = (int(part) for part in found.groups())
    start, end = hour * 60 + minute, last_hour * 60 + last_minute
    if minute > 59 or last_minute > 59 or start >= DAY_MINUTES or end > DAY_MINUTES:
        raise UsageError("'hours' are from 00:00 to 24:00")
    if start == end:
        raise UsageError("'hours' begin and end at the same time: leave them out for all day")
    return Hours(start=start, end=end)


def _zone(name: object) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        if not isinstance(name, str):
            raise TypeError
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError, TypeError) as error:
        raise UsageError(f'no time zone {name!r} on this machine: like "Europe/Zurich"') from error
