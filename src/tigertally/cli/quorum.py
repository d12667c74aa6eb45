"""`tally quorum`: how many holders must agree, and how many unlock."""

from __future__ import annotations

from typing import Annotated

import typer

from tigertally.cli import options
from tigertally.cli.options import NoWait, PassphraseFile, Profile, Wait

app = typer.Typer(no_args_is_help=True)


@app.callback()
def quorum() -> None:
    """Change how many holders must agree, and how many unlock."""


@app.command("set", epilog="Example: tally quorum set --threshold 4 --profile alice")
def set_(
    profile: Profile,
    threshold: Annotated[
        int,
        typer.Option("--threshold", min=2, max=255, help="The new quorum m."),
    ],
    unlock: Annotated[
        int, typer.Option("--unlock", min=1, max=255, help="How many holders unlock, at most m.")
    ] = 1,
    acks: options.Acks = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose another quorum. It needs the larger of the two; then every key is shared anew."""
    from tigertally.base.errors import UsageError
    from tigertally.cli.changes import change_roster
    from tigertally.quorum.changes import QUORUM, quorum_body

    if unlock > threshold:
        raise UsageError(f"--unlock {unlock} is more than the quorum of {threshold}")
    change_roster(
        profile,
        passphrase_file,
        kind=QUORUM,
        body=quorum_body(threshold, unlock, acks=acks or 0),
        done=lambda roster: (roster.threshold, roster.unlock) == (threshold, unlock),
        wait=options.waiting(wait, no_wait),
    )
