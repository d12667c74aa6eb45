"""What a daemon is, apart from its sockets: doors, standings, health, background work, an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from tigertally.crypto.signatures import VerifyKey
from tigertally.host.alarms import Alarms
from tigertally.host.writer import Writer
from tigertally.transport.channel import Handler
from tigertally.transport.door import Standing


class State(Enum):
    """What `/readyz` says of a daemon that has no damage."""

    FORMING = "forming"
    LOCKED = "locked"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number for `/metrics`, or one by label; a counter never falls while the process lives.

    NaN where nobody knows it now.
    """

    name: str
    words: str
    value: float | Mapping[str, float]
    label: str = ""
    counter: bool = False


class Service(Protocol):
    """A daemon's work. `host/daemon.py` serves it, `host/pages.py` shows how it is.

    What has a body here is enough for a daemon that has nothing more to say or do there.

    Attributes:
        alarms: counts what fails behind everybody's back.
        writer: its one writer thread.
    """

    alarms: Alarms
    writer: Writer[Any, Any]

    def handlers(self) -> Mapping[str, Handler]:
        """Return every door with its handler."""
        ...

    def standing(self, key: VerifyKey) -> Standing:
        """Return what this key is to the daemon. Quick: the server's limits ask all the time."""
        ...

    def state(self) -> State:
        """Return whether it can do its work, were nothing damaged."""
        return State.READY

    async def gauges(self) -> Sequence[Gauge]:
        """Return its own numbers for `/metrics`; what every daemon has stands there already."""
        return ()

    async def start(self) -> None:
        """Write down that it has started, before it is ready."""
        return

    async def work(self) -> None:
        """Do what runs in the background, until cancelled."""
        return

    def end_waiting(self) -> None:
        """Answer every long poll, so that the server can stop at once."""
        return

    async def stop(self) -> None:
        """Write down what is only in memory; once nobody can ask any more. Never raises."""
        return

    def close(self) -> None:
        """End the threads, forget the keys, close the store."""
        ...
