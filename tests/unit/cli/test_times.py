from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import UsageError
from tigertally.cli.times import format_duration, format_time, parse_duration, parse_time

NOW = 1_800_000_000  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("24h", 86400),
        ("7d", 604800),
        ("2w", 1209600),
        ("1h30m", 5400),
        (" 24H ", 86400),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "-5", "1.5h", "24 h", "1y", "1h30", "٣", "٣h", "1e3", "9" * 12, "9" * 400]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1800000000", NOW),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
        ("2027-01-15T08:00", NOW),
        ("2027-01-15 08:00:00", NOW),
        ("2027-01-15", NOW - 8 * 3600),
        ("24h", NOW + 86400),
        ("7d", NOW + 604800),
    ],
)
def test_points_in_time(text, seconds):
    assert parse_time(text, now=NOW) == seconds


def test_since_counts_back():
    assert parse_time("24h", now=NOW, past=True) == NOW - 86400
    assert parse_time("7d", now=5, past=True) == 0


@pytest.mark.parametrize("text", ["", "soon", "2027-13-01", "1969-12-31", "-1", "27-01-15", "1.5"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError):
        parse_time(text, now=NOW)


@given(st.integers(0, 253_402_300_799))
def test_what_is_printed_is_read(seconds):
    assert parse_time(format_time(seconds), now=NOW) == seconds


def test_no_number_is_too_large_to_print():
    assert format_time(2**64 - 1) == f"{2**64 - 1} s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.42, "0.4s"),
        (3, "3s"),
        (45.7, "45s"),
        (5400, "1h 30m"),
        (86400 * 7 - 1, "6d 23h"),
        (86400 * 7, "1w"),
    ],
)
def test_durations_read_well_in_words(seconds, text):
    assert format_duration(seconds) == text


@given(st.text(max_size=20))
def test_any_text_is_a_time_or_a_usage_error(text):
    with contextlib.suppress(UsageError):
        assert parse_time(text, now=NOW) >= 0
