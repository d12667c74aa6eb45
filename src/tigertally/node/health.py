"""`/healthz`, `/readyz` and `/metrics` of the authority. Nothing secret, nothing about members."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from tigertally.base import secret
from tigertally.node.authority import Authority
from tigertally.transport.server import Page

Pages = Mapping[str, Callable[[], Page | Awaitable[Page]]]


def pages(authority: Authority) -> Pages:
    """The pages of one authority."""
    registry = CollectorRegistry()
    locked = Gauge("tigertally_locked", "1 while the authority is locked", registry=registry)
    holders = Gauge("tigertally_holders", "holders in the roster", registry=registry)
    quorum = Gauge("tigertally_threshold", "the quorum", registry=registry)
    version = Gauge("tigertally_roster_version", "the roster's version", registry=registry)
    unlocked = Gauge(
        "tigertally_unlocked_secrets",
        "secrets that could not be locked in memory",
        registry=registry,
    )

    def metrics() -> Page:
        roster = None if authority.chain is None else authority.chain.current
        locked.set(authority.locked)
        holders.set(0 if roster is None else len(roster.holders))
        quorum.set(0 if roster is None else roster.threshold)
        version.set(0 if roster is None else roster.version)
        unlocked.set(secret.unlocked_count())
        return Page(body=generate_latest(registry), content_type="text/plain; version=0.0.4")

    def alive() -> Page:
        return _json({"alive": True})

    def ready() -> Page:
        up = authority.chain is not None and not authority.locked
        state = "locked" if authority.locked else "ready" if up else "forming"
        return _json({"ready": up, "state": state}, status=200 if up else 503)

    return {"/healthz": alive, "/readyz": ready, "/metrics": metrics}


def _json(value: object, *, status: int = 200) -> Page:
    return Page(body=json.dumps(value).encode(), status=status, content_type="application/json")
