"""`/healthz`, `/readyz` and `/metrics` of any daemon. Nothing secret."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tigertally.base import secret
from tigertally.base.errors import Corrupt, Unavailable
from tigertally.host.service import Gauge, Service, State
from tigertally.storage.erasure import owed
from tigertally.transport.counts import ServerCounts
from tigertally.transport.server import Page

Pages = Mapping[str, Callable[[], Page | Awaitable[Page]]]

_FRESH_SECONDS = 5.0  # a scrape may cost a look at every row: nobody makes us do it all the time
_UNKNOWN = math.nan


class Metrics(Collector):
    """What `/metrics` says: the service's own gauges, then what every daemon has."""

    def __init__(self, service: Service, counts: ServerCounts) -> None:
        self._service = service
        self._traffic = counts
        self._gauges: Sequence[Gauge] = ()
        self._since = time.time()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._shown: Page | None = None
        self._until = 0.0
        self._looking = asyncio.Lock()

    async def page(self) -> Page:
        """The numbers now, or of five seconds ago; many who ask at once make us look once."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if self._shown is None or now >= self._until:
                self._gauges = (*await self._service.gauges(), *await self._of_any_daemon())
                body = generate_latest(self._registry)
                self._shown = Page(body=body, content_type="text/plain; version=0.0.4")
                self._until = now + _FRESH_SECONDS
            return self._shown

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The gauges in the form of the library that writes them."""
        for one in self._gauges:
            kind = CounterMetricFamily if one.counter else GaugeMetricFamily
            family = kind(f"tigertally_{one.name}", one.words, labels=[one.label] * bool(one.label))
            values = one.value if isinstance(one.value, Mapping) else {"": one.value}
            for label, value in values.items():
                labels = [label] if one.label else []
                if isinstance(family, CounterMetricFamily):
                    family.add_metric(labels, value, created=self._since)
                else:
                    family.add_metric(labels, value)
            yield family

    async def _of_any_daemon(self) -> Sequence[Gauge]:
        count, since = await self._look_at_owed()
        since_words = "when the oldest of them was committed, Unix time; 0 for none"
        put_off, faults = dict(self._service.alarms.failures), dict(self._service.alarms.faults)
        away = self._traffic.turned_away()
        return (
            Gauge(
                "unlocked_secrets",
                "secrets that could not be locked in memory",
                secret.unlocked_count(),
            ),
            Gauge("erasures_owed", "erasures that the store's files still show", count),
            Gauge("erasure_owed_since_timestamp_seconds", since_words, since),
            Gauge("background_failures", "work that was put off", put_off, "work", counter=True),
            Gauge("program_faults", "faults of this program", faults, "work", counter=True),
            Gauge(
                "turned_away", "what a limit of the server turned away", away, "what", counter=True
            ),
        )

    async def _look_at_owed(self) -> tuple[float, float]:
        """How many erasures are owed, and since when; NaN where the store cannot be read."""
        run = self._service.writer.run
        try:
            found = await run(lambda desk: owed(desk.plain), background=True)
        except (Unavailable, Corrupt):
            return _UNKNOWN, _UNKNOWN
        return (0, 0) if found is None else (found.count, found.since)


def pages(service: Service, counts: ServerCounts | None = None) -> Pages:
    """The pages of one daemon; its server, if it has one, counts there."""

    def alive() -> Page:
        return _json({"alive": True})

    def ready() -> Page:
        state, why = service.state(), service.alarms.unready
        if why:  # it answers what it can all the same
            return _json({"ready": False, "state": "damaged", "why": why}, status=503)
        up = state is State.READY
        return _json({"ready": up, "state": state.value}, status=200 if up else 503)

    return {
        "/healthz": alive,
        "/readyz": ready,
        "/metrics": Metrics(service, counts or ServerCounts()).page,
    }


def _json(value: object, *, status: int = 200) -> Page:
    return Page(body=json.dumps(value).encode(), status=status, content_type="application/json")
