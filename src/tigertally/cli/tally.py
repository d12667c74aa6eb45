"""`tally tally`: what a quorum has approved, exported and verified offline by anyone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import Refused, UsageError
from tigertally.cli.members import as_member, of_file
from tigertally.cli.options import Force, Out, PassphraseFile, Profile
from tigertally.cli.output import emit, table
from tigertally.cli.outputs import claimed
from tigertally.cli.proposals import document_of, lines_of, quoted_of, quotes_in, row_of
from tigertally.cli.question import at_terminal, named_by
from tigertally.cli.roster import read_chain

if TYPE_CHECKING:
    from tigertally.base.ids import Name, ProposalId
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.chain import Chain
    from tigertally.quorum.member.client import Party
    from tigertally.quorum.member.memory import Seen
    from tigertally.quorum.tally import VerifiedTally
    from tigertally.quorum.words import Quote

app = typer.Typer(no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        help="The proposal's id. On a terminal also its first 8 digits or more.", metavar="ID"
    ),
]
RosterFile = Annotated[
    Path, typer.Option("--roster", help="An exported roster of the domain.", metavar="FILE")
]


@app.command("list", epilog="Example: tally tally list --profile alice")
def list_(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """List proposals with their outcome, verified against the rosters they were put to."""
    found = _tallies(profile, passphrase_file)
    emit(
        [{**document_of(seen), "state": seen.state.status.value} for seen in found],
        table(
            ("id", "what", "by", "yes", "state"),
            [row_of(seen, seen.state.status.value) for seen in found],
            empty="no proposals yet",
        ),
    )


def _tallies(profile: Name, passphrase_file: Path | None) -> tuple[Seen, ...]:
    from tigertally.quorum.member.client import MemberClient

    async def work(open_profile: OpenProfile, party: Party) -> tuple[Seen, ...]:
        with open_profile.exclusive(doing="fetching tallies"):
            return await MemberClient(party).tallies(0)

    return as_member(profile, passphrase_file, work)


@app.command(epilog="Example: tally tally export 3f2a81bc --profile alice --out p4.tally")
def export(
    id_: Id,
    profile: Profile,
    out: Out,
    force: Force = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a complete tally into a file that anyone can verify with the roster."""
    from tigertally.base.codec import encode
    from tigertally.quorum.member.memory import UnknownProposal
    from tigertally.quorum.pending import Status

    named = named_by(id_, beginning=at_terminal())
    output = claimed(out, force)
    if isinstance(named, str):
        found = _begun_so(named, _tallies(profile, passphrase_file))
    else:
        found = _found(named, profile, passphrase_file)
    if found.state.status is not Status.COMPLETE:
        raise Refused(f"the proposal is {found.state.status.value}: there is no tally")
    if isinstance(found, UnknownProposal):
        raise found.refusal()
    output.write(encode(found.tally()))
    document = {"out": str(out), **document_of(found)}
    emit(document, lines_of(document, quotes_in(found)))


def _begun_so(beginning: str, seen: tuple[Seen, ...]) -> Seen:
    """Return the one proposal of the whole history whose id begins so.

    Raises:
        UsageError: there is none, or several.
    """
    found = [one for one in seen if str(one.id).startswith(beginning)]
    if len(found) != 1:
        many = "several proposals begin" if found else "no proposal begins"
        raise UsageError(f"{many} with {beginning}", advice="see `tally tally list --json`")
    return found[0]


def _found(id_: ProposalId, profile: Name, passphrase_file: Path | None) -> Seen:
    from tigertally.quorum.member.client import MemberClient

    async def work(open_profile: OpenProfile, party: Party) -> Seen:
        client = MemberClient(party)
        with open_profile.exclusive(doing="fetching a tally"):
            return await client.find(id_, await client.sync())

    return as_member(profile, passphrase_file, work)


@app.command(epilog="Example: tally tally verify p4.tally --roster domain.roster")
def verify(
    file: Annotated[Path, typer.Argument(help="An exported tally.", metavar="FILE")],
    roster: RosterFile,
) -> None:
    """Verify a tally offline: who approved what. Needs no profile and no network."""
    from tigertally.base.codec import decode
    from tigertally.quorum.tally import Tally

    chain = read_chain(roster)
    with of_file(file, "a tally", "tally tally export"):
        tally = decode(Tally, file.read_bytes())
    document, quotes = _verified(tally, chain)
    emit(document, lines_of(document, quotes))


@contextmanager
def _of_no_tally() -> Iterator[None]:
    """What is refused here is no tally: `PeerFault`."""
    from tigertally.base.errors import PeerFault

    try:
        yield
    except Refused as error:
        raise PeerFault(f"this is no tally of that domain: {error}") from error


def _verified(tally: Any, chain: Chain) -> tuple[dict[str, Any], Sequence[Quote]]:
    from tigertally.base.errors import NewerVersion
    from tigertally.node.kinds import all_kinds
    from tigertally.quorum.kinds import proposer_name, words_of
    from tigertally.quorum.proposal import open_proposal
    from tigertally.quorum.tally import verify_any_tally, verify_tally
    from tigertally.quorum.words import quoted

    proposal = open_proposal(tally.proposal)
    put_to = chain.for_proposal(proposal)
    proposer = proposer_name(chain, proposal)
    try:
        words = words_of(all_kinds(), proposal, put_to, by=proposer)
    except NewerVersion as error:  # it may be good: how many must agree to it is not known here
        with _of_no_tally():
            verify_any_tally(tally, put_to)
        raise NewerVersion(
            "this tally was made by a newer version of the program: verify it with that; not "
            f"understood: {quoted(str(error))}"
        ) from error
    with _of_no_tally():
        verified: VerifiedTally = verify_tally(tally, put_to)
    document = {
        "ok": True,
        "kind": verified.proposal.kind,
        "summary": words.facts,
        "quoted": quoted_of(words.quotes),
        "approved_by": [str(put_to.holder(index).name) for index in verified.approved_by],
        "id": str(verified.id),
        "roster_version": put_to.version,
        "current": put_to.electorate == chain.current.electorate,
    }
    return document, words.quotes
