"""The domain's keys as the authority tells; nothing secret rests on it."""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused
from tigertally.base.ids import Name
from tigertally.custody.messages.sync import KEYS, KeyInfo, KeysReply, KeysRequest
from tigertally.quorum.client import Party

USABLE = ("active", "resharing")


async def fetch_keys(party: Party, name: Name | None = None) -> tuple[KeyInfo, ...]:
    """All keys, or all versions of one, in order."""
    raw = await party.channel.call(KEYS, encode(KeysRequest(name=name)))
    return decode(KeysReply, raw).keys


def newest_usable(known: Sequence[KeyInfo], name: Name) -> KeyInfo:
    """The newest version that can be released.

    Raises:
        Refused: there is no such key, or none of its versions is active.
    """
    usable = [info for info in known if info.state in USABLE]
    if usable:
        return usable[-1]
    if not known:
        raise Refused(f"there is no key {name} (yet): see `tally key list`")
    raise Refused(f"{known[-1].ref} is {known[-1].state}")
