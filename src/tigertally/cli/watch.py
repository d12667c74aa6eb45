"""What `tally holder list` says: who is there, who lags behind, how many may still be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tigertally.cli.output import counted
from tigertally.cli.times import format_time

if TYPE_CHECKING:
    from tigertally.custody.messages.sync import HoldersReply
    from tigertally.quorum.chain import Chain
    from tigertally.quorum.member.client import Party
    from tigertally.quorum.roster import Holder, Roster


async def holder_infos(party: Party) -> HoldersReply:
    """What the authority knows of the holders."""
    from tigertally.custody.messages.sync import HOLDERS
    from tigertally.quorum.messages import Nothing
    from tigertally.transport.door import ask

    return await ask(party.channel, HOLDERS, Nothing())


def holder_lines(chain: Chain, reply: HoldersReply, *, removed: bool) -> list[dict[str, object]]:
    """One line a holder, in the order of the verified roster; then the removed ones, if wanted."""
    known = {int(one.index): one for one in reply.holders}
    lines = []
    for holder in chain.current.holders:
        info = known.get(int(holder.index))
        last = info.last_seen if info else 0
        line = {**_line(holder, "enrolled"), "last_seen": format_time(last) if last else None}
        if info is not None:
            line |= {
                "fragments": info.fragments,
                "missing": info.missing,
                "needed": info.needed,
            }
        lines.append(line)
    return lines + (_removed_lines(chain, reply) if removed else [])


def _removed_lines(chain: Chain, reply: HoldersReply) -> list[dict[str, object]]:
    once = {holder.index: holder for roster in chain.rosters for holder in roster.holders}
    here = {holder.index for holder in chain.current.holders}
    alive = {one.index: one.alive for one in reply.removed}
    return [
        {**_line(holder, "removed"), "old_fragments": alive.get(index, 0)}
        for index, holder in sorted(once.items())
        if index not in here
    ]


def _line(holder: Holder, state: str) -> dict[str, object]:
    return {
        "index": int(holder.index),
        "name": str(holder.name),
        "state": state,
        "last_seen": None,
        "fragments": 0,
        "fingerprint": str(holder.signing_key.fingerprint),
        "missing": 0,
        "needed": 0,
        "old_fragments": 0,
    }


def margin_words(roster: Roster, reply: HoldersReply) -> str:
    """How many holders may still be lost: of the domain, and before the first key is gone."""
    domain = len(roster.holders) - roster.threshold
    if domain < 0:
        return f"forming: {counted(-domain, 'more holder is', 'more holders are')} needed"
    said = f"the domain can lose {counted(domain, 'more holder', 'more holders')}"
    if reply.lost:
        keys = counted(reply.lost, "key HAS", "keys HAVE")
        return f"{said}; {keys} TOO FEW FRAGMENTS LEFT: see `tally key list`"
    if reply.least_margin is None:
        return f"{said}; there are no keys yet"
    if reply.least_margin < domain:
        said += f", but only {reply.least_margin} until the first key is gone"
    late = sum(one.alive for one in reply.removed)
    if not late:
        return said
    return f"{said}; {counted(late, 'fragment', 'fragments')} of removed holders not dead yet"
