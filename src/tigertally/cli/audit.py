"""`tally audit`: check that nobody rewrote the authority's log, read it, prove entries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import UsageError
from tigertally.cli.members import as_member, of_file
from tigertally.cli.options import (
    Force,
    MaybeFingerprint,
    MaybeProfile,
    Out,
    PassphraseFile,
    Profile,
)
from tigertally.cli.output import emit, facts, table
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.audit.entry import AuditEntry
    from tigertally.base.ids import Fingerprint, Name
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.audit import AuditReport
    from tigertally.quorum.member.client import Party

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: tally audit verify --profile alice --json")
def verify(
    profile: MaybeProfile = None,
    proof: Annotated[
        Path | None,
        typer.Option("--proof", help="A file of `tally audit prove`: offline.", metavar="FILE"),
    ] = None,
    fingerprint: MaybeFingerprint = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Verify the whole log against all that holders have seen of it; or a proof, offline.

    A proof needs its file and the authority's fingerprint: no profile and no network.
    """
    if proof is not None:
        if fingerprint is None:
            raise UsageError("a proof is verified with the authority's --fingerprint")
        document = _verified(proof, fingerprint)
        proven = [f"{one['index']} {one['summary']}" for one in document["proven"]]
        emit(document, facts({**document, "proven": proven}))
        return
    if profile is None or fingerprint is not None:
        raise UsageError("say --profile NAME, or --proof FILE with --fingerprint F")
    report = _report(profile, passphrase_file)
    checkpoint = report.checkpoint.checkpoint
    document = {
        "ok": True,
        "entries": checkpoint.size,
        "root": checkpoint.root,
        "cosigned_by": list(report.cosigned_by),
    }
    emit(document, facts(document))


@app.command(epilog="Example: tally audit prove --index 12 --profile alice --out entry.proof")
def prove(
    index: Annotated[int, typer.Option("--index", min=0, help="The entry, by its number.")],
    profile: Profile,
    out: Out,
    force: Force = False,
    count: Annotated[
        int, typer.Option("--count", min=1, max=1000, help="How many entries from there on.")
    ] = 1,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Verify the log, then write entries into a file that a third party verifies offline.

    The file also shows the rosters, and with them all members' names and public keys.
    """
    from tigertally.quorum.member.audit import Audit
    from tigertally.quorum.member.client import MemberClient
    from tigertally.quorum.proof import verify_proof

    output = claimed(out, force)

    async def work(open_profile: OpenProfile, party: Party) -> tuple[bytes, Fingerprint]:
        member = MemberClient(party)
        with open_profile.exclusive(doing="proving audit entries"):
            raw = await Audit(member).prove(index, count)
        return raw, member.chain().current.authority.fingerprint

    raw, authority = as_member(profile, passphrase_file, work)
    proven = verify_proof(raw, authority)
    output.write(raw)
    document = {
        "out": str(out),
        "bytes": len(raw),
        "proven": len(proven.entries),
        "entries": proven.checkpoint.size,
        "fingerprint": str(authority),
    }
    emit(document, facts(document))


def _verified(path: Path, fingerprint: Fingerprint) -> dict[str, Any]:
    from tigertally.base.limits import MAX_MESSAGE_BYTES
    from tigertally.quorum.proof import verify_proof

    with of_file(path, "a proof", "tally audit prove"), path.open("rb") as file:
        proven = verify_proof(file.read(MAX_MESSAGE_BYTES + 1), fingerprint)
    return {
        "ok": True,
        "entries": proven.checkpoint.size,
        "root": proven.checkpoint.root,
        "cosigned_by": list(proven.entries[-1].cosigned_by),
        "authority": str(fingerprint),
        "proven": [
            {**_line(one.entry), "cosigned_by": list(one.cosigned_by)} for one in proven.entries
        ],
    }


def _line(entry: AuditEntry) -> dict[str, Any]:
    from tigertally.cli.times import format_time

    return {
        "index": entry.index,
        "time": format_time(entry.time),
        "kind": entry.kind,
        "actor": entry.actor,
        "summary": entry.summary,
    }


@app.command("list", epilog="Example: tally audit list --profile alice --since 100")
def list_(
    profile: Profile,
    since: Annotated[int, typer.Option("--since", min=0, help="From this entry on.")] = 0,
    passphrase_file: PassphraseFile = None,
) -> None:
    """List the log's entries, verified like `tally audit verify`."""
    lines = [
        _line(entry) for entry in _report(profile, passphrase_file).entries if entry.index >= since
    ]
    columns = ("index", "time", "kind", "actor", "summary")
    emit(lines, table(columns, [[one[c] for c in columns] for one in lines], empty="no entries"))


def _report(profile: Name, passphrase_file: Path | None) -> AuditReport:
    from tigertally.quorum.member.audit import Audit
    from tigertally.quorum.member.client import MemberClient

    async def work(open_profile: OpenProfile, party: Party) -> AuditReport:
        with open_profile.exclusive(doing="verifying the audit log"):
            return await Audit(MemberClient(party)).report()

    return as_member(profile, passphrase_file, work)
