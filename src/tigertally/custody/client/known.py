"""The domain's keys as the authority tells; nothing secret rests on it."""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.base.errors import Refused
from tigertally.base.ids import Name
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.sync import KEYS, KeyInfo, KeysReply, KeysRequest
from tigertally.custody.messages.v1 import KEYS_V1, KeysReplyV1
from tigertally.custody.state.authority import KeyState, not_usable
from tigertally.quorum.chain import Chain
from tigertally.quorum.member.client import Party
from tigertally.quorum.member.versions import Before, unchanged
from tigertally.quorum.proposal import open_proposal

_USABLE = frozenset(state.value for state in KeyState if state.usable)
_BEFORE: Before[KeysRequest, KeysReply] = Before(
    door=KEYS_V1, question=unchanged, answer=KeysReplyV1.today
)


async def fetch_keys(party: Party, name: Name | None = None) -> tuple[KeyInfo, ...]:
    """All keys, or all versions of one, in order.

    Raises:
        Damaged: the authority cannot read a version of the one asked for.
    """
    return (await ask_keys(party, name)).keys


async def ask_keys(party: Party, name: Name | None = None) -> KeysReply:
    """The same, and how many the authority cannot read."""
    reply, _ = await party.ask(KEYS, KeysRequest(name=name), _BEFORE)
    return reply


def check_not_given_up(making: Envelope, chain: Chain) -> None:
    """Of a key that was approved and is not there: is it still to come?

    A key is there from its approval on, until it is made or given up.

    Raises:
        Refused: the holders have changed, and it could not be finished for those of before.
    """
    if chain.changed_since(open_proposal(making).electorate):
        raise Refused(
            "the holders or the quorum changed before the key was made, and it was given up",
            advice="the same command again proposes it to today's holders",
        )


def is_usable(info: KeyInfo) -> bool:
    """Say whether a key may be released; one in a state that only newer programs know may not."""
    return info.state in _USABLE


def newest_usable(known: Sequence[KeyInfo], name: Name) -> KeyInfo:
    """The newest version that can be released.

    Raises:
        Refused: there is no such key, or none of its versions is active.
    """
    usable = [info for info in known if is_usable(info)]
    if usable:
        return usable[-1]
    if not known:
        raise Refused(f"there is no key {name} (yet)", advice="see `tally key list`")
    raise not_usable(known[-1].ref, known[-1].state)
