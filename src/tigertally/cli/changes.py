"""What holders change from the command line, the roster and keys: propose it, or go on with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.cli.members import warn
from tigertally.cli.operation import Operation, run
from tigertally.cli.output import note

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.custody.client.keys import Asked, KeyProposals
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced
    from tigertally.quorum.roster import Roster

_WAITS = {
    "waiting": "waiting for holders to approve {}",
    "pending": "approved; waiting for holders to sync…",
}

Propose = Callable[["KeyProposals", "Synced"], Awaitable["Asked"]]


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

    async def begin(_: OpenProfile, party: Party) -> Operation:
        return await _change_of_roster(party, kind, body, done)

    doing, made = "changing the roster", "complete"
    document = run(
        profile, passphrase_file, begin, role=Role.HOLDER, doing=doing, done=made, wait=wait
    )
    if document["state"] == made and kind in (REMOVE, QUORUM):
        note("every key is shared anew as holders sync: see `tally key list`")


async def _change_of_roster(
    party: Party, kind: Name, body: bytes, done: Callable[[Roster], bool]
) -> Operation:
    from tigertally.custody.client.holder import Holder
    from tigertally.quorum.member.roster_changes import RosterChanges

    holder = Holder(party)
    synced, report = await holder.sync()
    warn(report)
    proposal = await RosterChanges(holder.member).propose_or_resume(kind, body, synced)
    changed: Roster | None = None

    async def step() -> tuple[bool, str]:
        nonlocal changed
        now, report = await holder.sync(renew=False)
        warn(report)
        changed = now.roster if done(now.roster) else None
        return changed is not None, ""

    async def document() -> dict[str, Any]:
        return {
            "proposal": str(proposal),
            "state": "waiting" if changed is None else "complete",
            "roster_version": (changed or synced.roster).version,
        }

    return Operation(
        member=holder.member,
        waiting="waiting for a change of the roster",
        words="" if done(synced.roster) else f"waiting for holders to approve {proposal}",
        step=step,
        document=document,
    )


def change_key(
    profile: Name,
    passphrase_file: Path | None,
    propose: Propose,
    *,
    doing: str,
    done: str,
    wait: float,
) -> None:
    """Propose something for a key, or go on with it, and wait until the key is in state `done`.

    Raises:
        Refused: it is not possible, or the holders said no.
        Unavailable: the wait ended unanswered.
    """
    from tigertally.quorum.card import Role

    async def begin(_: OpenProfile, party: Party) -> Operation:
        return await _change_of_key(party, propose, doing, done)

    run(profile, passphrase_file, begin, role=Role.HOLDER, doing=doing, done=done, wait=wait)


async def _change_of_key(party: Party, propose: Propose, doing: str, done: str) -> Operation:
    from tigertally.custody.client.holder import Holder
    from tigertally.custody.client.keys import KeyProposals

    holder = Holder(party)
    keys = KeyProposals(holder)
    synced, report = await holder.sync()
    warn(report)
    asked = await propose(keys, synced)

    async def step() -> tuple[bool, str]:
        _, report = await holder.sync(renew=False)
        warn(report)
        state = await keys.state_of(asked)
        return state == done, "" if state == done else _WAITS.get(state, state).format(asked.id)

    async def document() -> dict[str, Any]:
        state = await keys.state_of(asked)
        if state == done:
            keys.forget(asked)
        said = {"proposal": str(asked.id), "key": str(asked.body.key), "state": state}
        return {**said, **await _versions(keys, asked)}

    waiting = f"waiting, {doing}"
    return Operation(member=holder.member, waiting=waiting, step=step, document=document)


async def _versions(keys: KeyProposals, asked: Asked) -> dict[str, Any]:
    """Which version is made; or how far the erasing is, over all versions that are destroyed."""
    from tigertally.custody.messages.kinds import Destroy

    if not isinstance(asked.body, Destroy):
        return {"version": asked.body.ref.version}
    found = await keys.concerned(asked)
    missing = {int(index) for info in found for index in info.missing}
    gone = [info for info in found if info.state == "destroyed"]
    erased = {int(index) for info in gone for index in info.erased} - missing
    return {
        "version": asked.body.version,
        "erased": sorted(erased),
        "missing": sorted(missing if gone else ()),
    }
