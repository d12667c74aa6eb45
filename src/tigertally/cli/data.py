"""`tally write` and `tally read`: files and folders under an owner's labels, in any store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.cli import options
from tigertally.cli.members import opened
from tigertally.cli.options import PassphraseFile, Profile
from tigertally.cli.output import emit, facts, progress

if TYPE_CHECKING:
    from tigertally.delegation.client.folders import Done
    from tigertally.delegation.client.locating import Location
    from tigertally.delegation.client.owner import Owner
    from tigertally.delegation.messages.labels import Label
    from tigertally.delegation.stores.interface import ObjectStore

    Words = Label
else:
    Words = tuple


def parse_label(text: str) -> Words:
    """A label's names, from text with slashes."""
    from tigertally.delegation.messages.labels import parse_label

    return parse_label(text)


LabelOption = Annotated[
    Words,
    typer.Option(
        "--label",
        help="The label, names between slashes: where it belongs in your data.",
        parser=options.parsed(parse_label, "PATH"),
        metavar="PATH",
    ),
]
StoreOption = Annotated[
    str, typer.Option("--store", help="A folder, or file:///folder.", metavar="URL")
]
Unsigned = Annotated[
    bool,
    typer.Option("--unsigned", help="Take files that nobody signed, too: any reader may forge."),
]


def write(
    source: Annotated[
        Path,
        typer.Argument(
            help="The file or folder to write.", exists=True, readable=True, metavar="FILE|DIR"
        ),
    ],
    profile: Profile,
    label: LabelOption,
    store: StoreOption,
    aont: Annotated[
        bool,
        typer.Option(
            "--aont", help="All or nothing: nobody opens a part who has not read the whole."
        ),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Encrypt a file or folder to your label and all above it, sign it, and store it."""
    from tigertally.delegation.stores.open import folder_of, open_store
    from tigertally.node.owning import owner_of
    from tigertally.quorum.card import Role

    place = open_store(store)
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile:
        owner = owner_of(open_profile)
        owner.remembered.add_store(str(folder_of(store)))
        done = _written(owner, place, source, label, aont)
    document = {
        "label": "/".join(label),
        "url": place.url_of(label),
        "bytes": done.bytes,
        "files": done.files,
    }
    emit(document, facts(document))


def _written(owner: Owner, store: ObjectStore, source: Path, label: Label, aont: bool) -> Done:
    from tigertally.delegation.client.files import write_file
    from tigertally.delegation.client.folders import Done, write_folder
    from tigertally.node.clock import SystemClock

    now = SystemClock().now()
    if source.is_dir():
        with progress("writing") as bar:
            return write_folder(
                owner, store, source, label, now=now, all_or_nothing=aont, progress=bar
            )
    with source.open("rb") as content, progress("writing", source.stat().st_size) as bar:
        size = write_file(
            store,
            owner.levels(label[:-1]),
            label,
            content,
            sender=owner.signing_key,
            now=now,
            all_or_nothing=aont,
            progress=bar,
        )
    return Done(files=1, bytes=size)


def read(
    url: Annotated[str, typer.Argument(help="The file's or folder's place.", metavar="URL")],
    profile: Profile,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File or folder to write, for you alone; appears only when complete.",
            metavar="PATH",
        ),
    ],
    unsigned: Unsigned = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Read a file or folder that is yours, check who signed it, and write it to a place."""
    from tigertally.crypto.files import check_output
    from tigertally.delegation.client.locating import locate
    from tigertally.node.owning import owner_of
    from tigertally.quorum.card import Role

    check_output(out)
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile:
        owner = owner_of(open_profile)
        location = locate(url, owner, owner.remembered.stores())
        done = _read(owner, location, out, unsigned)
    document = {
        "label": "/".join(location.label),
        "bytes": done.bytes,
        "files": done.files,
        "cfrags": 0,
        "bad_proxies": [],
        "out": str(out),
    }
    emit(document, facts(document))


def _read(owner: Owner, location: Location, out: Path, unsigned: bool) -> Done:
    from tigertally.crypto.files import atomic_output
    from tigertally.delegation.client.files import read_file
    from tigertally.delegation.client.folders import Done, read_folder

    with progress("reading") as bar:
        if location.files is not None:
            return read_folder(owner, location, out, allow_unsigned=unsigned, progress=bar)
        with atomic_output(out) as sink:
            content = read_file(
                location.store,
                owner,
                location.label,
                sink,
                allow_unsigned=unsigned,
                progress=bar,
            )
    return Done(files=1, bytes=content.length)
