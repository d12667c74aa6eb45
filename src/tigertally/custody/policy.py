"""Who may ask for what in custody, in which words approvers see it, and which numbers are wise."""

from __future__ import annotations

from collections.abc import Sequence

from tigertally.base.errors import Refused
from tigertally.base.ids import Name, Text
from tigertally.custody.messages import kinds
from tigertally.quorum.changes import split_warning
from tigertally.quorum.kinds import Kind
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.roster import Roster
from tigertally.quorum.words import clauses


def words_of_create(create: kinds.Create) -> str:
    """Return what approvers read."""
    mark = "IMPORT: the proposer will store a secret of its own under it" * create.imported
    return clauses(mark, *_flags(create), f"make the key {create.key}", *_terms(create))


def words_of_rotation(rotate: kinds.Rotate) -> str:
    """Return what approvers read."""
    return clauses(
        *_flags(rotate),
        f"make a new version of a key: {rotate.ref}",
        *_terms(rotate),
        "older versions stay usable until they are destroyed",
    )


def words_of_destruction(destroy: kinds.Destroy) -> str:
    """Return what approvers read."""
    which = "ALL VERSIONS" if destroy.version is None else f"version {destroy.version} alone"
    return clauses(
        f"destroy the key {destroy.key}, {which}",
        "what is encrypted under it stays closed FOR EVER",
        "every holder erases its fragments",
    )


def _flags(making: kinds.Making) -> tuple[str, ...]:
    """What makes a key weaker than others; first, so that no long list of names hides it."""
    return (
        "THE AUTHORITY SEES THIS KEY for moments" * making.suite.authority_deals,
        "UNATTENDED: holders may release it by rule" * making.options.unattended,
    )


def _terms(making: kinds.Making) -> tuple[str, ...]:
    who = ", ".join(making.options.requesters) if making.options.requesters else "any requester"
    return (
        f"suite {making.suite.value}",
        f"active once {making.acks} holders have it",
        f"{who} may ask for it",
    )


def warning_of_making(roster: Roster, making: kinds.Making) -> str:
    """What approvers read besides: could two keys of this name be certified?"""
    return split_warning(making.acks, roster.threshold, len(roster.holders))


def words_of_release(release: kinds.Release) -> str:
    """Return what approvers read."""
    if release.form is kinds.Form.PRIVATE:
        keeps = "the requester keeps the private key itself, or the secret imported as it"
        return clauses(f"FORM PRIVATE: {keeps}", f"release {release.ref}")
    return clauses(f"release {release.ref}", "form final, as its program promises")


def quotes_of_release(release: kinds.Release) -> tuple[tuple[str, Text], ...]:
    """Return why the requester says it needs the key."""
    return (("reason", release.reason),)


def holder_may_propose(roster: Roster, proposal: Proposal, body: object) -> None:
    """Keys are made by holders."""
    if roster.holder_of(proposal.proposer) is None:
        raise Refused(f"only a holder may propose {proposal.kind}")


def creator_may_propose(roster: Roster, proposal: Proposal, body: kinds.Create) -> None:
    """Keys are made by holders; an import is proposed by the requester that brings the secret."""
    if not body.imported:
        holder_may_propose(roster, proposal, body)
        return
    requester = roster.requester_of(proposal.proposer)
    if requester is None:
        raise Refused("only an enrolled requester may import a secret")
    if body.suite.authority_deals:
        raise Refused("an import needs pedersen-ed25519: else the authority could open the secret")
    check_may_ask(body.ref, body.options.requesters, str(requester.name))


def requester_may_propose(roster: Roster, proposal: Proposal, body: object) -> None:
    """Keys are asked for by requesters."""
    if roster.requester_of(proposal.proposer) is None:
        raise Refused("only an enrolled requester may ask for a key")


def check_acks(acks: int, roster: Roster) -> None:
    """At least a quorum, at most everybody; `Refused` otherwise."""
    if not roster.threshold <= acks <= len(roster.holders):
        raise Refused(
            f"acks is {roster.threshold} (the quorum) to {len(roster.holders)} (all holders)"
        )


def acks_warning(acks: int, threshold: int) -> str:
    """A warning where too few acknowledgements make a key fragile; empty if all is well.

    Below 2m - 1 acknowledgements, losing m - 1 of those holders before the others have synced
    loses the key.
    """
    if acks >= 2 * threshold - 1:
        return ""
    lost = acks - threshold + 1
    return (
        f"with {acks} acknowledgements the key is lost if {lost} of those holders "
        f"{'is' if lost == 1 else 'are'} lost before the others have synced"
    )


def some_of(names: Sequence[object], most: int = 3) -> str:
    """The first names and how many more there are, for a line that must stay short."""
    shown = ", ".join(str(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def check_may_ask(ref: kinds.KeyRef, requesters: tuple[Name, ...], name: str) -> None:
    """May this requester ask for the key? With none named at creation, any may; else `Refused`."""
    if requesters and name not in requesters:
        raise Refused(f"{name} may not ask for {ref}")


def check_requesters(create: kinds.Create, roster: Roster) -> None:
    """The requesters named exist; `Refused` otherwise."""
    known = {requester.name for requester in roster.requesters}
    unknown = [name for name in create.options.requesters if name not in known]
    if unknown:
        raise Refused(f"no requester is called {', '.join(unknown)}")


KINDS = (
    Kind(
        name=kinds.CREATE,
        parse=kinds.parse_create,
        words=words_of_create,
        warning=warning_of_making,
        may_propose=creator_may_propose,
    ),
    Kind(
        name=kinds.ROTATE,
        parse=kinds.parse_rotate,
        words=words_of_rotation,
        warning=warning_of_making,
        may_propose=holder_may_propose,
    ),
    Kind(
        name=kinds.DESTROY,
        parse=kinds.parse_destroy,
        words=words_of_destruction,
        may_propose=holder_may_propose,
    ),
    Kind(
        name=kinds.RELEASE,
        parse=kinds.parse_release,
        words=words_of_release,
        quotes=quotes_of_release,
        proposer="for {}",
        may_propose=requester_may_propose,
        takes_late_approvals=True,
    ),
)
