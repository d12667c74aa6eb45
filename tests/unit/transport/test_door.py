"""A door is its path, and knows what may pass through it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tigertally.base.codec import encode
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.limits import (
    MAX_MESSAGE_BYTES,
    MAX_REQUESTER_BYTES,
    MAX_REQUESTER_ITEMS,
    MAX_SMALL_MESSAGE_BYTES,
    MAX_SMALL_MESSAGE_ITEMS,
)
from tigertally.node.wiring import AuthorityServices
from tigertally.transport.door import Door, Standing, ask

pytestmark = pytest.mark.requirement("X5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Many:
    parts: tuple[bytes, ...]


LARGE = Door("/large", Question, Question, most_bytes=MAX_MESSAGE_BYTES)
SMALL = Door("/small", Question, Question)


def of(size: int) -> bytes:
    """A question of exactly so many bytes."""
    raw = encode(Question(raw=bytes(size - (4 if size <= 65539 else 6))))
    assert len(raw) == size
    return raw


def test_a_door_is_its_path():
    assert SMALL == "/small"
    assert {SMALL: 1}["/small"] == 1
    assert SMALL.who is Standing.REQUESTER, "nobody is let in who was not thought of"


def test_a_path_begins_with_a_slash():
    with pytest.raises(UsageError):
        Door("small", Question, Question)


@pytest.mark.parametrize(
    ("standing", "most"),
    [
        (Standing.STRANGER, MAX_SMALL_MESSAGE_BYTES),
        (Standing.REQUESTER, MAX_REQUESTER_BYTES),
        (Standing.HOLDER, MAX_MESSAGE_BYTES),
    ],
)
def test_who_stands_low_may_send_little(standing, most):
    assert LARGE.read(of(most), standing).raw
    with pytest.raises(MalformedMessage, match="at most"):
        LARGE.read(of(most + 1), standing)
    assert SMALL.most[standing].bytes == MAX_SMALL_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("standing", "most"),
    [
        (Standing.STRANGER, MAX_SMALL_MESSAGE_ITEMS),
        (Standing.REQUESTER, MAX_REQUESTER_ITEMS),
        (Standing.HOLDER, 3000),
    ],
)
def test_items_are_counted_at_each_door(standing, most):
    """A message and its list are two items; a part has three bytes, so that it is no few bytes."""
    door = Door("/many", Many, Many, most_bytes=MAX_MESSAGE_BYTES, most_items=3000)
    assert door.read(encode(Many(parts=(b"xx",) * (most - 2))), standing).parts
    with pytest.raises(MalformedMessage, match=f"at most {most} items"):
        door.read(encode(Many(parts=(b"xx",) * (most - 1))), standing)


class Way:
    """A channel to somebody who answers always the same."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.heard: list[tuple[str, bytes, float]] = []

    async def call(self, path: str, body: bytes, *, wait: float = 30.0) -> bytes:
        self.heard.append((path, body, wait))
        return self.answer


async def test_a_question_goes_to_its_door_and_the_answer_is_parsed():
    way = Way(encode(Many(parts=(b"x",))))
    door = Door("/ask", Question, Many)
    assert await ask(way, door, Question(raw=b"q"), wait=3) == Many(parts=(b"x",))
    assert way.heard == [("/ask", encode(Question(raw=b"q")), 3)]
    way.answer = encode(Question(raw=b"no answer of this door"))
    with pytest.raises(MalformedMessage):
        await ask(way, door, Question(raw=b"q"))


def test_all_doors_of_an_authority_are_different_paths():
    doors = AuthorityServices().doors()
    assert len({str(door) for door in doors}) == len(doors) > 30
    assert [door for door in doors if door.poll] == ["/v1/news"]
