"""Enrolment, the same for holders and requesters; the same command again goes on where it was."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import PeerFault, Refused, UsageError
from tigertally.base.ids import Fingerprint, Name, RosterHash
from tigertally.cli import options
from tigertally.cli.errors import one_line
from tigertally.cli.members import check_role, next_step, of_file, unanswered
from tigertally.cli.output import emit, facts, note
from tigertally.cli.times import format_time

if TYPE_CHECKING:
    from tigertally.base.secret import Secret
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.card import Role
    from tigertally.quorum.member.join import Joined, JoiningClient
    from tigertally.transport.channel import Channel

MemberName = Annotated[
    Name | None,
    typer.Option(
        "--name",
        help="Your name in the domain; the profile's name if not given.",
        parser=options.parse_name,
        metavar="NAME",
    ),
]
RosterHashOption = Annotated[
    RosterHash | None,
    typer.Option(
        "--roster-hash",
        help="The hash of a roster version, told to you by a member: refuse any other history.",
        parser=options.parsed(RosterHash.from_text, "HASH"),
        metavar="HASH",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which authority to enrol with, and what was told out of band."""

    url: str
    fingerprint: Fingerprint
    roster_hash: RosterHash | None
    invitation: bytes
    invited_by: str
    expires: int = 0

    def lines(self) -> list[str]:
        """What an invitation says, for the person who is about to follow it."""
        said = {
            "authority": self.url,
            "fingerprint": str(self.fingerprint),
            "invited by": self.invited_by,
            "roster": str(self.roster_hash),
            "good until": format_time(self.expires),
        }
        return [
            "This invitation says, and nothing proves it until the members have let you in:",
            *(f"  {name:<12}{one_line(value)}" for name, value in said.items()),
            "Compare the fingerprint with what the inviter tells you by another way.",
        ]


def target_of(
    url: str | None,
    fingerprint: Fingerprint | None,
    roster_hash: RosterHash | None,
    invitation: Path | None,
) -> Target:
    """From the options, or from an invitation file.

    Raises:
        UsageError: neither, or both.
        Refused: the invitation has expired.
    """
    if invitation is not None:
        if url is not None or fingerprint is not None:
            raise UsageError("an invitation says where the authority is: leave out --url")
        return _invited(invitation)
    if url is None or fingerprint is None:
        raise UsageError("say --url and --fingerprint, or --invitation")
    return Target(
        url=url, fingerprint=fingerprint, roster_hash=roster_hash, invitation=b"", invited_by=""
    )


def _invited(path: Path) -> Target:
    from tigertally.base.clock import SystemClock
    from tigertally.quorum.member.join import parse_invitation

    with of_file(path, "an invitation", "tally holder invite"):
        raw = path.read_bytes()
        invitation = parse_invitation(raw, now=SystemClock().now())
    return Target(
        url=invitation.url,
        fingerprint=invitation.authority,
        roster_hash=invitation.roster,
        invitation=raw,
        invited_by=str(invitation.inviter_name),
        expires=invitation.expires,
    )


def _check_trusted(target: Target, *, yes: bool) -> None:
    """Show whom an invitation makes this device trust; ask, where a person can answer.

    Its signature proves nothing to whoever has nothing else: anybody can make such a file.

    Raises:
        Refused: the person says no; nobody has been contacted.
    """
    from tigertally.cli import question

    if not target.invitation:
        return
    if yes or not question.person_sees():
        for line in target.lines():
            note(line)
        return
    question.show_lines(target.lines())
    question.ask("Go there?", otherwise="nobody was contacted", remains="nothing was made")


def enrol(
    profile: Name,
    *,
    role: Role,
    target: Target,
    member: Name | None,
    pin: str | None,
    yes: bool,
    wait: float,
    passphrase_file: Path | None,
) -> None:
    """Make the profile if there is none, ask to be let in, and say how it stands.

    Args:
        yes: do not ask whether an invitation is to be trusted.

    Raises:
        Unavailable: the wait ended unanswered.
        Refused: the members said no, or the PIN is wrong, or the person distrusts the invitation.
    """
    from tigertally.node.connect import AUTHORITY
    from tigertally.node.profile import home, profile_names

    fresh = profile not in profile_names(home())
    if fresh:
        _check_trusted(target, yes=yes)
    open_profile, passphrase = _profile(profile, role, member, passphrase_file, fresh=fresh)
    with open_profile, passphrase:
        if not fresh and AUTHORITY not in open_profile.settings():  # it has met nobody yet
            _check_trusted(target, yes=yes)
        try:
            joined = asyncio.run(_enrol(open_profile, role, target, pin, wait))
        except (Refused, UsageError, PeerFault) as error:
            if fresh:
                error.add_note(_left_over(open_profile))
            raise
        recovery = _recovery(open_profile, role, passphrase)
    roster = joined.roster
    holder = None if roster is None else roster.holder_of(open_profile.signing_key.public)
    document: dict[str, Any] = {
        "state": joined.state,
        "proposal": joined.proposal.hex() or None,
        "index": None if holder is None else int(holder.index),
        "roster_hash": None if roster is None else roster.hash,
        "fingerprint": str(open_profile.info.fingerprint),
    }
    if recovery is not None:
        document["recovery"] = str(recovery)
    emit(document, facts(document) + next_step(document))
    if joined.state == "waiting" and wait > 0:
        raise unanswered(wait)


