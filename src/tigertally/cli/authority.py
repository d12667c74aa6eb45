"""`tally authority`: make a domain's server, run it, ask how it stands, back it up."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.base.errors import UsageError
from tigertally.cli import options
from tigertally.cli.members import check_role, of_file
from tigertally.cli.options import (
    Address,
    Force,
    In,
    Listen,
    MaybeFingerprint,
    MaybeUrl,
    Out,
    Profile,
)
from tigertally.cli.output import emit, facts
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.base.ids import Fingerprint as FingerprintValue
    from tigertally.base.ids import Name as NameValue
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.messages import DomainInfo

app = typer.Typer(no_args_is_help=True)

Threshold = Annotated[
    int,
    typer.Option("--threshold", min=2, max=255, help="The quorum m: how many holders must agree."),
]
Unlock = Annotated[
    int, typer.Option("--unlock", min=1, max=255, help="How many holders unlock it, at most m.")
]

BackupPassphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file whose first line is the back-up's passphrase.",
        metavar="FILE",
    ),
]


_GIVE_PIN = "The PIN enrols the first holder, once. Give fingerprint and PIN to that person only."


@app.command(
    epilog="Example: tally authority init --profile hq --listen 127.0.0.1:8440 --threshold 3"
)
def init(profile: Profile, listen: Listen, threshold: Threshold, unlock: Unlock = 1) -> None:
    """Make a new domain's authority, and the one-time PIN of its first holder."""
    from tigertally.base.clock import SystemClock
    from tigertally.base.ids import Name
    from tigertally.base.randomness import SystemRandomness
    from tigertally.node.profile import create_profile, home
    from tigertally.quorum.authority.admission import Settings, put_settings
    from tigertally.quorum.card import Role, sign_card
    from tigertally.quorum.enrolment import make_pin, new_pin_state

    if unlock > threshold:
        raise UsageError(f"--unlock {unlock} is more than the quorum of {threshold}")
    address = _with_port(listen)
    url = f"https://{address}"
    randomness = SystemRandomness()
    pin = make_pin(randomness)
    with create_profile(
        home(),
        profile,
        role=Role.AUTHORITY,
        member=Name("authority"),
        passphrase=None,
        randomness=randomness,
        now=SystemClock().now(),
    ) as opened:
        card = sign_card(
            opened.signing_key,
            opened.wrapping_key.public,
            name=Name("authority"),
            role=Role.AUTHORITY,
        )
        settings = Settings(card=card, threshold=threshold, unlock=unlock, url=url)
        with opened.plain_store.transaction() as tx:
            put_settings(tx, settings, new_pin_state(pin))
        fingerprint = opened.info.fingerprint
    document = {"url": url, "fingerprint": str(fingerprint), "pin": pin}
    emit(
        document,
        facts(document) + f"\n{_GIVE_PIN}",
    )


def _with_port(listen: Address) -> Address:
    """A fixed port, also when any free one is wanted: holders must find it again."""
    if listen.port:
        return listen
    with socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET) as probe:
        probe.bind((listen.host, 0))
        return Address(host=listen.host, port=probe.getsockname()[1])


def _opened(profile: NameValue) -> OpenProfile:
    from tigertally.node.profile import home, open_profile, read_info
    from tigertally.quorum.card import Role

    check_role(read_info(home(), profile), Role.AUTHORITY)
    return open_profile(home(), profile, passphrase=None)


@app.command(epilog="Example: tally authority pin --profile hq")
def pin(profile: Profile) -> None:
    """Make a fresh PIN for the first holder: the old one is lost, or void after five wrong tries.

    The authority may run meanwhile. Refused once the domain has a holder.
    """
    from tigertally.base.clock import SystemClock
    from tigertally.base.randomness import SystemRandomness
    from tigertally.quorum.authority.admission import renew_pin

    with _opened(profile) as opened, opened.plain_store.transaction() as tx:
        made = renew_pin(
            tx, opened.signing_key, now=SystemClock().now(), randomness=SystemRandomness()
        )
    document = {"pin": made}
    emit(document, facts(document) + f"\n{_GIVE_PIN}")


@app.command(epilog="Example: tally authority run --profile hq")
def run(profile: Profile) -> None:
    """Run the authority until it is stopped. It comes up locked; a holder unlocks it."""
    from tigertally.cli.options import parse_listen
    from tigertally.host.daemon import prepare
    from tigertally.host.daemon import run as run_daemon
    from tigertally.node.daemon import run_authority
    from tigertally.quorum.authority.admission import get_settings

    with _opened(profile) as opened, opened.exclusive(wait=1.0, doing="running the authority"):
        with opened.plain_store.reading() as reader:
            url = get_settings(reader).url
        address = parse_listen(url.removeprefix("https://"))
        prepare()
        run_daemon(run_authority(opened, host=address.host, port=address.port, url=url))


