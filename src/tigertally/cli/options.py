"""Options that several commands share, each defined once.

Use as `profile: Profile`, or `profile: MaybeProfile = None` where it may be left out.

`--json` and `--debug` need no declaration: `cli/main.py` gives them to every command. Loading this
module must stay cheap: only what a command does may import cryptography.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from tigertally.base.errors import TigertallyError
from tigertally.base.ids import Fingerprint
from tigertally.base.ids import Name as NameValue
from tigertally.base.text import PlainText
from tigertally.cli.times import parse_duration

DEFAULT_WAIT = 300.0  # seconds; docs/commands.md

T = TypeVar("T")


def parsed(parse: Callable[[str], T], metavar: str) -> Callable[[str], T]:
    """A parser for an option: an error of ours becomes a usage error of the command line."""

    def parser(text: str) -> T:
        if not isinstance(text, str):  # typer parses defaults, too
            return text
        try:
            return parse(text)
        except TigertallyError as error:
            raise typer.BadParameter(str(error)) from error

    parser.__name__ = metavar  # what help shows
    return parser


def complete_profiles(incomplete: str) -> list[str]:
    """Names of profiles for shell completion; nothing where they cannot be read."""
    from tigertally.node.profile import home, profile_names

    try:
        return [str(name) for name in profile_names(home()) if name.startswith(incomplete)]
    except (TigertallyError, OSError):
        return []


def parse_url(text: str) -> str:
    """An authority's address, `https://HOST:PORT`."""
    if not re.fullmatch(r"https://[^\s/@?#]+", text.rstrip("/")):
        raise typer.BadParameter("an address is https://HOST:PORT")
    return text.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a daemon listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Address:
    """`HOST:PORT`, with an IPv6 address in brackets; port 0 lets the system choose one."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and re.fullmatch(r"\d{1,5}", port, re.ASCII) and int(port) <= 65535):
        raise typer.BadParameter("say HOST:PORT, for example 127.0.0.1:8440 or [::1]:8440")
    return Address(host=host, port=int(port))


def waiting(wait: float, no_wait: bool) -> float:
    """Seconds to wait for others, from the two options."""
    return 0.0 if no_wait else wait


parse_name = parsed(NameValue, "NAME")

_profile = typer.Option(
    "--profile",
    envvar="TALLY_PROFILE",
    help="Whose profile to use.",
    parser=parse_name,
    metavar="NAME",
    autocompletion=complete_profiles,
)
Profile = Annotated[NameValue, _profile]
MaybeProfile = Annotated[NameValue | None, _profile]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="Read the passphrase from the first line of this file, - is standard input. Else "
        "TALLY_PASSPHRASE, else the terminal.",
        metavar="FILE",
    ),
]
FilePassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--file-passphrase-file",
        help="The passphrase of the file itself, if it is another one than the profile's.",
        metavar="FILE",
    ),
]
Acks = Annotated[
    int | None,
    typer.Option(
        "--acks",
        min=2,
        help="Holders that must have the new fragments first, before old ones die; default all.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        help="How long to wait for others, in seconds or like 5m; then exit 4. The same command "
        "again resumes.",
        parser=parsed(lambda text: float(parse_duration(text)), "SECONDS"),
        metavar="SECONDS",
        show_default=f"{DEFAULT_WAIT:.0f}",
    ),
]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait: say what is pending.")]
_url = typer.Option(
    "--url",
    help="Where the authority listens.",
    parser=parsed(parse_url, "URL"),
    metavar="URL",
)
MaybeUrl = Annotated[str | None, _url]
MaybeFingerprint = Annotated[
    Fingerprint | None,
    typer.Option(
        "--fingerprint",
        help="The authority's fingerprint, told to you by a way you trust.",
        parser=parsed(Fingerprint.from_text, "FINGERPRINT"),
        metavar="FINGERPRINT",
    ),
]
_listen = typer.Option(
    "--listen",
    help="Address to listen on; port 0 takes a free one.",
    parser=parsed(parse_listen, "HOST:PORT"),
    metavar="HOST:PORT",
)
Listen = Annotated[Address, _listen]
_reason = typer.Option(
    "--reason",
    help="Why; the holders read it before they approve.",
    parser=parsed(PlainText, "TEXT"),
    metavar="TEXT",
)
Reason = Annotated[PlainText, _reason]
RejectionReason = Annotated[
    PlainText,
    typer.Option(
        "--reason",
        help="Why; the others read it.",
        parser=parsed(PlainText, "TEXT"),
        metavar="TEXT",
    ),
]
MaybeVersion = Annotated[int | None, typer.Option("--version", min=1, help="Default: the newest.")]
_in = typer.Option(
    "--in", help="File to read.", exists=True, dir_okay=False, readable=True, metavar="FILE"
)
In = Annotated[Path, _in]
MaybeIn = Annotated[Path | None, _in]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutName:
    """What `--out` says. Nothing writes to it: `outputs.claimed` makes an output of it."""

    text: str

    def __str__(self) -> str:
        return self.text


def parse_out(text: str) -> OutName:
    """The name of a file or folder to write."""
    if not text:
        raise typer.BadParameter("it names no file")
    return OutName(text=text)


OUT_HELP = "File to write, mode 0600; appears only when complete."
_out = typer.Option("--out", help=OUT_HELP, parser=parsed(parse_out, "FILE"), metavar="FILE")
Out = Annotated[OutName, _out]
MaybeOut = Annotated[OutName | None, _out]
OutPath = Annotated[
    OutName,
    typer.Option(
        "--out",
        help="File or folder to write, for you alone; appears only when complete.",
        parser=parsed(parse_out, "PATH"),
        metavar="PATH",
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Replace a file that is there; never the input, a back-up or a key.",
    ),
]
