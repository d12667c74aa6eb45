"""How a device talks to an authority of another version: at the newest door that both have.

A message never changes; a new one has a new path beside the old one. A device asks at the newer
door, and at the older one if the authority does not have that (docs/versions.md).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import NoSuchDoor
from tigertally.base.limits import OLD_DOOR_SECONDS
from tigertally.transport.door import Door

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")

Call = Callable[[str, bytes], Awaitable[bytes]]
"""(path, question) -> answer."""


def unchanged(message: T) -> T:
    """For a message that is the same at both doors."""
    return message


@dataclass(frozen=True, slots=True, kw_only=True)
class Before(Generic[Q, A]):
    """The door that was there before a newer one, and how its messages say the same.

    Attributes:
        question: from today's question to that of the older door.
        answer: from the older door's answer to today's.
    """

    door: Door[Any, Any]
    question: Callable[[Q], Any]
    answer: Callable[[Any], A]


@dataclass(slots=True)
class Lacking:
    """The doors that an authority was found not to have; forgotten after a while.

    A daemon's connection outlives the authority's upgrade, and should notice it.
    """

    _until: dict[str, int] = field(default_factory=dict)

    def note(self, door: str, now: int) -> None:
        """It does not have this door."""
        self._until[door] = now + OLD_DOOR_SECONDS

    def holds(self, door: str, now: int) -> bool:
        """Is it known not to have this door? A clock that was set back makes nothing known."""
        until = self._until.get(door, 0)
        return now < until <= now + OLD_DOOR_SECONDS


async def ask_newest(
    call: Call,
    door: Door[Q, A],
    question: Q,
    before: Before[Q, A],
    *,
    lacking: Lacking,
    now: int,
) -> tuple[A, bytes]:
    """Ask at the newer of two doors, or at the older one where there is no other.

    Args:
        call: how the authority is asked.
        lacking: what is known of this connection's authority, and kept for the next time.
        now: Unix seconds.

    Returns:
        The answer, and its bytes as they came.

    **Security:** that a door is missing is the authority's word. It gains nothing by it: what the
    older message cannot say is left out there, and what counts is signed over the newer one.
    """
    if not lacking.holds(door, now):
        try:
            raw = await call(door, encode(question))
        except NoSuchDoor:
            lacking.note(door, now)
        else:
            return decode(door.answer, raw), raw
    raw = await call(before.door, encode(before.question(question)))
    return before.answer(decode(before.door.answer, raw)), raw
