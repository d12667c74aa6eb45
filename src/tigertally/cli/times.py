"""Durations and points in time as people write them: `24h`, `7d`, ISO 8601, Unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tigertally.base.clock import time_text
from tigertally.base.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d{1,9}[smhdw])+")
_PIECE = re.compile(r"(\d+)([smhdw])")
_MAX_SECONDS = 100 * 366 * 86400  # a century: more is a slip of the finger
_MAX_TIME = 253_402_300_799  # the last second of the year 9999


def parse_duration(text: str) -> int:
    """Seconds of `90`, `90s`, `15m`, `24h`, `7d`, `2w` or `1h30m`.

    Raises:
        UsageError: anything else, or more than a century.
    """
    plain = text.strip().lower()
    if re.fullmatch(r"\d{1,12}", plain, re.ASCII):
        seconds = int(plain)
    elif _DURATION.fullmatch(plain) and plain.isascii():
        seconds = sum(int(count) * _UNITS[unit] for count, unit in _PIECE.findall(plain))
    else:
        raise UsageError(f"not a duration: {text!r}; write 90s, 15m, 24h, 7d or 1h30m")
    if seconds > _MAX_SECONDS:
        raise UsageError(f"{text!r} is more than a century")
    return seconds


def parse_time(text: str, *, now: int, past: bool = False) -> int:
    """Unix seconds of ISO 8601 text, of Unix seconds, or of a duration from `now`.

    Args:
        text: `2026-12-31`, `2026-12-31T18:00+01:00` (UTC where no zone stands), `1798740000`,
            `24h`.
        now: Unix seconds.
        past: durations count back, for options like `--since`.

    Raises:
        UsageError: anything else.
    """
    plain = text.strip()
    if re.fullmatch(r"\d{1,12}", plain, re.ASCII):
        return int(plain)
    if _DURATION.fullmatch(plain.lower()):
        seconds = parse_duration(plain)
        return max(0, now - seconds) if past else now + seconds
    try:
        moment = datetime.fromisoformat(plain)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"not a time: {text!r}; write 24h, 7d, 2026-12-31T18:00Z or Unix seconds"
        ) from error
    if seconds < 0:
        raise UsageError(f"{text!r} lies before 1970")
    return seconds


def format_time(seconds: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return time_text(seconds)


def format_duration(seconds: float) -> str:
    """At most two units: `45s`, `1h 30m`, `6d 23h`; `0.4s` below ten seconds."""
    if seconds < 10:
        return f"{seconds:.1f}s".replace(".0s", "s")
    left, words = int(seconds), []
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        count, left = divmod(left, size)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2])
