"""`tally key`: make keys, look at them, get one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import Refused, Unavailable
from tigertally.cli import options
from tigertally.cli.members import as_member, unanswered, warn
from tigertally.cli.options import NoWait, Out, PassphraseFile, Profile, Reason, Wait
from tigertally.cli.output import emit, facts, note, table

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.custody.client.requester import Released
    from tigertally.custody.messages.bodies import Create
    from tigertally.custody.messages.sync import KeyInfo
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.client import Party
    from tigertally.quorum.roster import Roster

app = typer.Typer(no_args_is_help=True)

KeyName = Annotated[
    str, typer.Argument(help="The key's name.", parser=options.parse_name, metavar="NAME")
]


@app.command(epilog="Example: tally key create payroll --profile alice")
def create(
    name: KeyName,
    profile: Profile,
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="pedersen-ed25519: nobody but the requester ever has the key. shamir-gf256: the "
            "authority sees it for moments.",
            metavar="SUITE",
        ),
    ] = "pedersen-ed25519",
    acks: Annotated[
        int | None,
        typer.Option("--acks", min=2, help="Holders that must have it first; default all."),
    ] = None,
    requester: Annotated[
        list[str] | None,
        typer.Option("--requester", help="Who may ask for it; several times; default anybody."),
    ] = None,
    unattended: Annotated[
        bool, typer.Option("--unattended", help="Holders may release it by their rules alone.")
    ] = False,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose a new key; this device's approval is in the proposal. Active once holders have it."""
    from tigertally.base.ids import Name
    from tigertally.custody.messages.bodies import Create, parse_suite
    from tigertally.quorum.card import Role

    seconds = options.waiting(wait, no_wait)
    asked = Create(
        key=Name(name),
        suite=parse_suite(suite),
        acks=acks or 0,
        requesters=tuple(sorted({Name(one) for one in requester or ()})),
        unattended=unattended,
    )

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        return await _create(open_profile, party, asked, seconds)

    document = as_member(profile, passphrase_file, work, role=Role.HOLDER)
    emit(document, facts(document))
    if document["state"] != "active" and seconds > 0:
        raise unanswered(seconds)


def _completed(asked: Create, roster: Roster) -> Create:
    """With the number of acknowledgements: all holders, if none was given."""
    from tigertally.custody.policy import acks_warning

    if roster.forming:
        have = f"{len(roster.holders)} of {roster.threshold} holders"
        raise Unavailable(f"the domain is forming ({have}): no key can be made yet")
    complete = replace(asked, acks=asked.acks or len(roster.holders))
    if warning := acks_warning(complete.acks, roster.threshold):
        note(f"tally: warning: {warning}")
    return complete


async def _create(
    open_profile: OpenProfile, party: Party, wanted: Create, seconds: float
) -> dict[str, Any]:
    from tigertally.custody.client.creating import CreatingClient
    from tigertally.node.members import until

    client = CreatingClient(party)
    with open_profile.exclusive(doing="proposing a key"):
        synced, report = await client.sync_all()
        warn(report)
        asked = await client.propose_or_resume(_completed(wanted, synced.roster), synced)

    async def step() -> str | None:
        with open_profile.exclusive(doing="waiting for a key"):
            _, again = await client.sync_all(renew=False)
            warn(again)
            return "active" if await client.state_of(asked) == "active" else None

    await until(client, step, wait=seconds)
    state = await client.state_of(asked)
    if state == "active":
        client.forget(asked)
    return {"proposal": str(asked.id), "key": str(asked.body.key), "state": state}


@app.command("list", epilog="Example: tally key list --profile alice --json")
def list_(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """List the domain's keys, each with its margin: how many holders it can still lose."""
    found = _keys(profile, passphrase_file, None)
    columns = ("key", "version", "epoch", "state", "suite", "threshold", "acknowledged", "margin")
    emit(found, table(columns, [[one[c] for c in columns] for one in found], empty="no keys"))


@app.command(epilog="Example: tally key show payroll --profile alice")
def show(name: KeyName, profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """Show one key: who holds it, who is missing, and whether the authority ever sees it."""
    from tigertally.base.ids import Name

    found = _keys(profile, passphrase_file, Name(name))
    if not found:
        raise Refused(f"there is no key {name} (yet): see `tally key list`")
    document = found[-1]
    said = {**document, "removed": [_said_of(one) for one in document["removed"]]}
    emit(document, facts(said))


def _said_of(removed: dict[str, Any]) -> str:
    state = "its fragment is dead" if removed["dead"] else "ITS FRAGMENT IS NOT DEAD YET"
    return f"{removed['name']}: {state}"


def _keys(profile: Name, passphrase_file: Path | None, name: Name | None) -> list[dict[str, Any]]:
    from tigertally.cli.members import names_of
    from tigertally.custody.client.requester import RequesterClient

    async def work(_: OpenProfile, party: Party) -> list[dict[str, Any]]:
        client = RequesterClient(party)
        names = names_of((await client.sync()).chain)
        return [_shown(info, names) for info in await client.keys(name)]

    return as_member(profile, passphrase_file, work)


def _shown(info: KeyInfo, names: Mapping[int, str]) -> dict[str, Any]:
    from tigertally.custody.messages.bodies import Suite

    lives = info.state in ("active", "resharing")
    return {
        "key": info.ref.name,
        "version": info.ref.version,
        "epoch": info.epoch,
        "state": info.state,
        "suite": info.suite,
        "threshold": info.threshold,
        "acknowledged": [int(index) for index in info.acknowledged],
        "missing": [int(index) for index in info.missing],
        "acks": info.acks,
        "requesters": [str(one) for one in info.requesters],
        "unattended": info.unattended,
        "seen_by_authority": info.suite is Suite.SHAMIR_GF256,
        "trouble": list(info.trouble),
        "acknowledged_by": [names[index] for index in info.acknowledged],
        "waiting_for": [names[index] for index in info.missing],
        "margin": info.usable - info.threshold if lives else None,
        "removed": [
            {"index": int(one.holder), "name": names[one.holder], "dead": one.dead}
            for one in info.removed
        ],
    }


@app.command(
    epilog='Example: tally key get payroll --profile app --reason "restore test" --out key'
)
def get(
    name: KeyName,
    profile: Profile,
    reason: Reason,
    out: Out,
    form: Annotated[
        str,
        typer.Option(
            "--form",
            help="final: 32 bytes that only this device can make. private: the private key "
            "itself; holders are shown that you ask for it.",
            metavar="final|private",
        ),
    ] = "final",
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Default: the newest.")
    ] = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Ask the holders for a key and write it to a file, mode 0600, once a quorum agrees."""
    from tigertally.cli.releasing import Wanted, released
    from tigertally.crypto.files import check_output, write_file
    from tigertally.custody.messages.bodies import parse_form

    check_output(out)
    seconds = options.waiting(wait, no_wait)
    wanted = Wanted(
        name=name, version=version, reason=str(reason), form=parse_form(form), wait=seconds
    )

    def use(key: Released) -> dict[str, Any]:
        with key.secret as secret:
            write_file(out, secret.to_secret_bytes(), 0o600)
        return {**_got(key), "out": str(out)}

    document = released(profile, passphrase_file, wanted, use)
    emit(document, facts(document))
    if document.get("state") == "waiting" and seconds > 0:
        raise unanswered(seconds)


def _got(key: Released) -> dict[str, Any]:
    return {
        "key": key.key.name,
        "version": key.key.version,
        "epoch": key.epoch,
        "approved_by": list(key.approved_by),
        "faulty": list(key.faulty),
    }
