"""`tally profile`: which profiles this machine has, and who they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.base.errors import Corrupt
from tigertally.cli.options import PassphraseFile, Profile
from tigertally.cli.output import emit, facts, table
from tigertally.cli.times import format_time

if TYPE_CHECKING:
    from tigertally.node.profile import ProfileInfo

NewPassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--new-passphrase-file",
        help="Read the new passphrase from the first line of this file. Else the terminal.",
        metavar="FILE",
    ),
]

app = typer.Typer(no_args_is_help=True)


@app.command("list", epilog="Example: tally profile list --json")
def list_() -> None:
    """List the profiles of this machine; no passphrase is needed."""
    from tigertally.node.profile import home, profile_names, read_info

    there, damaged = [], []
    for name in profile_names(home()):
        try:
            there.append(read_info(home(), name))
        except Corrupt as error:
            damaged.append(error)
    emit(
        [_document(info) for info in there],
        table(
            ("profile", "role", "name", "fingerprint"),
            [(info.profile, info.role, info.member, info.fingerprint) for info in there],
            empty=_none_in(home()),
        ),
    )
    if damaged:
        raise damaged[0]


@app.command(epilog="Example: tally profile show --profile alice")
def show(profile: Profile) -> None:
    """Show who a profile is; no passphrase is needed."""
    from tigertally.node.profile import home, read_info

    info = read_info(home(), profile)
    document = _document(info)
    emit(document, facts({**document, "created": format_time(info.created)}))


@app.command(epilog="Example: tally profile passphrase --profile alice")
def passphrase(
    profile: Profile,
    passphrase_file: PassphraseFile = None,
    new_passphrase_file: NewPassphraseFile = None,
) -> None:
    """Seal a profile under a new passphrase. Copies of the old files keep the old one."""
    from tigertally.cli.passphrase import new_passphrase, passphrase_source
    from tigertally.node.profile import change_passphrase, home, read_info

    info = read_info(home(), profile)
    of = f"profile {profile}"
    change_passphrase(
        home(),
        profile,
        old=passphrase_source(passphrase_file, of=of),
        new=lambda: new_passphrase(new_passphrase_file, of=of, replaces=True),
    )
    emit(_document(info), f"profile {profile} has a new passphrase")


def _none_in(home: Path) -> str:
    said = f"no profiles in {home}"
    return said if home.is_dir() else f"{said}: there is no such directory (TALLY_HOME says which)"


def _document(info: ProfileInfo) -> dict[str, str | int]:
    return {
        "profile": info.profile,
        "role": info.role.value,
        "name": info.member,
        "fingerprint": str(info.fingerprint),
        "created": info.created,
        "store": info.store,
    }
