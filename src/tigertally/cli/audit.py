"""`tally audit`: check that nobody rewrote the authority's log, and read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.cli.members import as_member
from tigertally.cli.options import PassphraseFile, Profile
from tigertally.cli.output import emit, facts, table

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.auditing import AuditReport
    from tigertally.quorum.client import Party

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: tally audit verify --profile alice --json")
def verify(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """Verify the whole log against everything that this and other holders have seen of it."""
    report = _report(profile, passphrase_file)
    checkpoint = report.checkpoint.checkpoint
    document = {
        "ok": True,
        "entries": checkpoint.size,
        "root": checkpoint.root,
        "cosigned_by": list(report.cosigned_by),
    }
    emit(document, facts(document))


@app.command("list", epilog="Example: tally audit list --profile alice --since 100")
def list_(
    profile: Profile,
    since: Annotated[int, typer.Option("--since", min=0, help="From this entry on.")] = 0,
    passphrase_file: PassphraseFile = None,
) -> None:
    """List the log's entries, verified like `tally audit verify`."""
    from tigertally.cli.times import format_time

    lines = [
        {
            "index": entry.index,
            "time": format_time(entry.time),
            "kind": entry.kind,
            "actor": entry.actor,
            "summary": entry.summary,
        }
        for entry in _report(profile, passphrase_file).entries
        if entry.index >= since
    ]
    columns = ("index", "time", "kind", "actor", "summary")
    emit(lines, table(columns, [[one[c] for c in columns] for one in lines], empty="no entries"))


def _report(profile: Name, passphrase_file: Path | None) -> AuditReport:
    from tigertally.quorum.auditing import AuditingClient

    async def work(open_profile: OpenProfile, party: Party) -> AuditReport:
        with open_profile.exclusive(doing="verifying the audit log"):
            return await AuditingClient(party).audit()

    return as_member(profile, passphrase_file, work)
