"""`tally requester`: enrol, keep the device secret safe, and remove one."""

from __future__ import annotations

from typing import Annotated

import typer

from tigertally.cli import enrolment, options
from tigertally.cli.members import check_role, of_file, opened
from tigertally.cli.options import Force, In, NoWait, Out, PassphraseFile, Profile, Wait
from tigertally.cli.output import emit, facts
from tigertally.cli.outputs import claimed

app = typer.Typer(no_args_is_help=True)


@app.command(
    epilog="Example: tally requester enrol --profile app --url https://127.0.0.1:8440 "
    "--fingerprint F"
)
def enrol(
    profile: Profile,
    url: options.MaybeUrl = None,
    fingerprint: options.MaybeFingerprint = None,
    name: enrolment.MemberName = None,
    roster_hash: enrolment.RosterHashOption = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Become a requester, once the holders approve. Writes a recovery file: move it elsewhere."""
    from tigertally.quorum.card import Role

    enrolment.enrol(
        profile,
        role=Role.REQUESTER,
        target=enrolment.target_of(url, fingerprint, roster_hash, None),
        member=name,
        pin=None,
        yes=True,
        wait=options.waiting(wait, no_wait),
        passphrase_file=passphrase_file,
    )


@app.command(epilog="Example: tally requester backup --profile app --out app.recovery")
def backup(
    profile: Profile, out: Out, force: Force = False, passphrase_file: PassphraseFile = None
) -> None:
    """Write the device secret into a file sealed under the profile's passphrase."""
    from tigertally.cli.passphrase import passphrase_source
    from tigertally.node.profile import home, open_profile, read_info
    from tigertally.node.recovery import sealed_recovery
    from tigertally.quorum.card import Role

    output = claimed(out, force)
    check_role(read_info(home(), profile), Role.REQUESTER)
    passphrase = passphrase_source(passphrase_file, of=f"profile {profile}")()
    with (
        passphrase,
        open_profile(home(), profile, passphrase=lambda: passphrase) as open_profile_,
    ):
        sealed = sealed_recovery(open_profile_, passphrase)
    output.write(sealed)
    document = {"out": str(out), "bytes": len(sealed)}
    emit(document, facts(document))


@app.command(epilog="Example: tally requester restore --profile app2 --in app.recovery")
def restore(
    profile: Profile,
    in_: In,
    passphrase_file: PassphraseFile = None,
    file_passphrase_file: options.FilePassphraseFile = None,
) -> None:
    """Take a saved device secret into this profile, so that it makes the same final keys."""
    from tigertally.cli.passphrase import passphrase_source
    from tigertally.node.recovery import restore_recovery
    from tigertally.quorum.card import Role

    with opened(profile, passphrase_file, role=Role.REQUESTER) as open_profile:
        source = file_passphrase_file or passphrase_file
        with (
            passphrase_source(source, of=f"the recovery file {in_.name}")() as passphrase,
            of_file(in_, "a recovery file", "tally requester backup"),
        ):
            member = restore_recovery(open_profile, in_, passphrase)
    document = {"profile": str(profile), "restored": str(member)}
    emit(document, f"profile {profile} now has the device secret of {member}")


@app.command(epilog="Example: tally requester remove old-job --profile alice")
def remove(
    name: Annotated[
        str,
        typer.Argument(help="The requester to remove.", parser=options.parse_name, metavar="NAME"),
    ],
    profile: Profile,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Propose, as a holder, to remove a requester. Keys that it already has stay with it."""
    from tigertally.base.ids import Name
    from tigertally.cli.changes import change_roster
    from tigertally.quorum.changes import REQUESTER_REMOVE, remove_body

    change_roster(
        profile,
        passphrase_file,
        kind=REQUESTER_REMOVE,
        body=remove_body(Name(name)),
        done=lambda roster: all(one.name != name for one in roster.requesters),
        wait=options.waiting(wait, no_wait),
    )
