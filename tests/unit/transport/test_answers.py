"""What a handler does becomes an answer, and an answer becomes what its caller sees."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tigertally.base.errors import (
    Corrupt,
    Damaged,
    InvalidSignature,
    Locked,
    MalformedMessage,
    NoSuchDoor,
    PeerFault,
    Refused,
    TigertallyError,
    UsageError,
)
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.cli.errors import report
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


def test_a_missing_door_is_recognised_by_its_status_whatever_it_is_called():
    """An authority of before calls it a wrong argument, a later one perhaps something else."""
    for called in (UsageError("no such path"), TigertallyError("x"), NoSuchDoor("no such path")):
        with pytest.raises(NoSuchDoor):
            opened(refusal(called, status=404))


# What the server raised, what whoever asked gets, and the exit code of its command.
HEARD = [
    (Corrupt("a row does not open"), Damaged, 4),
    (UsageError("an idempotency key is for one path"), PeerFault, 5),
    (MalformedMessage("leftover bytes"), MalformedMessage, 5),
    (Locked("the authority is locked"), Locked, 4),
    (Refused("not you"), Refused, 3),
    (TigertallyError("internal error"), TigertallyError, 1),
]


@pytest.mark.parametrize(("raised", "kind", "code"), HEARD, ids=lambda value: str(value)[:20])
def test_what_is_wrong_over_there_does_not_read_as_wrong_here(raised, kind, code):
    with pytest.raises(TigertallyError) as caught:
        opened(refusal(raised))
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert str(raised) in str(caught.value)


def test_a_damaged_store_is_the_servers():
    with pytest.raises(Damaged) as caught:
        opened(refusal(Corrupt("a row does not open")))
    line = report(caught.value).line()
    assert "the server's store is damaged" in line
    assert "restore" not in line
    assert "the store of this device" in report(Corrupt("a row does not open")).line()


@pytest.mark.parametrize("kind", [PeerFault, InvalidSignature])
def test_a_server_proves_nothing_by_saying_it(kind):
    with pytest.raises(kind) as caught:
        opened(refusal(kind("bob lied", culprits=("bob",), sure=True)))
    assert (caught.value.culprits, caught.value.sure) == (("bob",), False)
    assert "bob (not proven)" in report(caught.value).line()
