"""Changes of the roster from the command line: propose, or go on with what this device proposed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.cli.members import as_member, next_step, unanswered, warn
from tigertally.cli.output import emit, facts, note

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced
    from tigertally.quorum.roster import Roster


def change_roster(
    profile: Name,
    passphrase_file: Path | None,
    *,
    kind: Name,
    body: bytes,
    done: Callable[[Roster], bool],
    wait: float,
) -> None:
    """Propose a change with this holder's approval in it, and wait until it is made.

    Args:
        done: whether a roster shows the change.

    Raises:
        Refused: the change is not possible, or the holders said no.
        Unavailable: the wait ended unanswered.
    """
    from tigertally.quorum.card import Role
    from tigertally.quorum.changes import QUORUM, REMOVE

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        return await _change(open_profile, party, kind=kind, body=body, done=done, wait=wait)

    document = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    emit(document, facts(document) + next_step(document))
    if document["state"] == "complete" and kind in (REMOVE, QUORUM):
        note("every key is shared anew as holders sync: see `tally key list`")
    if document["state"] == "waiting" and wait > 0:
        raise unanswered(wait)


async def _change(
    open_profile: OpenProfile,
    party: Party,
    *,
    kind: Name,
    body: bytes,
    done: Callable[[Roster], bool],
    wait: float,
) -> dict[str, Any]:
    from tigertally.custody.client.holder import Holder
    from tigertally.node.connect import until
    from tigertally.quorum.member.roster_changes import RosterChanges

    holder = Holder(party)
    with open_profile.exclusive(doing="changing the roster"):
        synced, report = await holder.sync()
        warn(report)
        proposal = await RosterChanges(holder.member).propose_or_resume(kind, body, synced)

    async def step() -> Synced | None:
        with open_profile.exclusive(doing="waiting for a change of the roster"):
            now, again = await holder.sync(renew=False)
        warn(again)
        return now if done(now.roster) else None

    if wait and not done(synced.roster):
        note(f"waiting for holders to approve {proposal}")
    changed = await until(holder.member, step, wait=wait)
    return {
        "proposal": str(proposal),
        "state": "waiting" if changed is None else "complete",
        "roster_version": synced.roster.version if changed is None else changed.roster.version,
    }
