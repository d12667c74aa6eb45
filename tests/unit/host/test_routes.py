"""Bytes become messages beside the writer thread; nobody's bytes are read for whom no door is."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, Refused
from tigertally.base.limits import MAX_MESSAGE_BYTES, MAX_SMALL_MESSAGE_BYTES
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.host.routes import Handlers
from tigertally.transport.channel import Request
from tigertally.transport.door import Door, Standing

PEER = SigningKey.generate(SeededRandomness("peer")).public
read_by: list[int] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    raw: bytes

    def __post_init__(self) -> None:
        read_by.append(threading.get_ident())


DOOR = Door("/blob", Blob, Blob, most_bytes=MAX_MESSAGE_BYTES)


async def same(question, peer, waiting):
    return question


def nobody(door, peer):
    raise Refused("no")


def somebody(door, peer):
    return Standing.HOLDER


@contextmanager
def handled(admit):
    made = Handlers(None, admit=admit, standing=None)
    try:
        yield made.beside(DOOR, same)
    finally:
        made.close()


@pytest.fixture
def handler():
    with handled(somebody) as made:
        yield made


@pytest.mark.parametrize(("size", "elsewhere"), [(10, False), (MAX_SMALL_MESSAGE_BYTES, True)])
async def test_large_bodies_are_read_on_another_thread(handler, size, elsewhere):
    body = encode(Blob(raw=bytes(size)))
    read_by.clear()
    answer = await handler(Request(path=DOOR, body=body, peer=PEER))
    assert [ident != threading.get_ident() for ident in read_by] == [elsewhere]
    assert answer == body
    assert decode(Blob, answer).raw == bytes(size)


async def test_a_malformed_question_is_refused_on_either_thread(handler):
    for size in (10, 2 * MAX_SMALL_MESSAGE_BYTES):
        with pytest.raises(MalformedMessage):
            await handler(Request(path=DOOR, body=b"\xff" * size, peer=PEER))


async def test_what_comes_from_those_the_door_is_not_for_is_not_read():
    with handled(nobody) as handler, pytest.raises(Refused):
        await handler(Request(path=DOOR, body=b"\xff", peer=PEER))


async def test_who_stands_too_low_for_a_door_is_not_read_either():
    door = Door("/high", Blob, Blob, who=Standing.HOLDER)
    stands = Standing.REQUESTER
    made = Handlers(None, standing=lambda peer: stands)
    handler = made.beside(door, same)
    read_by.clear()
    with pytest.raises(Refused):
        await handler(Request(path=door, body=encode(Blob(raw=b"x")), peer=PEER))
    assert len(read_by) == 1, "by this test alone"
    stands = Standing.HOLDER
    assert await handler(Request(path=door, body=encode(Blob(raw=b"x")), peer=PEER))
    made.close()


async def test_without_a_certificate_nothing_is_read(handler):
    with pytest.raises(InvalidSignature):
        await handler(Request(path=DOOR, body=b"\xff"))
