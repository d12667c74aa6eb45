"""What `/metrics` says of an authority, beside what it says of every daemon.

Nothing secret; holders by their index, requesters and keys not at all (decision 19). So there are
as many lines as the roster has holders, and a few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tigertally.custody.service.watch import Overview
from tigertally.custody.state.authority import EpochStatus, KeyState
from tigertally.host.service import Gauge
from tigertally.quorum.roster import Roster

_UNKNOWN = math.nan


def outside_gauges(
    roster: Roster | None, *, locked: bool, damaged: int, unlock_failures: int
) -> Sequence[Gauge]:
    """Return what a locked authority knows, too."""
    holders, threshold = (0, 0) if roster is None else (len(roster.holders), roster.threshold)
    margin = _UNKNOWN if roster is None else holders - threshold
    version = 0 if roster is None else roster.version
    failures = "failed attempts to unlock since the start"
    return (
        Gauge("locked", "1 while the authority is locked", locked),
        Gauge("holders", "holders in the roster", holders),
        Gauge("threshold", "the quorum", threshold),
        Gauge("roster_version", "the roster's version", version),
        Gauge("quorum_margin", "holders the domain can lose", margin),
        Gauge("damaged_rows", "rows of the store that cannot be read", damaged),
        Gauge("unlock_failures", failures, unlock_failures, counter=True),
    )


def inside_gauges(seen: Overview | None) -> Sequence[Gauge]:
    """Return what lies behind the barrier; NaN while nobody can see it."""
    least = pending = old = _UNKNOWN
    keys = dict.fromkeys((state.value for state in KeyState), _UNKNOWN)
    epochs = dict.fromkeys((status.value for status in EpochStatus), _UNKNOWN)
    last_seen: dict[str, float] = {}
    if seen is not None:
        least = _UNKNOWN if seen.least_margin is None else seen.least_margin
        pending, old = seen.pending, seen.old_fragments
        keys = {state: seen.keys[state] for state in keys}
        epochs = {status: seen.epochs[status] for status in epochs}
        last_seen = {str(int(index)): at for index, at in seen.seen.items()}
    return (
        Gauge("key_margin_least", "holders that can be lost before the first key is gone", least),
        Gauge("pending_proposals", "proposals that wait for approvals", pending),
        Gauge(
            "old_fragments",
            "fragments of removed holders that are not dead yet, over all keys",
            old,
        ),
        Gauge("keys", "keys by state", keys, "state"),
        Gauge("epochs", "epochs and attempts by state", epochs, "state"),
        Gauge(
            "holder_last_seen_timestamp_seconds",
            "when each holder last synced, Unix time; 0 for never",
            last_seen,
            "holder",
        ),
    )
