"""`tally identity`: a person who owns data, or is given some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.base.ids import Name
from tigertally.cli import options
from tigertally.cli.members import opened
from tigertally.cli.options import Force, Out, PassphraseFile, Profile
from tigertally.cli.output import emit, facts
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.node.profile import ProfileInfo

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: tally identity init --profile ann")
def init(
    profile: Profile,
    name: Annotated[
        Name | None,
        typer.Option(
            "--name",
            help="The name on your card; the profile's name if not given.",
            parser=options.parse_name,
            metavar="NAME",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make the profile of a person: keys to sign, to own labels and to be given data."""
    from tigertally.base.clock import SystemClock
    from tigertally.base.randomness import SystemRandomness
    from tigertally.cli.passphrase import new_passphrase
    from tigertally.node.folders import taken
    from tigertally.node.profile import create_profile, home, profile_names
    from tigertally.quorum.card import Role

    if profile in profile_names(home()):
        raise taken(profile)
    with create_profile(
        home(),
        profile,
        role=Role.IDENTITY,
        member=name or profile,
        passphrase=new_passphrase(passphrase_file, of=f"profile {profile}"),
        randomness=SystemRandomness(),
        now=SystemClock().now(),
    ) as made:
        _say(made.info)


@app.command(epilog="Example: tally identity card --profile ann --out ann.card")
def card(
    profile: Profile, out: Out, force: Force = False, passphrase_file: PassphraseFile = None
) -> None:
    """Write your card, which others need to share with you. Tell them its fingerprint yourself."""
    from tigertally.base.codec import encode
    from tigertally.node.owner import identity_card
    from tigertally.quorum.card import Role

    output = claimed(out, force)
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile:
        output.write(encode(identity_card(open_profile)))
        _say(open_profile.info, out=str(out))


def _say(info: ProfileInfo, **more: str) -> None:
    document = {"name": str(info.member), "fingerprint": str(info.fingerprint), **more}
    emit(document, facts(document))
