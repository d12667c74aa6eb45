"""Rules of unattended holders: read strictly, and never allowing more than they say."""

from __future__ import annotations

import calendar
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tigertally.base.errors import UsageError
from tigertally.base.ids import DomainId, Hash, Name, Nonce, Text
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.kinds import RELEASE, Form, Release
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.rules import Hours, Rules, decide, parse_rules
from tigertally.custody.state.holder import Terms
from tigertally.quorum.proposal import Proposal

RANDOM = SeededRandomness("rules")
WRAPPING = PrivateKey.generate(RANDOM).public
PROPOSER = SigningKey.generate(RANDOM).public
OPEN = Terms(options=KeyOptions.of(unattended=True))
NOW = calendar.timegm((2026, 3, 4, 2, 30, 0))
FILE = """
[[rule]]
key = "night-*"
requester = "app"
reason = 'job \\d+'
hours = "02:00-05:00"
per_day = 2
"""
RULES = parse_rules(FILE)


def proposal(
    key: str = "night-1", reason: str = "job 7", form: Form = Form.FINAL, kind: Name = RELEASE
) -> Proposal:
    release = Release(
        key=Name(key), version=1, reason=Text(reason), form=form, wrapping_key=WRAPPING
    )
    return Proposal(
        kind=kind,
        body=release.to_body(),
        domain=DomainId(bytes(32)),
        electorate=Hash(bytes(32)),
        predecessor=None,
        nonce=Nonce(bytes(32)),
        proposer=PROPOSER,
        created=NOW,
        expires=NOW + 90_000,
    )


def why(
    asked: Proposal | None = None,
    terms: Terms | None = OPEN,
    *,
    rules: Rules = RULES,
    requester: str = "app",
    now: int = NOW,
    count: int = 0,
) -> str:
    """Why it is not allowed; empty if it is."""
    counts = {rule.name: count for rule in rules.rules}
    asked = asked or proposal()
    decision = decide(rules, asked, terms, requester=requester, now=now, counts=counts)
    return "" if decision.allowed else decision.why


def test_a_request_within_its_rule() -> None:
    assert why() == ""
    assert why(count=1) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"asked": proposal("day-1")}, "another key"),
        ({"asked": proposal(reason="job 7 and more")}, "the reason does not match"),
        ({"asked": proposal(form=Form.PRIVATE)}, "not for the form private"),
        ({"asked": proposal(kind=Name("custody.create"))}, "for people"),
        ({"asked": replace(proposal(), body=b"\xa0")}, "malformed|needs|missing|option"),
        ({"now": NOW + 90_000}, "expired"),
        ({"requester": "eve"}, "another requester"),
        ({"terms": None}, "no fragment"),
        ({"terms": Terms(options=KeyOptions.of())}, "--unattended"),
        ({"terms": Terms(options=KeyOptions.of((Name("other"),), unattended=True))}, "may not ask"),
        ({"now": NOW + 3 * 3600}, "only at 02:00-05:00"),
        ({"now": NOW - 1801}, "only at"),
        ({"count": 2}, "used up: 2 of 2"),
        ({"rules": parse_rules("")}, "no rule"),
    ],
)
def test_a_request_outside_waits_for_people(change: dict[str, object], words: str) -> None:
    told = why(**change)  # type: ignore[arg-type]
    assert told
    assert any(word in told for word in words.split("|")), told


def test_rules_add_up_and_the_first_that_allows_is_named() -> None:
    two = parse_rules(FILE + FILE.replace("per_day = 2", "per_day = 1").replace("job", "task"))
    decision = decide(two, proposal(reason="task 1"), OPEN, requester="app", now=NOW, counts={})
    assert decision.rule is not None
    assert decision.rule.number == 2
    other = parse_rules("".join(FILE.replace("job", f"job{n}") for n in range(20)))
    assert why(rules=other).count("rule") < 10, "a log line stays short"


