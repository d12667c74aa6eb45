"""`tally encrypt` and `tally decrypt`: files under a key that a quorum releases each time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import UsageError
from tigertally.cli import options
from tigertally.cli.members import next_step, of_file, unanswered
from tigertally.cli.options import Force, In, NoWait, Out, PassphraseFile, Profile, Reason, Wait
from tigertally.cli.output import emit, facts, progress
from tigertally.cli.outputs import claimed

if TYPE_CHECKING:
    from tigertally.base.ids import DomainId, Name
    from tigertally.cli.release import Wanted
    from tigertally.crypto.outputs import Output
    from tigertally.custody.client.requester import Released

Key = Annotated[
    str,
    typer.Option("--key", help="The key's name.", parser=options.parse_name, metavar="NAME"),
]


def encrypt(
    profile: Profile,
    key: Key,
    reason: Reason,
    in_: In,
    out: Out,
    force: Force = False,
    version: options.MaybeVersion = None,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Encrypt a file of any size under a key that the holders release for this reason."""
    from tigertally.base.randomness import SystemRandomness
    from tigertally.custody.files import FileHeader, encrypt_file

    output = claimed(out, force, reads=[in_], resumes=True)

    def use(released: Released, domain: DomainId) -> int:
        header = FileHeader(domain=domain, key=released.key)
        with (
            in_.open("rb") as source,
            output.file() as sink,
            progress("encrypting", in_.stat().st_size) as bar,
        ):
            return encrypt_file(
                released.secret,
                header,
                source,
                sink,
                randomness=SystemRandomness(),
                progress=bar,
            )

    wanted = _wanted(key, version, reason, output, options.waiting(wait, no_wait))
    _work(profile, passphrase_file, wanted, use)


def decrypt(
    profile: Profile,
    key: Key,
    reason: Reason,
    in_: In,
    out: Out,
    force: Force = False,
    wait: Wait = options.DEFAULT_WAIT,
    no_wait: NoWait = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Decrypt a file under the key it names; the output appears only complete and authentic."""
    from tigertally.base.errors import InvalidSignature
    from tigertally.custody.files import decrypt_file, read_header

    output = claimed(out, force, reads=[in_], resumes=True)

    with of_file(in_, "a file", "tally encrypt"), in_.open("rb") as source:
        header = read_header(source)
    if header.key.name != key:
        raise UsageError(f"{in_} is encrypted under the key {header.key.name}, not {key}")

    def use(released: Released, domain: DomainId) -> int:
        if header.domain != domain:
            raise InvalidSignature(f"{in_} was encrypted in another domain")
        with (
            in_.open("rb") as source,
            output.file() as sink,
            progress("decrypting", in_.stat().st_size) as bar,
        ):
            try:
                return decrypt_file(
                    released.secret, read_header(source), source, sink, progress=bar
                )
            except InvalidSignature as error:
                error.add_note(f"nothing was written; get {in_} again from where it was kept")
                raise

    wanted = _wanted(key, header.key.version, reason, output, options.waiting(wait, no_wait))
    _work(profile, passphrase_file, wanted, use)


def _wanted(key: str, version: int | None, reason: str, output: Output, wait: float) -> Wanted:
    from tigertally.cli.release import Wanted
    from tigertally.custody.messages.kinds import Form

    return Wanted(
        name=key, version=version, reason=str(reason), form=Form.FINAL, output=output, wait=wait
    )


def _work(profile: Name, passphrase_file: Path | None, wanted: Wanted, use: Any) -> None:
    from tigertally.cli.release import released

    def timed(key: Released, _: int) -> dict[str, Any]:
        began = time.perf_counter()
        with key.secret:
            size = use(key, key.domain)
        return {
            "bytes": size,
            "seconds": round(time.perf_counter() - began, 3),
            "key": key.key.name,
            "version": key.key.version,
            "approved_by": list(key.approved_by),
            "out": str(wanted.output.path),
        }

    document = released(profile, passphrase_file, wanted, timed)
    emit(document, facts(document) + next_step(document))
    if document.get("state") == "waiting" and wanted.wait > 0:
        raise unanswered(wanted.wait)
