"""`tally key`: make keys, import, rotate, look at, get and destroy them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import NewerVersion, Refused, Unavailable
from tigertally.cli import options
from tigertally.cli.changes import change_key
from tigertally.cli.members import as_member, next_step, unanswered
from tigertally.cli.options import (
    Acks,
    Force,
    In,
    NoWait,
    Out,
    PassphraseFile,
    Profile,
    Reason,
    Wait,
)
from tigertally.cli.output import emit, facts, note, table
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.custody.client.keys import Asked, KeyProposals
    from tigertally.custody.client.requester import Released
    from tigertally.custody.messages.kinds import Create
    from tigertally.custody.messages.options import KeyOptions
    from tigertally.custody.messages.sync import KeyInfo
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced
    from tigertally.quorum.roster import Roster

app = typer.Typer(no_args_is_help=True)

KeyName = Annotated[
    str, typer.Argument(help="The key's name.", parser=options.parse_name, metavar="NAME")
]

Requesters = Annotated[
    list[str] | None,
    typer.Option("--requester", help="Who may ask for it; several times; default anybody."),
]
Unattended = Annotated[
    bool, typer.Option("--unattended", help="Holders may release it by their rules alone.")
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
    acks: Acks = None,
    requester: Requesters = None,
    unattended: Unattended = False,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose a new key; this device's approval is in the proposal. Active once holders have it."""
    from tigertally.base.ids import Name
    from tigertally.custody.messages.kinds import Create, parse_suite

    seconds = options.waiting(wait, no_wait)
    asked = Create(
        key=Name(name),
        suite=parse_suite(suite),
        acks=acks or 0,
        options=_options(requester, unattended),
    )

    async def propose(keys: KeyProposals, synced: Synced) -> Asked:
        return await keys.propose_or_resume(_completed(asked, synced.roster), synced)

    change_key(
        profile, passphrase_file, propose, doing="proposing a key", done="active", wait=seconds
    )


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