def _left_over(open_profile: OpenProfile) -> str:
    info = open_profile.info
    return f"the new profile {info.profile} stays: try again with it, or delete {info.path}"


def _profile(
    profile: Name, role: Role, member: Name | None, passphrase_file: Path | None, *, fresh: bool
) -> tuple[OpenProfile, Secret]:
    """The profile, made if there is none, and the passphrase it is sealed under."""
    from tigertally.base.clock import SystemClock
    from tigertally.base.randomness import SystemRandomness
    from tigertally.cli.passphrase import new_passphrase, passphrase_source
    from tigertally.node.profile import (
        create_profile,
        home,
        open_profile,
        profile_names,
        read_info,
    )

    if not fresh:
        info = read_info(home(), profile)
        check_role(info, role)
        if member is not None and member != info.member:
            raise UsageError(
                f"profile {profile} is {info.member}, not {member}: a new name needs a new profile"
            )
        passphrase = passphrase_source(passphrase_file, of=f"profile {profile}")()
        return open_profile(home(), profile, passphrase=lambda: passphrase), passphrase
    passphrase = new_passphrase(passphrase_file, of=f"profile {profile}")
    try:
        made = create_profile(
            home(),
            profile,
            role=role,
            member=member or profile,
            passphrase=passphrase,
            randomness=SystemRandomness(),
            now=SystemClock().now(),
        )
    except UsageError:
        if profile not in profile_names(home()):
            raise
        # the same command, started at the same time, was faster: go on with its profile
        return open_profile(home(), profile, passphrase=lambda: passphrase), passphrase
    return made, passphrase


async def _enrol(
    open_profile: OpenProfile, role: Role, target: Target, pin: str | None, wait: float
) -> Joined:
    from tigertally.custody.client.holder import Holder
    from tigertally.node.connect import introduced, until
    from tigertally.quorum.card import Role as Roles
    from tigertally.quorum.member.client import MemberClient
    from tigertally.quorum.member.join import Joined, JoiningClient, check_invitation

    async with introduced(open_profile, target.url, target.fingerprint) as (party, key):
        joining = JoiningClient(party, name=open_profile.info.member, role=role, authority=key)

        said = b""
        if pin is None and role is Roles.HOLDER and not target.invitation:
            pin = await _pin_if_first(party.channel, target.fingerprint)

        async def step() -> Joined | None:
            nonlocal said
            with open_profile.exclusive(doing="enrolling"):
                joined = await _step(joining, target, pin)
            if joined.state == "enrolled":
                return joined
            if wait and said != joined.proposal:  # another one where the roster has changed
                note(f"waiting for holders to approve {joined.proposal.hex()}")
                said = joined.proposal
            return None

        done = await until(MemberClient(party), step, wait=wait)
        if done is None:
            with open_profile.exclusive(doing="enrolling"):
                return await _step(joining, target, pin)
        with open_profile.exclusive(doing="enrolling"):
            chain = await joining.fetch(wanted=target.roster_hash)
            if target.invitation:
                check_invitation(target.invitation, chain.current)
            if role is Roles.HOLDER:
                await Holder(party).sync()
        return Joined(state="enrolled", proposal=done.proposal, roster=chain.current)


async def _pin_if_first(channel: Channel, fingerprint: Fingerprint) -> str | None:
    """Ask the person for the PIN, where there is a terminal and the domain has no holder yet."""
    from tigertally.cli import question
    from tigertally.cli.passphrase import typed_pin
    from tigertally.quorum.member.join import fetch_domain

    if not question.person_sees():
        return None
    info = await fetch_domain(channel, fingerprint)
    return typed_pin() if info.roster_version == 0 else None


async def _step(joining: JoiningClient, target: Target, pin: str | None) -> Joined:
    try:
        done = await joining.enrolled_already()
    except Refused as error:
        error.add_note("a removed device does not come back: enrol with another profile")
        raise
    if done is not None:
        return done
    if pin is not None:
        return await joining.with_pin(pin, wanted=target.roster_hash)
    return await joining.ask(invited_by=target.invited_by, wanted=target.roster_hash)


def _recovery(open_profile: OpenProfile, role: Role, passphrase: Secret) -> Path | None:
    """A requester's recovery file, written once; it belongs in another place than this disk."""
    from tigertally.crypto.files import write_file
    from tigertally.node.recovery import RECOVERY_FILE, sealed_recovery
    from tigertally.quorum.card import Role as Roles

    if role is not Roles.REQUESTER:
        return None
    path = open_profile.info.path / RECOVERY_FILE
    if not path.exists():
        write_file(path, sealed_recovery(open_profile, passphrase), 0o600)
    return path
