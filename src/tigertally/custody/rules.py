r"""What an unattended holder may approve without a person. No clock; reads time zones only.

A rule allows releases; nothing it does not allow is approved, and what no rule allows waits for
people. Rules add up: a request needs one that allows it. A rule never says no to anybody.

The rules file, in TOML, is read strictly: what is not understood is an error.

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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import MalformedMessage, TigertallyError, UsageError
from tigertally.base.ids import Hash, Name
from tigertally.base.pattern import Pattern, glob
from tigertally.custody.messages import kinds
from tigertally.custody.policy import check_may_ask
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import Proposal, parsed_body

MAX_RULES_BYTES = 64 * 1024  # nobody checks a longer one by eye
DAY_MINUTES = 24 * 60
_MAX_RULES = 100
_MAX_PER_DAY = 100_000
_KEY = re.compile(r"[a-z0-9._*?-]{1,64}")
_HOURS = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_NEEDED = ("key", "requester", "reason", "per_day")
_KNOWN = (*_NEEDED, "hours", "form")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """From one minute of the day to another, which is excluded; over midnight if it is earlier."""

    start: int
    end: int

    def holds(self, minute: int) -> bool:
        """Is this minute of the day inside?"""
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def __str__(self) -> str:
        return "-".join(f"{at // 60:02}:{at % 60:02}" for at in (self.start, self.end))


ALL_DAY = Hours(start=0, end=DAY_MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One `[[rule]]`. `number` is its place in the file, from 1; `key_text` its glob as written."""

    number: int
    key_text: str
    key: Pattern
    requester: Name
    reason: Pattern
    forms: tuple[kinds.Form, ...]
    hours: Hours
    per_day: int

    @property
    def name(self) -> Hash:
        """What its count is kept under: everything it says but `per_day` and its place.

        So a count survives when the file is sorted anew or the number changed.
        """
        forms = ",".join(form.value for form in self.forms)
        said = (self.key_text, self.requester, self.reason.text, forms, str(self.hours))
        return tagged_hash(tags.RULE, *(part.encode() for part in said))

    def objection(
        self, release: kinds.Release, requester: str, *, minute: int, granted: int
    ) -> str | None:
        """Why it does not allow this; None if it does."""
        if not self.key.matches(release.key):
            return "another key"
        if requester != self.requester:
            return "another requester"
        if release.form not in self.forms:
            return f"not for the form {release.form.value}"
        if not self.reason.matches(release.reason):
            return "the reason does not match"
        if not self.hours.holds(minute):
            return f"only at {self.hours}"
        if granted >= self.per_day:
            return f"used up: {granted} of {self.per_day} today"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A whole file. Without a rule it allows nothing."""

    zone: tzinfo
    zone_name: str
    rules: tuple[Rule, ...]

    def day_start(self, now: int) -> int:
        """When the day of `now` began, in the time zone of the rules; Unix seconds."""
        midnight = self._local(now).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        return min(now, int(midnight.timestamp()))

    def minute(self, now: int) -> int:
        """The minute of the day at `now`, in that time zone."""
        local = self._local(now)
        return local.hour * 60 + local.minute

    def _local(self, now: int) -> datetime:
        return datetime.fromtimestamp(now, self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the rules say to one proposal: the rule that allows it, or why none does."""

    rule: Rule | None
    why: str
    key: kinds.KeyRef | None = None

    @property
    def allowed(self) -> bool:
        """May the device approve it without a person?"""
        return self.rule is not None


def decide(
    rules: Rules,
    proposal: Proposal,
    terms: Terms | None,
    *,
    requester: str,
    now: int,
    counts: Mapping[Hash, int],
) -> Decision:
    """May this device approve this proposal alone?

    Args:
        rules: the owner's.
        proposal: verified; of any kind.
        terms: what this device itself holds, signed, of the key; None if it holds nothing.
        requester: who asks, as the roster names it.
        now: Unix seconds.
        counts: by `Rule.name`, what each rule has allowed since `rules.day_start(now)`, this very
            proposal left out.

    **Security:** what the authority says of a key does not enter here.
    """
    if proposal.kind != kinds.RELEASE:
        return Decision(rule=None, why=f"{proposal.kind} is for people to decide")
    try:
        release: kinds.Release = parsed_body(kinds.parse_release, proposal)
        ref = release.ref
    except TigertallyError as error:
        return Decision(rule=None, why=str(error))
    if now >= proposal.expires:
        return Decision(rule=None, why="it has expired", key=ref)
    if terms is None:
        return Decision(rule=None, why="this device holds no fragment of the key", key=ref)
    if terms.options.unknown:
        return Decision(
            rule=None, why="the key has options that this device does not know", key=ref
        )
    if not terms.options.unattended:
        return Decision(rule=None, why="the key was not made with --unattended", key=ref)
    try:
        check_may_ask(ref, terms.options.requesters, requester)
    except TigertallyError as error:
        return Decision(rule=None, why=str(error), key=ref)
    minute = rules.minute(now)
    telling: list[str] = []
    of_others: list[str] = []  # a rule for another key tells little
    for rule in rules.rules:
        granted = counts.get(rule.name, 0)
        why_not = rule.objection(release, requester, minute=minute, granted=granted)
        if why_not is None:
            return Decision(rule=rule, why=f"rule {rule.number} allows it", key=ref)
        objection = f"rule {rule.number}: {why_not}"
        (telling if rule.key.matches(release.key) else of_others).append(objection)
    why = "; ".join(_few([*telling, *of_others])) or "there is no rule"
    return Decision(rule=None, why=why, key=ref)


def _few(objections: list[str]) -> Iterator[str]:
    """Return not too many of them, and how many more there are."""
    yield from objections[:5]
    if len(objections) > 5:
        yield f"and {len(objections) - 5} more rules"


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
            forms=_forms(table.get("form", kinds.Form.FINAL.value)),
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


def _forms(value: object) -> tuple[kinds.Form, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise UsageError('\'form\' is "final", "private", or a list of both')
    return tuple(
        sorted({kinds.parse_form(str(name)) for name in names}, key=lambda form: form.value)
    )


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