@app.command(epilog="Example: tally key rotate payroll --profile alice")
def rotate(
    name: KeyName,
    profile: Profile,
    acks: Acks = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose a new version of a key, on its terms; older versions stay until destroyed."""
    from tigertally.base.ids import Name

    seconds = options.waiting(wait, no_wait)

    async def propose(keys: KeyProposals, synced: Synced) -> Asked:
        return await keys.rotate_or_resume(Name(name), acks, synced)

    change_key(
        profile, passphrase_file, propose, doing="rotating a key", done="active", wait=seconds
    )


@app.command(epilog="Example: tally key destroy payroll --version 1 --profile alice")
def destroy(
    name: KeyName,
    profile: Profile,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="This version alone. Default: ALL VERSIONS."),
    ] = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose to destroy a key: holders erase it, and what is under it stays closed for ever."""
    from tigertally.base.ids import Name
    from tigertally.custody.messages.kinds import Destroy

    seconds = options.waiting(wait, no_wait)
    body = Destroy(key=Name(name), version=version)

    async def propose(keys: KeyProposals, synced: Synced) -> Asked:
        return await keys.propose_or_resume(body, synced)

    doing = "destroying a key"
    change_key(profile, passphrase_file, propose, doing=doing, done="destroyed", wait=seconds)


def _options(requesters: list[str] | None, unattended: bool) -> KeyOptions:
    from tigertally.base.ids import Name
    from tigertally.custody.messages.options import KeyOptions

    names = sorted({Name(one) for one in requesters or ()})
    return KeyOptions.of(names, unattended=unattended)


@app.command("import", epilog="Example: tally key import wallet --profile app --in seed.txt")
def import_(
    name: KeyName,
    profile: Profile,
    in_: In,
    acks: Acks = None,
    requester: Requesters = None,
    unattended: Unattended = False,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Bring a secret of up to 64 KiB under the quorum; two approvals: make the key, release it."""
    from tigertally.base.ids import Name
    from tigertally.cli.imports import import_secret
    from tigertally.custody.messages.kinds import Create, Suite

    wanted = Create(
        key=Name(name),
        suite=Suite.PEDERSEN_ED25519,
        acks=acks or 0,
        options=_options(requester, unattended),
        imported=True,
    )
    import_secret(profile, passphrase_file, wanted, in_, options.waiting(wait, no_wait))


@app.command("list", epilog="Example: tally key list --profile alice --json")
def list_(profile: Profile, passphrase_file: PassphraseFile = None) -> None:
    """List the domain's keys, each with its margin: how many holders it can still lose."""
    found, unreadable = _keys(profile, passphrase_file, None)
    if unreadable:
        many = "1 key" if unreadable == 1 else f"{unreadable} keys"
        note(
            f"tally: warning: the authority cannot read {many} besides these: its store is "
            "damaged; whoever runs it finds more in its log"
        )
    columns = ("key", "version", "epoch", "state", "suite", "threshold", "acknowledged", "margin")
    emit(found, table(columns, [[one[c] for c in columns] for one in found], empty="no keys"))


@app.command(epilog="Example: tally key show payroll --profile alice")
def show(
    name: KeyName,
    profile: Profile,
    version: Annotated[
        int | None,
        typer.Option("--version", min=1, help="Default: the newest that is not destroyed."),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Show one key: who holds it, who is missing, and whether the authority ever sees it."""
    from tigertally.base.ids import Name

    every, _ = _keys(profile, passphrase_file, Name(name))
    found = [one for one in every if version in (None, one["version"])]
    if not found:
        which = f"{name} version {version}" if every else name
        raise Refused(f"there is no key {which} (yet)", advice="see `tally key list`")
    document = next((d for d in reversed(found) if d["state"] != "destroyed"), found[-1])
    document["versions"] = [{"version": d["version"], "state": d["state"]} for d in every]
    said = {
        **document,
        "removed": [_said_of(one) for one in document["removed"]],
        "versions": [f"{one['version']} {one['state']}" for one in document["versions"]],
    }
    emit(document, facts(said))


def _said_of(removed: dict[str, Any]) -> str:
    state = "its fragment is dead" if removed["dead"] else "ITS FRAGMENT IS NOT DEAD YET"
    return f"{removed['name']}: {state}"


def _keys(
    profile: Name, passphrase_file: Path | None, name: Name | None
) -> tuple[list[dict[str, Any]], int]:
    """All keys, or all versions of one; and how many more the authority cannot read."""
    from tigertally.cli.members import names_of
    from tigertally.custody.client.keys import ask_keys
    from tigertally.quorum.member.client import MemberClient

    async def work(_: OpenProfile, party: Party) -> tuple[list[dict[str, Any]], int]:
        names = names_of((await MemberClient(party).sync()).chain)
        reply = await ask_keys(party, name)
        return [_shown(info, names) for info in reply.keys], reply.unreadable

    return as_member(profile, passphrase_file, work)


def _seen_by_authority(info: KeyInfo) -> bool | None:
    try:
        return info.known_suite().authority_deals
    except NewerVersion:  # a newer program's suite: whether that is so is not known here
        return None


def _shown(info: KeyInfo, names: Mapping[int, str]) -> dict[str, Any]:
    from tigertally.custody.client.keys import is_usable

    lives = is_usable(info)
    return {
        "key": info.ref.name,
        "version": info.ref.version,
        "epoch": info.epoch,
        "state": info.state,
        "suite": info.suite,
        "threshold": info.threshold,
        "acknowledged": [int(index) for index in info.acknowledged],
        "missing": [int(index) for index in info.missing],
        "erased": [int(index) for index in info.erased],
        "acks": info.acks,
        "requesters": [str(one) for one in info.options.requesters],
        "unattended": info.options.unattended,
        "unknown_options": list(info.options.unknown),
        "seen_by_authority": _seen_by_authority(info),
        "imported": info.imported,
        "stored": info.stored,
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
    force: Force = False,
    form: Annotated[
        str,
        typer.Option(
            "--form",
            help="final: 32 bytes that only this device can make. private: the private key "
            "itself; holders are shown that you ask for it.",
            metavar="final|private",
        ),
    ] = "final",
    version: options.MaybeVersion = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Ask the holders for a key and write it to a file, mode 0600, once a quorum agrees."""
    from tigertally.cli.release import Wanted, released
    from tigertally.custody.messages.kinds import parse_form

    output = claimed(out, force, resumes=True)
    seconds = options.waiting(wait, no_wait)
    wanted = Wanted(
        name=name,
        version=version,
        reason=str(reason),
        form=parse_form(form),
        output=output,
        wait=seconds,
    )

    def use(key: Released, epoch: int) -> dict[str, Any]:
        with key.secret as secret:
            output.write(secret.to_secret_bytes(), key=True)
        return {**_got(key, epoch), "out": str(out)}

    document = released(profile, passphrase_file, wanted, use)
    emit(document, facts(document) + next_step(document))
    if document.get("state") == "waiting" and seconds > 0:
        raise unanswered(seconds)


def _got(key: Released, epoch: int) -> dict[str, Any]:
    return {
        "key": key.key.name,
        "version": key.key.version,
        "epoch": epoch,
        "approved_by": list(key.approved_by),
        "faulty": list(key.faulty),
    }
