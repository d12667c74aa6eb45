"""Doors: every path of a server with what goes in, what comes out, and how much of it.

A door stands beside the messages that pass through it. From the doors come the handlers of an
authority, the limits that its server keeps, the fuzz tests' list and the table in
`docs/protocols/transport.md`; and `ask`, by which a client calls at one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Generic, TypeVar

from tigertally.base.codec import decode, encode
from tigertally.base.errors import UsageError
from tigertally.base.limits import (
    MAX_MESSAGE_BYTES,
    MAX_REQUESTER_BYTES,
    MAX_REQUESTER_ITEMS,
    MAX_SMALL_MESSAGE_BYTES,
    MAX_SMALL_MESSAGE_ITEMS,
)
from tigertally.transport.channel import DEFAULT_WAIT, Channel

Q = TypeVar("Q")
A = TypeVar("A")


class Standing(IntEnum):
    """What a key is to the domain; who stands higher may do all that a lower one may."""

    STRANGER = 0
    REQUESTER = 1
    HOLDER = 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one message may have."""

    bytes: int
    items: int


# Whoever stands low is given little, whatever the door takes from holders.
_MOST: Final = {
    Standing.STRANGER: Bounds(MAX_SMALL_MESSAGE_BYTES, MAX_SMALL_MESSAGE_ITEMS),
    Standing.REQUESTER: Bounds(MAX_REQUESTER_BYTES, MAX_REQUESTER_ITEMS),
    Standing.HOLDER: Bounds(MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES),
}


class Door(str, Generic[Q, A]):
    """A path, which is its text, and what travels there: one question, one answer.

    Attributes:
        question, answer: the messages.
        who: who may ask at all; anybody else is refused before the question is read.
        most: how much a question may have, by the standing of who asks.
        spread: beyond the first few, a question has at least so many bytes per item.
        poll: an asker waits here until something happens: it is no work meanwhile.
        reads: asked twice does what asked once does, so no answer is kept for whoever asks again.
    """

    __slots__ = ("answer", "most", "poll", "question", "reads", "spread", "who")

    def __new__(
        cls,
        path: str,
        question: type[Q],
        answer: type[A],
        *,
        who: Standing = Standing.REQUESTER,
        most_bytes: int = MAX_SMALL_MESSAGE_BYTES,
        most_items: int = MAX_SMALL_MESSAGE_ITEMS,
        spread: int = 1,
        poll: bool = False,
        reads: bool = False,
    ) -> Door[Q, A]:
        if not path.startswith("/"):
            raise UsageError("a path begins with /")
        door = super().__new__(cls, path)
        door.question, door.answer, door.who = question, answer, who
        door.spread, door.poll, door.reads = spread, poll, reads or poll
        door.most = {
            standing: Bounds(min(most_bytes, most.bytes), min(most_items, most.items))
            for standing, most in _MOST.items()
        }
        return door

    question: type[Q]
    answer: type[A]
    who: Standing
    most: dict[Standing, Bounds]
    spread: int
    poll: bool
    reads: bool

    def read(self, body: bytes, standing: Standing) -> Q:
        """Parse a question from somebody of this standing.

        Raises:
            MalformedMessage: it is not one, or longer than such a party may send.
        """
        most = self.most[standing]
        # A short message of many items is none, whatever a long one may have.
        items = min(most.items, MAX_SMALL_MESSAGE_ITEMS + len(body) // self.spread)
        return decode(self.question, body, max_bytes=most.bytes, max_items=items)


async def ask(channel: Channel, door: Door[Q, A], question: Q, *, wait: float = DEFAULT_WAIT) -> A:
    """Ask a question at a door; return the answer.

    Args:
        wait: seconds, as for `Channel.call`.

    Raises:
        MalformedMessage: what came is not an answer of this door.
        TigertallyError: as `Channel.call` does.
    """
    return decode(door.answer, await channel.call(door, encode(question), wait=wait))
