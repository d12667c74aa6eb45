"""`/healthz`, `/readyz` and `/metrics` of the authority.

Nothing secret; holders by their index, requesters and keys not at all (decision 19). So there are
as many lines as the roster has holders, and a few.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from tigertally.base import secret
from tigertally.base.errors import Corrupt, Unavailable
from tigertally.custody.service.watch import Overview, overview
from tigertally.custody.state.authority import EpochStatus, KeyState
from tigertally.node.authority import Authority
from tigertally.storage.erasure import owed
from tigertally.transport.counts import ServerCounts
from tigertally.transport.server import Page

Pages = Mapping[str, Callable[[], Page | Awaitable[Page]]]

_FRESH_SECONDS = 5.0  # a scrape costs a look at every key: nobody makes us do it all the time
_UNKNOWN = math.nan


class _Mirror:
    """A metric by label that follows what is counted elsewhere."""

    def __init__(self, metric: Counter) -> None:
        self._metric = metric
        self._shown: dict[str, int] = {}

    def follow(self, counts: Mapping[str, int]) -> None:
        for label, count in dict(counts).items():
            self._metric.labels(label).inc(count - self._shown.get(label, 0))
            self._shown[label] = count


class Metrics:
    """What `/metrics` says. While the authority is locked, what lies behind the barrier is NaN."""

    def __init__(self, authority: Authority, counts: ServerCounts) -> None:
        self._authority = authority
        self._traffic = counts
        self._registry = CollectorRegistry()
        self._locked = self._gauge("locked", "1 while the authority is locked")
        self._holders = self._gauge("holders", "holders in the roster")
        self._threshold = self._gauge("threshold", "the quorum")
        self._version = self._gauge("roster_version", "the roster's version")
        self._unlocked = self._gauge(
            "unlocked_secrets", "secrets that could not be locked in memory"
        )
        self._margin = self._gauge("quorum_margin", "holders the domain can lose")
        self._least = self._gauge(
            "key_margin_least", "holders that can be lost before the first key is gone"
        )
        self._pending = self._gauge("pending_proposals", "proposals that wait for approvals")
        self._old = self._gauge(
            "old_fragments", "fragments of removed holders that are not dead yet, over all keys"
        )
        self._keys = self._gauge("keys", "keys by state", "state")
        self._epochs = self._gauge("epochs", "epochs and attempts by state", "state")
        self._seen = self._gauge(
            "holder_last_seen_timestamp_seconds",
            "when each holder last synced, Unix time; 0 for never",
            "holder",
        )
        self._owed = self._gauge("erasures_owed", "erasures that the store's files still show")
        self._owed_since = self._gauge(
            "erasure_owed_since_timestamp_seconds",
            "when the oldest of them was committed, Unix time; 0 for none",
        )
        self._damaged = self._gauge("damaged_rows", "rows of the store that cannot be read")
        self._failures = Counter(
            "tigertally_unlock_failures",
            "failed attempts to unlock since the start",
            registry=self._registry,
        )
        self._put_off = self._mirror("background_failures", "work that was put off", "work")
        self._faults = self._mirror("program_faults", "faults of this program", "work")
        self._away = self._mirror("turned_away", "what a limit of the server turned away", "what")
        self._counted = 0
        self._shown: Page | None = None
        self._until = 0.0
        self._looking = asyncio.Lock()

    def _gauge(self, name: str, words: str, *labels: str) -> Gauge:
        return Gauge(f"tigertally_{name}", words, labels, registry=self._registry)

    def _mirror(self, name: str, words: str, label: str) -> _Mirror:
        return _Mirror(Counter(f"tigertally_{name}", words, (label,), registry=self._registry))

    async def page(self) -> Page:
        """The numbers now, or of five seconds ago; many who ask at once make us look once."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if self._shown is None or now >= self._until:
                self._show_outside()
                self._show_owed(*await self._look_at_owed())
                self._show_inside(await self._look())
                body = generate_latest(self._registry)
                self._shown = Page(body=body, content_type="text/plain; version=0.0.4")
                self._until = now + _FRESH_SECONDS
            return self._shown

    async def _look(self) -> Overview | None:
        """Behind the barrier; None while it is closed, not readable, or before the first holder."""
        try:
            return await self._authority.run(overview, background=True)
        except (Unavailable, Corrupt):
            return None

    async def _look_at_owed(self) -> tuple[float, float]:
        """How many erasures are owed, and since when; NaN where the store cannot be read."""
        try:
            found = await self._authority.run(lambda desk: owed(desk.plain), background=True)
        except (Unavailable, Corrupt):
            return _UNKNOWN, _UNKNOWN
        return (0, 0) if found is None else (found.count, found.since)

    def _show_owed(self, count: float, since: float) -> None:
        self._owed.set(count)
        self._owed_since.set(since)

    def _show_outside(self) -> None:
        """What a locked authority knows, too."""
        authority = self._authority
        roster = None if authority.chain is None else authority.chain.current
        self._locked.set(authority.locked)
        self._holders.set(0 if roster is None else len(roster.holders))
        self._threshold.set(0 if roster is None else roster.threshold)
        self._version.set(0 if roster is None else roster.version)
        self._margin.set(_UNKNOWN if roster is None else len(roster.holders) - roster.threshold)
        self._damaged.set(len(authority.writer.memory.damaged))
        self._unlocked.set(secret.unlocked_count())
        failures = authority.unlock_failures
        self._failures.inc(failures - self._counted)
        self._counted = failures
        self._put_off.follow(authority.alarms.failures)
        self._faults.follow(authority.alarms.faults)
        self._away.follow(self._traffic.turned_away())

    def _show_inside(self, seen: Overview | None) -> None:
        self._seen.clear()
        least = None if seen is None else seen.least_margin
        self._least.set(_UNKNOWN if least is None else least)
        self._pending.set(_UNKNOWN if seen is None else seen.pending)
        self._old.set(_UNKNOWN if seen is None else seen.old_fragments)
        for key in KeyState:
            self._keys.labels(key.value).set(_UNKNOWN if seen is None else seen.keys[key.value])
        for epoch in EpochStatus:
            count = _UNKNOWN if seen is None else seen.epochs[epoch.value]
            self._epochs.labels(epoch.value).set(count)
        if seen is not None:
            for index, at in seen.seen.items():
                self._seen.labels(str(int(index))).set(at)


def pages(authority: Authority, counts: ServerCounts | None = None) -> Pages:
    """The pages of one authority; its server, if it has one, counts there."""

    def alive() -> Page:
        return _json({"alive": True})

    def ready() -> Page:
        up = authority.chain is not None and not authority.locked
        state = "locked" if authority.locked else "ready" if up else "forming"
        why = authority.alarms.unready
        if why:  # it answers what it can all the same
            return _json({"ready": False, "state": "damaged", "why": why}, status=503)
        return _json({"ready": up, "state": state}, status=200 if up else 503)

    return {
        "/healthz": alive,
        "/readyz": ready,
        "/metrics": Metrics(authority, counts or ServerCounts()).page,
    }


def _json(value: object, *, status: int = 200) -> Page:
    return Page(body=json.dumps(value).encode(), status=status, content_type="application/json")
