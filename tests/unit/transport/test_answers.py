"""What a handler does becomes an answer, and an answer becomes what its caller sees."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tigertally.base.errors import PeerFault, Refused
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.transport.answers import BROKEN, Answer, carry_out, opened, refusal
from tigertally.transport.channel import Request

ASKED = Request(path="/x", body=b"")


def handler_that(action):
    async def handler(request):
        return action(request)

    return handler


def raises(error):
    def action(_):
        raise error

    return action


async def test_bytes_go_through():
    answer = await carry_out(handler_that(lambda request: request.path.encode()), ASKED)
    assert opened(answer) == b"/x"


async def test_an_error_of_the_tree_is_raised_again():
    with pytest.raises(Refused, match=r"^not you$"):
        opened(await carry_out(handler_that(raises(Refused("not you"))), ASKED))


async def test_a_bug_is_logged_and_not_told(caplog):
    with caplog.at_level(logging.ERROR):
        answer = await carry_out(handler_that(raises(ZeroDivisionError("secret-word"))), ASKED)
    assert answer.status == BROKEN
    assert b"secret-word" not in answer.body
    assert "secret-word" in caplog.text


@pytest.mark.parametrize("wrong", [None, "text", bytearray(b"x"), bytes(MAX_MESSAGE_BYTES + 1)])
async def test_an_answer_that_is_none_is_a_bug(wrong):
    assert (await carry_out(handler_that(lambda _: wrong), ASKED)).status == BROKEN


async def test_cancelling_goes_through():
    with pytest.raises(asyncio.CancelledError):
        await carry_out(handler_that(raises(asyncio.CancelledError())), ASKED)


def test_a_refusal_of_another_protocol_is_the_peers_fault():
    with pytest.raises(PeerFault):
        opened(Answer(404, b"<html>not found</html>"))
    with pytest.raises(Refused):
        opened(refusal(Refused("no"), status=418))
