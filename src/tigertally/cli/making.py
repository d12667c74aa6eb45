"""What becomes of a key, from a holder's side: proposed, waited for, done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.cli.members import as_member, next_step, unanswered, warn
from tigertally.cli.output import emit, facts, note

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.custody.client.keys import Asked, KeyProposals
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced

_WAITS = {
    "waiting": "waiting for holders to approve {}",
    "pending": "approved; waiting for holders to sync…",
}

Propose = Callable[["KeyProposals", "Synced"], Awaitable["Asked"]]


def carry_out(
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

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        return await _work(open_profile, party, propose, doing=doing, done=done, wait=wait)

    document = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    emit(document, facts(document) + next_step(document))
    if document["state"] != done and wait > 0:
        raise unanswered(wait)


async def _work(
    open_profile: OpenProfile,
    party: Party,
    propose: Propose,
    *,
    doing: str,
    done: str,
    wait: float,
) -> dict[str, Any]:
    from tigertally.custody.client.holder import Holder
    from tigertally.custody.client.keys import KeyProposals
    from tigertally.node.connect import until

    holder = Holder(party)
    keys = KeyProposals(holder)
    with open_profile.exclusive(doing=doing):
        synced, report = await holder.sync()
        warn(report)
        asked = await propose(keys, synced)

    told = ""

    async def step() -> str | None:
        nonlocal told
        with open_profile.exclusive(doing=f"waiting, {doing}"):
            _, again = await holder.sync(renew=False)
            warn(again)
            state = await keys.state_of(asked)
        if state == done:
            return done
        if wait and state != told:
            told = state
            note(_WAITS.get(state, state).format(asked.id))
        return None

    await until(holder.member, step, wait=wait)
    state = await keys.state_of(asked)
    if state == done:
        keys.forget(asked)
    document = {"proposal": str(asked.id), "key": str(asked.body.key), "state": state}
    return {**document, **await _versions(keys, asked)}


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