def test_a_count_belongs_to_what_a_rule_says() -> None:
    (rule,) = RULES.rules
    (more,) = parse_rules(FILE.replace("per_day = 2", "per_day = 9")).rules
    (other,) = parse_rules(FILE.replace("job", "task")).rules
    assert rule.name == more.name != other.name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("timezone = 3", "time zone"),
        ('timezone = "Mars/Base"', "time zone"),
        ('timezone = "../../etc/passwd"', "time zone"),
        ("timezon = 'UTC'", "unknown key 'timezon'"),
        ("[rule]\nkey = 'a'", r"\[\[rule\]\]"),
        ("rule = [1]", r"\[\[rule\]\]"),
        ("[[rule]]\nkey = \n", "line 2"),
        (FILE + "day = 3", "rule 1: unknown key 'day'"),
        (FILE.replace("per_day = 2", ""), "'per_day' is missing"),
        (FILE.replace("per_day = 2", "per_day = 0"), "'per_day' is a number"),
        (FILE.replace("per_day = 2", "per_day = true"), "'per_day' is a number"),
        (FILE.replace('"night-*"', '"Night-*"'), "'key' is a key's name"),
        (FILE.replace('"night-*"', "3"), "'key' is a text"),
        (FILE.replace('"app"', '"*"'), "rule 1: a name is"),
        (FILE.replace("'job \\d+'", "'(job'"), "rule 1: pattern"),
        (FILE.replace("'job \\d+'", "''"), "'reason' is a text"),
        (FILE.replace("02:00-05:00", "2-5"), "'hours' is like"),
        (FILE.replace("02:00-05:00", "02:00-25:00"), "00:00 to 24:00"),
        (FILE.replace("02:00-05:00", "02:60-05:00"), "00:00 to 24:00"),
        (FILE.replace("02:00-05:00", "02:00-02:00"), "leave them out"),
        (FILE + "form = 'secret'", "no form 'secret'"),
        (FILE + "form = []", "'form' is"),
        (FILE + FILE, "rule 2 says the same as rule 1"),
        ("[[rule]]\n" * 101, "more than 100"),
    ],
)
def test_what_is_not_understood_is_an_error(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_rules(text)


def test_both_forms_and_a_time_zone() -> None:
    rules = parse_rules('timezone = "Asia/Tokyo"' + FILE + "form = ['private', 'final']")
    assert rules.rules[0].forms == (Form.FINAL, Form.PRIVATE)
    assert rules.minute(NOW) == 11 * 60 + 30
    assert rules.day_start(NOW) == NOW - (11 * 60 + 30) * 60
    assert "only at" in why(rules=rules)
    assert why(proposal(form=Form.PRIVATE), rules=rules, now=NOW + 15 * 3600) == ""


@given(st.integers(0, 1439), st.integers(0, 1440), st.integers(0, 1439))
def test_hours_hold_from_start_up_to_the_end(start: int, end: int, minute: int) -> None:
    inside = Hours(start=start, end=end).holds(minute)
    steps = (minute - start) % 1440
    length = (end - start) % 1440 if (start, end) != (0, 1440) else 1440
    assert inside == (steps < length)


@settings(deadline=None)
@given(st.data())
def test_nothing_is_allowed_but_what_every_part_of_one_rule_allows(data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(["night-1", "night-2", "day"]))
    reason = data.draw(st.sampled_from(["job 1", "job", "jobs 1"]))
    form = data.draw(st.sampled_from(list(Form)))
    requester = data.draw(st.sampled_from(["app", "eve"]))
    unattended = data.draw(st.booleans())
    now = data.draw(st.integers(NOW - 86_400, NOW + 86_400))
    count = data.draw(st.integers(0, 4))
    terms = Terms(options=KeyOptions.of(unattended=unattended))
    allowed = not why(proposal(key, reason, form), terms, requester=requester, now=now, count=count)
    assert allowed == (
        key.startswith("night-")
        and reason == "job 1"
        and form is Form.FINAL
        and requester == "app"
        and unattended
        and 2 * 3600 <= now % 86_400 < 5 * 3600
        and count < 2
    )
