"""Commands that wait for others: begun or gone on with, looked at whenever there is news, told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.cli.members import as_member, next_step, unanswered
from tigertally.cli.output import emit, facts, note

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.card import Role
    from tigertally.quorum.member.client import MemberClient, Party


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a command has begun.

    Attributes:
        member: whose news is waited for.
        waiting: what a step does, for commands of this profile that are kept out meanwhile.
        words: what is waited for; empty if nothing, or if `step` says it.
        step: does what can be done now; says whether all is done, and what is waited for.
        document: tells the outcome; its `state` says how far it is.
    """

    member: MemberClient
    waiting: str
    words: str = ""
    step: Callable[[], Awaitable[tuple[bool, str]]]
    document: Callable[[], Awaitable[dict[str, Any]]]


Begin = Callable[["OpenProfile", "Party"], Awaitable[Operation]]


async def carried(
    open_profile: OpenProfile, party: Party, begin: Begin, *, doing: str, wait: float
) -> dict[str, Any]:
    """Begin an operation and carry it as far as it goes in `wait` seconds (0: one step).

    While it begins and during each step no other command of the profile runs; between them, any.

    Args:
        doing: what it does when it begins, for commands that are kept out.
    """
    from tigertally.node.connect import until

    told = ""

    def tell(words: str) -> None:
        nonlocal told
        if wait and words and words != told:
            told = words
            note(words)

    async def step() -> bool | None:
        with open_profile.exclusive(doing=operation.waiting):
            done, words = await operation.step()
        tell(words)
        return done or None

    with open_profile.exclusive(doing=doing):
        operation = await begin(open_profile, party)
    tell(operation.words)
    await until(operation.member, step, wait=wait)
    return await operation.document()


def run(
    profile: Name,
    passphrase_file: Path | None,
    begin: Begin,
    *,
    role: Role,
    doing: str,
    done: str,
    wait: float,
) -> dict[str, Any]:
    """Carry out an operation, and print how far it is.

    Args:
        done: the state in which nothing is waited for any more.

    Raises:
        Unavailable: the wait ended unanswered.
    """

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        return await carried(open_profile, party, begin, doing=doing, wait=wait)

    document = as_member(profile, passphrase_file, work, role=role)
    emit(document, facts(document) + next_step(document))
    if document["state"] != done and wait > 0:
        raise unanswered(wait)
    return document
