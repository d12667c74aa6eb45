"""Changes of the roster: what each roster kind says, in words, and what it makes of a roster.

`apply_change` is the one place where a roster follows from its predecessor; the authority uses it
to make the next version and everybody else to check that it made the right one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tigertally.base.codec import Wire, decode, encode
from tigertally.base.errors import MalformedMessage, NewerVersion, Refused
from tigertally.base.ids import HolderIndex, Name, RosterHash, Text
from tigertally.base.limits import MAX_HOLDERS, MIN_QUORUM
from tigertally.crypto.envelope import Envelope
from tigertally.quorum.card import Card, Role, open_card
from tigertally.quorum.proposal import Proposal, options_body
from tigertally.quorum.roster import Holder, Requester, Roster
from tigertally.quorum.words import clauses

JOIN = Name("roster.join")
REMOVE = Name("roster.remove")
QUORUM = Name("roster.quorum")
REQUESTER_JOIN = Name("requester.join")
REQUESTER_REMOVE = Name("requester.remove")
KINDS = frozenset({JOIN, REMOVE, QUORUM, REQUESTER_JOIN, REQUESTER_REMOVE})
JOINS = frozenset({JOIN, REQUESTER_JOIN})
_MOST_NAMED = 5  # options of a body, in an error's line: a stranger's body may have thousands


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A holder or requester wants in. `invited_by` is the name of the holder who pulls it in."""

    card: Card
    invited_by: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """A member is to go. `acks`: how many holders must have the new epochs (0: all that stay)."""

    name: Name
    acks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetQuorum:
    """The quorum m and the unlock number u are to change."""

    threshold: int
    unlock: int
    acks: int


def option(options: dict[str, Wire], name: str, kind: type) -> Wire:
    """One option of a body, of exactly this plain type; raises `MalformedMessage`."""
    value = options.get(name)
    if type(value) is not kind:
        raise MalformedMessage(f"option {name} is missing or not {kind.__name__}")
    return value


def only_options(options: dict[str, Wire], *names: str) -> None:
    """Refuse a body with an option that nobody would show the approver; raises `NewerVersion`."""
    extra = sorted(set(options) - set(names))
    if extra:
        more = f" and {len(extra) - _MOST_NAMED} more" if len(extra) > _MOST_NAMED else ""
        raise NewerVersion(f"unknown options: {', '.join(extra[:_MOST_NAMED])}{more}")


def join_body(card: Envelope, *, invited_by: str = "") -> bytes:
    """The body of a join: the joiner's signed card."""
    name = open_card(card).name
    return options_body(name=str(name), card=encode(card), invited_by=invited_by)


def _parse_join(options: dict[str, Wire], role: Role) -> Join:
    only_options(options, "name", "card", "invited_by")
    card = open_card(decode(Envelope, option(options, "card", bytes)))
    if card.role is not role or card.name != option(options, "name", str):
        raise MalformedMessage("the card in a join has the role and the name of the join")
    return Join(card=card, invited_by=Text(option(options, "invited_by", str)))


def parse_holder_join(options: dict[str, Wire]) -> Join:
    """Parse the body of `roster.join`."""
    return _parse_join(options, Role.HOLDER)


def parse_requester_join(options: dict[str, Wire]) -> Join:
    """Parse the body of `requester.join`."""
    return _parse_join(options, Role.REQUESTER)


def parse_remove(options: dict[str, Wire]) -> Remove:
    """Parse the body of `roster.remove`."""
    only_options(options, "name", "acks")
    return Remove(name=Name(option(options, "name", str)), acks=_acks(options))


def parse_requester_removal(options: dict[str, Wire]) -> Remove:
    """Parse the body of `requester.remove`: no epoch follows, so it speaks of none."""
    only_options(options, "name")
    return Remove(name=Name(option(options, "name", str)), acks=0)


def _acks(options: dict[str, Wire]) -> int:
    acks = option(options, "acks", int) if "acks" in options else 0
    if not 0 <= acks <= MAX_HOLDERS:
        raise MalformedMessage("acks is 0 (all) to 255")
    return int(acks)


