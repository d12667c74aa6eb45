"""`tally roster`: members and quorum, with every signature."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import UsageError
from tigertally.cli import options
from tigertally.cli.members import as_member, of_file
from tigertally.cli.options import Force, Out, PassphraseFile, Profile
from tigertally.cli.output import emit, facts
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.chain import Chain
    from tigertally.quorum.member.client import Party

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: tally roster show --profile alice")
def show(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """Fetch, verify and show the newest roster."""
    document = _document(_synced(profile, passphrase_file))
    emit(document, facts(_short(document)))


@app.command(epilog="Example: tally roster verify --in domain.roster --fingerprint F")
def verify(
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            envvar="TALLY_PROFILE",
            help="Verify the roster that this profile has, from its first version on.",
            metavar="NAME",
        ),
    ] = None,
    in_: Annotated[
        Path | None,
        typer.Option("--in", help="Verify an exported roster, offline.", metavar="FILE"),
    ] = None,
    fingerprint: options.MaybeFingerprint = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Verify every version of a roster: signatures, tallies, and that each follows the last."""
    from tigertally.base.errors import InvalidSignature
    from tigertally.base.ids import Name

    if in_ is not None:
        chain = read_chain(in_)
    elif profile is not None:
        chain = _verified_again(_synced(Name(profile), passphrase_file))
    else:
        raise UsageError("say --profile, or --in FILE")
    found = chain.current.authority.fingerprint
    if fingerprint is not None and fingerprint != found:
        raise InvalidSignature(f"the roster is of another authority, {found}")
    document = {"ok": True, **_document(chain), "authority": str(found)}
    emit(document, facts(_short(document)))


@app.command(epilog="Example: tally roster export --profile alice --out domain.roster")
def export(
    profile: Profile, out: Out, force: Force = False, passphrase_file: PassphraseFile = None
) -> None:
    """Write all versions into a file, by which anyone verifies tallies offline."""
    output = claimed(out, force)
    chain = _synced(profile, passphrase_file)
    output.write(chain.to_bytes())
    document = {"out": str(out), **_document(chain)}
    emit(document, facts(_short(document)))


def read_chain(path: Path) -> Chain:
    """An exported roster, verified from its first version on.

    Raises:
        UsageError: the file cannot be read.
        MalformedMessage, InvalidSignature, PeerFault, Refused
    """
    from tigertally.quorum.chain import parse_chain

    with of_file(path, "a roster", "tally roster export"):
        return parse_chain(path.read_bytes())


def _verified_again(chain: Chain) -> Chain:
    from tigertally.quorum.chain import verify_chain

    return verify_chain(chain.signed, chain.current.authority.signing_key)


def _synced(profile: Any, passphrase_file: Path | None) -> Chain:
    from tigertally.quorum.member.client import MemberClient

    async def work(open_profile: OpenProfile, party: Party) -> Chain:
        with open_profile.exclusive(doing="fetching the roster"):
            return (await MemberClient(party).sync()).chain

    return as_member(profile, passphrase_file, work)


def _document(chain: Chain) -> dict[str, Any]:
    roster = chain.current
    return {
        "version": roster.version,
        "hash": roster.hash,
        "threshold": roster.threshold,
        "unlock": roster.unlock,
        "holders": [
            {
                "index": int(holder.index),
                "name": holder.name,
                "fingerprint": str(holder.signing_key.fingerprint),
            }
            for holder in roster.holders
        ],
        "requesters": [
            {"name": one.name, "fingerprint": str(one.signing_key.fingerprint)}
            for one in roster.requesters
        ],
        "signed_by": _signed_by(chain),
    }


def _signed_by(chain: Chain) -> list[str]:
    """The authority, and the holders whose approvals made the newest version."""
    from tigertally.base.codec import decode
    from tigertally.quorum.approval import Approval
    from tigertally.quorum.tally import Tally

    signed = chain.signed[-1]
    if not signed.tally:
        return ["authority", str(chain.current.holders[0].name)]
    before = chain.rosters[-2]
    approvals = [decode(Approval, e.body) for e in decode(Tally, signed.tally).approvals]
    return ["authority", *(str(before.holder(a.holder).name) for a in approvals)]


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """For people: members by name."""
    return {
        **document,
        "holders": [f"{one['index']} {one['name']}" for one in document["holders"]],
        "requesters": [one["name"] for one in document["requesters"]],
    }
