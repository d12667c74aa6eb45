"""Asking at the newest door that the authority has."""

from __future__ import annotations

import pytest

from tigertally.base.codec import encode
from tigertally.base.errors import NoSuchDoor, PeerFault, Refused, UsageError
from tigertally.base.limits import OLD_DOOR_SECONDS
from tigertally.quorum.member.versions import Before, Lacking, ask_newest, unchanged
from tigertally.quorum.messages import (
    SYNC,
    SYNC_V1,
    SyncReply,
    SyncRequest,
)
from tigertally.transport import problems, virtual_time
from tigertally.transport.answers import Answer, opened

pytestmark = pytest.mark.requirement("C7")

REPLY = SyncReply(rosters=(), checkpoint="", proofs=(), proposals=())
BEFORE: Before[SyncRequest, SyncReply] = Before(door=SYNC_V1, question=unchanged, answer=unchanged)


class Authority:
    """One that has these doors; anything else is answered as a server of version 1 does."""

    def __init__(self, *doors):
        self.doors, self.asked = set(doors), []

    async def call(self, path, body):
        self.asked.append(str(path))
        if path not in self.doors:
            document = problems.to_document(UsageError("no such path"), status=404)
            return opened(Answer(*document))
        return encode(REPLY)


def asking(authority, lacking, now):
    question = SyncRequest(roster_version=1, checkpoint_size=0)
    got = virtual_time.run(
        ask_newest(authority.call, SYNC, question, BEFORE, lacking=lacking, now=now)
    )
    assert got == (REPLY, encode(REPLY))


def test_an_older_authority_is_asked_at_the_older_door_and_that_is_remembered():
    authority, lacking = Authority(SYNC_V1), Lacking()
    for now in (1000, 1000 + OLD_DOOR_SECONDS - 1):
        asking(authority, lacking, now)
    assert authority.asked == [SYNC, SYNC_V1, SYNC_V1]
    authority.doors.add(SYNC)  # it has been upgraded
    authority.asked.clear()
    asking(authority, lacking, 1000 + OLD_DOOR_SECONDS)
    assert authority.asked == [SYNC]


def test_a_clock_that_is_set_back_forgets_what_was_known():
    authority, lacking = Authority(SYNC_V1), Lacking()
    asking(authority, lacking, 5000)
    authority.asked.clear()
    asking(authority, lacking, 4000)
    assert authority.asked == [SYNC, SYNC_V1]


def test_other_errors_are_no_reason_to_ask_elsewhere():
    authority, lacking = Authority(SYNC, SYNC_V1), Lacking()

    async def refusing(path, body):
        authority.asked.append(str(path))
        raise Refused("not you")

    authority.call = refusing
    with pytest.raises(Refused):
        asking(authority, lacking, 1000)
    assert authority.asked == [SYNC]


@pytest.mark.parametrize("error", [UsageError("no such path"), Refused("no such path")])
def test_the_status_alone_says_that_there_is_no_such_door(error):
    status, document = problems.to_document(error)
    with pytest.raises((PeerFault, Refused)) as caught:  # what a server says is wrong is not ours
        opened(Answer(status, document))
    assert not isinstance(caught.value, NoSuchDoor)
    with pytest.raises(NoSuchDoor):
        opened(Answer(404, document))