def remove_body(name: Name, *, acks: int = 0) -> bytes:
    """The body of `roster.remove` and `requester.remove`."""
    return options_body(name=str(name), **({"acks": acks} if acks else {}))


def quorum_body(threshold: int, unlock: int, *, acks: int = 0) -> bytes:
    """The body of `roster.quorum`."""
    return options_body(threshold=threshold, unlock=unlock, **({"acks": acks} if acks else {}))


def acks_of_change(proposal: Proposal, new: Roster) -> int:
    """How many holders of the new roster must acknowledge the epochs that follow.

    All of them, or what a removal or change of quorum says; never fewer than the quorum.
    """
    acks = 0
    if proposal.kind == REMOVE:
        acks = parse_remove(proposal.options()).acks
    elif proposal.kind == QUORUM:
        acks = parse_quorum(proposal.options()).acks
    everybody = len(new.holders)
    return max(min(acks or everybody, everybody), min(new.threshold, everybody))


def parse_quorum(options: dict[str, Wire]) -> SetQuorum:
    """Parse the body of `roster.quorum`."""
    only_options(options, "threshold", "unlock", "acks")
    threshold, unlock = option(options, "threshold", int), option(options, "unlock", int)
    if not MIN_QUORUM <= threshold <= MAX_HOLDERS or not 1 <= unlock <= threshold:
        raise MalformedMessage("a quorum is 2 to 255 and unlock at most the quorum")
    return SetQuorum(threshold=threshold, unlock=unlock, acks=_acks(options))


def words_of_holder_join(join: Join) -> str:
    """Return what approvers read."""
    return clauses(f"let {join.card.name} join as a holder", f"fingerprint {join.card.fingerprint}")


def words_of_requester_join(join: Join) -> str:
    """Return what approvers read."""
    return clauses(
        f"let {join.card.name} join as a requester", f"fingerprint {join.card.fingerprint}"
    )


def quotes_of_join(join: Join) -> tuple[tuple[str, Text], ...]:
    """Return who has invited the joiner, as it says itself: nobody has checked that."""
    return (("invited by", join.invited_by),) if join.invited_by else ()


def words_of_holder_removal(remove: Remove) -> str:
    """Return what approvers read."""
    return clauses(
        f"remove the holder {remove.name}", "what it holds becomes worthless", _fewer_acks(remove)
    )


def words_of_requester_removal(remove: Remove) -> str:
    """Return what approvers read."""
    return clauses(f"remove the requester {remove.name}", "keys it already has stay with it")


def words_of_quorum(change: SetQuorum) -> str:
    """Return what approvers read."""
    return clauses(
        f"set the quorum to {change.threshold} and unlock to {change.unlock}", _fewer_acks(change)
    )


def _fewer_acks(change: Remove | SetQuorum) -> str:
    """Nothing that is signed is left unsaid: fewer acknowledgements make keys more fragile."""
    return f"keys go on once {change.acks} holders have new fragments" if change.acks else ""


def warning_of_removal(roster: Roster, remove: Remove) -> str:
    """What approvers read besides."""
    return split_warning(remove.acks, roster.threshold, len(roster.holders) - 1)


def warning_of_quorum(roster: Roster, change: SetQuorum) -> str:
    """What approvers read besides."""
    lowered = [
        f"{what} is lowered from {before} to {after}"
        for what, before, after in (
            ("the quorum", roster.threshold, change.threshold),
            ("unlock", roster.unlock, change.unlock),
        )
        if after < before
    ]
    split = split_warning(change.acks, change.threshold, len(roster.holders))
    return "; ".join((*lowered, *filter(None, [split])))


def split_warning(acks: int, threshold: int, holders: int) -> str:
    """Can two epochs be certified for two halves of the holders? 0 acknowledgements: all."""
    if not acks or acks + threshold > holders:
        return ""
    return (
        f"{acks} of {holders} acknowledgements are so few that a dishonest authority can give "
        "two parts of the holders fragments that do not go together"
    )


