"""What the commands of holders and requesters share: open a profile, connect, take turns."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tigertally.base.errors import MalformedMessage, TigertallyError, Unavailable, UsageError
from tigertally.base.ids import Name
from tigertally.cli.errors import UnfitFile
from tigertally.cli.output import note
from tigertally.cli.passphrase import passphrase_source
from tigertally.cli.times import format_duration

if TYPE_CHECKING:
    from tigertally.custody.client.report import Report
    from tigertally.node.profile import OpenProfile, ProfileInfo
    from tigertally.quorum.card import Role
    from tigertally.quorum.chain import Chain
    from tigertally.quorum.member.client import Party

T = TypeVar("T")


def check_role(info: ProfileInfo, role: Role) -> None:
    """`UsageError` if the profile is of another role."""
    if info.role is not role:
        raise UsageError(f"profile {info.profile} is {info.role.words}, not {role.words}")


def opened(profile: Name, passphrase_file: Path | None, *, role: Role | None = None) -> OpenProfile:
    """Open a member's profile.

    Raises:
        UsageError: it is of another role.
    """
    from tigertally.node.profile import home, open_profile, read_info

    try:
        info = read_info(home(), profile)
    except UsageError as error:
        if role is not None and role.value == "identity":
            error.add_note(f"`tally identity init --profile {profile}` makes it")
        raise
    if role is not None:
        check_role(info, role)
    ask = passphrase_source(passphrase_file, of=f"profile {profile}")
    return open_profile(home(), profile, passphrase=ask)


def as_member(
    profile: Name,
    passphrase_file: Path | None,
    work: Callable[[OpenProfile, Party], Awaitable[T]],
    *,
    role: Role | None = None,
) -> T:
    """Run something as a member of a domain, over one connection to its authority."""
    with opened(profile, passphrase_file, role=role) as open_profile:
        return run_as(open_profile, work)


def run_as(open_profile: OpenProfile, work: Callable[[OpenProfile, Party], Awaitable[T]]) -> T:
    """Run something as the member of an open profile, over one connection to its authority."""
    from tigertally.node.connect import connected

    async def whole() -> T:
        async with connected(open_profile) as party:
            return await work(open_profile, party)

    try:
        return asyncio.run(whole())
    finally:
        with suppress(TigertallyError):  # of this no command fails that has done its work
            tell_notices(open_profile)
            tell_owed(open_profile)


def tell_notices(open_profile: OpenProfile) -> None:
    """Tell the person, once, what this device has learned of a restored authority."""
    from tigertally.quorum.member.witness import forget_notices, notices

    with open_profile.store.reading() as reader:
        lines = notices(reader)
    for line in lines:
        note(f"tally: notice: {line}")
    if lines:
        with open_profile.store.transaction() as tx:
            forget_notices(tx)


def tell_owed(open_profile: OpenProfile) -> None:
    """Scrub what is owed; tell the person where that has not been possible for a day."""
    from tigertally.base.clock import SystemClock
    from tigertally.base.limits import ERASURE_OWED_SECONDS
    from tigertally.cli.times import format_time
    from tigertally.storage.erasure import pay

    left = pay(open_profile.store)
    if left is None or SystemClock().now() - left.since < ERASURE_OWED_SECONDS:
        return
    since = f"since {format_time(left.since)}" if left.since else "for long"
    note(
        f"tally: notice: what this device has erased may still be in its files, {since}: close "
        f"what else has {open_profile.info.store} open, or free some space"
    )


def names_of(chain: Chain) -> dict[int, str]:
    """Every holder's name by its index, removed ones' too."""
    return {int(h.index): str(h.name) for roster in chain.rosters for h in roster.holders}


@contextmanager
def of_file(path: Path, kind: str, made_by: str) -> Iterator[None]:
    """Errors of reading a file that another command wrote, with its name and that command's.

    Args:
        kind: what it should be, with its article.
        made_by: the command that writes such files.

    Raises:
        UsageError: it cannot be read.
        Unavailable: there is no room for what is made of it.
        MalformedMessage: it is something else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):  # reading takes no room
            raise Unavailable(f"the disk has no room: {error.strerror}") from error
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except MalformedMessage as error:
        named = UnfitFile(f"{path} is not {kind} as `{made_by}` writes it: {error}")
        raise named from error


def next_step(document: Mapping[str, Any]) -> str:
    """What makes a proposal go on, as a last line for people; empty where it is done."""
    if document.get("state") != "waiting" or not document.get("proposal"):
        return ""
    command = f"tally holder approve {document['proposal']}"
    return f"\nHolders approve it: `{command}`. Then the same command again."


def unanswered(wait: float) -> Unavailable:
    """The error of a wait that ends unanswered."""
    error = Unavailable(f"not enough holders have answered within {format_duration(wait)}")
    error.add_note("the same command again resumes")
    return error


def warn(report: Report) -> None:
    """Say what went wrong in a sync, without failing: other keys are not held up by it."""
    for problem in report.problems:
        note(f"tally: warning: {problem}")
