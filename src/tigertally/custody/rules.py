"""What an unattended holder may approve without a person. No I/O, no clock.

A rule allows releases; nothing it does not allow is approved, and what no rule allows waits for
people. Rules add up: a request needs one that allows it. A rule never says no to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import TigertallyError
from tigertally.base.ids import Hash, Name
from tigertally.base.pattern import Pattern
from tigertally.custody.messages.kinds import RELEASE, Form, KeyRef, Release, parse_release
from tigertally.custody.policy import check_may_ask
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import Proposal, parsed_body

DAY_MINUTES = 24 * 60


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
    forms: tuple[Form, ...]
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
        self, release: Release, requester: str, *, minute: int, granted: int
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
    key: KeyRef | None = None

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
    if proposal.kind != RELEASE:
        return Decision(rule=None, why=f"{proposal.kind} is for people to decide")
    try:
        release: Release = parsed_body(parse_release, proposal)
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