def joiner_proposes(roster: Roster, proposal: Proposal, join: Join) -> None:
    """A join is proposed by the one who wants in, with the key on its card."""
    if proposal.proposer != join.card.signing_key:
        raise Refused("a join is proposed by the joiner itself")
    if roster.name_of(proposal.proposer) in {m.name for m in roster.holders + roster.requesters}:
        raise Refused(f"{join.card.name} is a member already")


def holder_proposes(roster: Roster, proposal: Proposal, body: object) -> None:
    """Only a listed holder may propose this."""
    if roster.holder_of(proposal.proposer) is None:
        raise Refused(f"only a holder may propose {proposal.kind}")


def _with_holder(roster: Roster, join: Join) -> Roster:
    card = join.card
    holder = Holder(
        index=HolderIndex(roster.next_index),
        name=card.name,
        signing_key=card.signing_key,
        wrapping_key=card.wrapping_key,
    )
    return replace(roster, holders=(*roster.holders, holder), next_index=roster.next_index + 1)


def _with_requester(roster: Roster, join: Join) -> Roster:
    card = join.card
    requester = Requester(
        name=card.name, signing_key=card.signing_key, wrapping_key=card.wrapping_key
    )
    return replace(roster, requesters=(*roster.requesters, requester))


def _without_holder(roster: Roster, remove: Remove) -> Roster:
    left = tuple(holder for holder in roster.holders if holder.name != remove.name)
    if len(left) == len(roster.holders):
        raise Refused(f"no holder is called {remove.name}")
    if len(left) < roster.threshold:
        raise Refused(f"fewer than {roster.threshold} holders would remain")
    return replace(roster, holders=left)


def _without_requester(roster: Roster, remove: Remove) -> Roster:
    left = tuple(r for r in roster.requesters if r.name != remove.name)
    if len(left) == len(roster.requesters):
        raise Refused(f"no requester is called {remove.name}")
    return replace(roster, requesters=left)


def _with_quorum(roster: Roster, change: SetQuorum) -> Roster:
    if roster.forming:
        raise Refused("the quorum can be changed once there are enough holders for the present one")
    if change.threshold > len(roster.holders):
        raise Refused(f"a quorum of {change.threshold} needs as many holders")
    return replace(roster, threshold=change.threshold, unlock=change.unlock)


_APPLY: dict[str, tuple[Callable[..., object], Callable[..., Roster]]] = {
    JOIN: (parse_holder_join, _with_holder),
    REMOVE: (parse_remove, _without_holder),
    QUORUM: (parse_quorum, _with_quorum),
    REQUESTER_JOIN: (parse_requester_join, _with_requester),
    REQUESTER_REMOVE: (parse_requester_removal, _without_requester),
}


def check_known(proposal: Proposal) -> None:
    """Is this a change of the roster that this program can follow?

    Raises:
        NewerVersion: it changes the roster (it names the one it follows) in a way that is unknown.
    """
    if proposal.predecessor is not None and proposal.kind not in KINDS:
        raise NewerVersion(f"unknown kind of change: {proposal.kind}")


def apply_change(roster: Roster, proposal: Proposal, *, created: int) -> Roster:
    """The roster that follows when this proposal is carried out.

    Raises:
        Refused: the change makes no sense on this roster (unknown member, doubled key or name,
            too few left).
        MalformedMessage: no such kind, or a bad body.
        NewerVersion: an option that this program does not know.
    """
    if proposal.kind not in _APPLY:
        raise MalformedMessage(f"{proposal.kind} does not change the roster")
    parse, change = _APPLY[proposal.kind]
    body = parse(proposal.options())
    try:
        return replace(
            change(roster, body),
            version=roster.version + 1,
            previous=RosterHash(roster.hash),
            created=created,
        )
    except MalformedMessage as error:
        raise Refused(f"this change is not possible: {error}") from error