@app.command(epilog="Example: tally authority backup --profile hq --out hq.backup")
def backup(
    profile: Profile,
    out: Out,
    force: Force = False,
    passphrase_file: BackupPassphrase = None,
) -> None:
    """Write everything that the authority keeps into one file under a passphrase.

    It may run meanwhile. The file and its passphrase hold the authority's signing key, but no
    key of the domain opens with them.
    """
    from tigertally.base.clock import SystemClock
    from tigertally.base.randomness import SystemRandomness
    from tigertally.cli.passphrase import new_passphrase
    from tigertally.node.backup import write_backup

    output = claimed(out, force)
    with (
        _opened(profile) as opened,
        new_passphrase(passphrase_file, of=f"the back-up {output.path.name}") as passphrase,
    ):
        size, version = write_backup(
            opened, output, passphrase, randomness=SystemRandomness(), now=SystemClock().now()
        )
    document = {"out": str(out), "bytes": size, "roster_version": version}
    emit(document, facts(document))


@app.command(epilog="Example: tally authority restore --profile hq2 --in hq.backup")
def restore(profile: Profile, in_: In, passphrase_file: BackupPassphrase = None) -> None:
    """Make a new profile from a back-up. It comes up locked, and more holders must unlock it.

    Never run it beside the authority that it was made from.
    """
    from tigertally.base.clock import SystemClock
    from tigertally.base.randomness import SystemRandomness
    from tigertally.cli.passphrase import passphrase_source
    from tigertally.node.backup import restore_backup
    from tigertally.node.profile import home

    with of_file(in_, "a back-up", "tally authority backup"):
        size, version = restore_backup(
            home(),
            profile,
            in_,
            passphrase_source(passphrase_file, of=f"the back-up {in_.name}"),
            randomness=SystemRandomness(),
            now=SystemClock().now(),
        )
    document = {"profile": str(profile), "bytes": size, "roster_version": version}
    emit(
        document,
        facts(document) + "\nStart it with `tally authority run`; then holders unlock it.",
    )


@app.command(epilog="Example: tally authority status --profile hq --json")
def status(
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            envvar="TALLY_PROFILE",
            help="The authority's own profile.",
            metavar="NAME",
            autocompletion=options.complete_profiles,
        ),
    ] = None,
    url: MaybeUrl = None,
    fingerprint: MaybeFingerprint = None,
) -> None:
    """Say how an authority stands: forming, locked or ready."""
    from tigertally.node.connect import look_up

    if url is not None:
        if fingerprint is None:
            raise UsageError("--url needs --fingerprint: what the authority printed at init")
        where = url, fingerprint
    elif profile is not None:
        where = _own(profile)
    else:
        raise UsageError("say --profile, or --url and --fingerprint")
    document = _status(asyncio.run(look_up(*where)))
    emit(document, facts({**document, "unlock": _progress(document)}))


def _own(profile: str) -> tuple[str, FingerprintValue]:
    from tigertally.base.ids import Name
    from tigertally.quorum.authority.admission import get_settings

    with (
        _opened(Name(profile)) as opened,
        opened.plain_store.reading() as reader,
    ):
        return get_settings(reader).url, opened.info.fingerprint


def _status(info: DomainInfo) -> dict[str, object]:
    return {
        "state": info.state,
        "roster_version": info.roster_version,
        "roster_hash": info.roster_hash,
        "holders": info.holders,
        "threshold": info.threshold,
        "unlock": {"have": info.unlock_have, "need": info.unlock_need},
        "restored": info.restored,
    }


def _progress(document: dict[str, object]) -> str:
    unlock = document["unlock"]
    return "{have} of {need} holders".format(**unlock) if isinstance(unlock, dict) else "-"


@app.command(epilog="Example: tally authority scraper --out prometheus.pem")
def scraper(out: Out, force: Force = False) -> None:
    """Write a key and certificate with which a metrics collector opens `/metrics`.

    An authority answers nobody without a certificate. This one is of a fresh key that no roster
    lists. Needs no profile.
    """
    from tigertally.base.randomness import SystemRandomness
    from tigertally.crypto.certificates import identity_pem
    from tigertally.crypto.signatures import SigningKey

    output = claimed(out, force)
    key = SigningKey.generate(SystemRandomness())
    output.write(identity_pem(key), key=True)
    document = {"out": str(out), "fingerprint": str(key.public.fingerprint)}
    emit(document, facts(document))
