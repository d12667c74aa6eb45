"""The table of commands: where each one is, and its line in `tally --help`.

To add a group, write `cli/GROUP.py` with `app = typer.Typer(no_args_is_help=True)` and a line
here; a single command is a function. Each command has a docstring, which is its help, and an
epilog that begins with `Example: tally …`. `--json`, `--debug` and, where a command does not
declare it, `--profile` are given to it by `cli/main.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Where a command is: a function `call` of a module, or a group, its `app`."""

    module: str
    help: str
    panel: str
    call: str = "app"
    example: str = ""


_EVERYWHERE, _CUSTODY = "Everywhere", "Quorum and custody"
_DELEGATION = "Delegation"
_HERE = "tigertally.cli."

COMMANDS: dict[str, Entry] = {
    "quickstart": Entry(
        module=_HERE + "quickstart",
        call="quickstart",
        help="Do the main job once, for real, on this machine, and say what happened.",
        panel=_EVERYWHERE,
        example="tally quickstart --file records.tar",
    ),
    "profile": Entry(
        module=_HERE + "profile",
        help="Profiles of this machine: who they are.",
        panel=_EVERYWHERE,
    ),
    "audit": Entry(
        module=_HERE + "audit",
        help="The audit log: check that nobody rewrote it, read it, prove entries.",
        panel=_EVERYWHERE,
    ),
    "version": Entry(
        module=_HERE + "version",
        call="version",
        help="Versions of tally, Python and the cryptographic libraries.",
        panel=_EVERYWHERE,
        example="tally version --json",
    ),
    "authority": Entry(
        module=_HERE + "authority",
        help="The server of a custody domain: make it, run it, ask it, back it up.",
        panel=_CUSTODY,
    ),
    "holder": Entry(
        module=_HERE + "holder",
        help="A key holder: enrol, approve, sync, unlock, remove.",
        panel=_CUSTODY,
    ),
    "requester": Entry(
        module=_HERE + "requester",
        help="A key requester: enrol, keep the device secret safe.",
        panel=_CUSTODY,
    ),
    "key": Entry(
        module=_HERE + "key",
        help="Keys under custody: create, import, rotate, get, destroy.",
        panel=_CUSTODY,
    ),
    "encrypt": Entry(
        module=_HERE + "files",
        call="encrypt",
        help="Encrypt a file under a key that a quorum releases.",
        panel=_CUSTODY,
        example='tally encrypt --profile app --key payroll --reason "year end" --in a --out a.tt',
    ),
    "decrypt": Entry(
        module=_HERE + "files",
        call="decrypt",
        help="Decrypt a file under a key that a quorum releases.",
        panel=_CUSTODY,
        example='tally decrypt --profile app --key payroll --reason "audit" --in a.tt --out a',
    ),
    "roster": Entry(
        module=_HERE + "roster",
        help="The roster: members and quorum, with every signature.",
        panel=_CUSTODY,
    ),
    "quorum": Entry(
        module=_HERE + "quorum",
        help="How many holders must agree, and how many unlock.",
        panel=_CUSTODY,
    ),
    "tally": Entry(
        module=_HERE + "tally",
        help="Tallies: operations with their approvals, to be verified offline.",
        panel=_CUSTODY,
    ),
    "identity": Entry(
        module=_HERE + "identity",
        help="A person who owns data, or is given some: keys and card.",
        panel=_DELEGATION,
    ),
    "write": Entry(
        module=_HERE + "data",
        call="write",
        help="Encrypt and sign a file or folder under a label, into a store.",
        panel=_DELEGATION,
        example="tally write report.pdf --profile ann --label reports/may.pdf --store /srv/data",
    ),
    "read": Entry(
        module=_HERE + "data",
        call="read",
        help="Read a file or folder from a store, and check who wrote it.",
        panel=_DELEGATION,
        example="tally read /srv/data/reports/may.pdf --profile ann --out may.pdf",
    ),
    "secret": Entry(
        module=_HERE + "secret",
        help="Small secrets in YAML and JSON documents, a key for each field.",
        panel=_DELEGATION,
    ),
    "stream": Entry(
        module=_HERE + "stream",
        help="Live streams, encrypted and signed record by record.",
        panel=_DELEGATION,
    ),
}
