"""`tally write` and `tally read`: files and folders under an owner's labels, in any store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.cli import options
from tigertally.cli.members import opened
from tigertally.cli.options import Force, OutPath, PassphraseFile, Profile
from tigertally.cli.output import counted, emit, facts, note, progress
from tigertally.cli.outputs import also_reads, check_object, check_replaced, claimed

if TYPE_CHECKING:
    from tigertally.crypto.outputs import Output
    from tigertally.delegation.client.folders import Done
    from tigertally.delegation.client.locating import Location
    from tigertally.delegation.client.owner import Owner
    from tigertally.delegation.messages.labels import Label
    from tigertally.delegation.stores.interface import ObjectStore

    Words = Label
else:
    Words = tuple


_ADVICE = (
    (Unavailable, "check the place, or try again when the store is there"),
    (InvalidSignature, "get another copy, or ask its writer to write it again"),
    (MalformedMessage, "get another copy, or ask its writer to write it again"),
    (Refused, "read it with the profile that wrote it"),
)


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


@contextmanager
def from_store() -> Iterator[None]:
    """Errors of reading from a store say what to do about them, unless they do so already."""
    try:
        yield
    except TigertallyError as error:
        advice = next((words for kind, words in _ADVICE if isinstance(error, kind)), "")
        if advice and not getattr(error, "__notes__", []):
            error.add_note(advice)
        raise


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
    force: Force = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Encrypt a file or folder to your label and all above it, sign it, and store it."""
    from tigertally.delegation.stores.open import open_store, place_of
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    place = open_store(store, last_look=_look(source, label, store, force))
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile:
        owner = owner_of(open_profile)
        owner.remembered.add_store(place_of(store).url)
        done = _written(owner, place, source, label, aont)
    document = {
        "label": "/".join(label),
        "url": place.url_of(label),
        "bytes": done.bytes,
        "files": done.files,
        "others": done.others,
    }
    emit(document, facts(document))
    if done.others:
        others = counted(done.others, "file", "files")
        note(f"tally: notice: the store keeps {others} at {document['url']} that the folder lacks")


def _look(source: Path, label: Label, store: str, force: bool) -> Callable[[Sequence[str]], None]:
    """Refuse to write over what is being read, or over files that are none of the store's.

    Objects that `tally write` made make way: that is how a label gets another content.

    Returns:
        The same for one object, to be asked again when it gets its name.
    """
    from tigertally.delegation.client.files import is_keys, is_object, keys_path
    from tigertally.delegation.client.folders import files_of
    from tigertally.delegation.messages.labels import KEYS_SUFFIX
    from tigertally.delegation.stores.open import folder_of, open_store

    folder, objects = folder_of(store), open_store(store)
    check_replaced(folder.joinpath(*label), reads=[])
    files: dict[tuple[str, ...], Path] = {
        tuple(name): file for file, name in files_of(source, label)
    }

    def look(path: Sequence[str]) -> None:
        target = folder.joinpath(*path)
        if not os.path.lexists(target):
            return
        of_keys = path[-1].endswith(KEYS_SUFFIX)
        ours = (is_keys if of_keys else is_object)(objects, path)
        name = (*path[:-1], path[-1].removesuffix(KEYS_SUFFIX))
        check_object(target, reads=[files.get(name, source)], force=force, ours=ours)

    for name in files:
        look(name)
        look(keys_path(name))
    return look


def _written(owner: Owner, store: ObjectStore, source: Path, label: Label, aont: bool) -> Done:
    from tigertally.base.clock import SystemClock
    from tigertally.delegation.client.files import write_file
    from tigertally.delegation.client.folders import Done, size_of, write_folder

    now = SystemClock().now()
    if source.is_dir():
        with progress("writing", size_of(source)) as bar:
            return write_folder(
                owner, store, source, label, now=now, all_or_nothing=aont, progress=bar
            )
    size_known = source.stat().st_size or None  # a pipe says nothing
    with source.open("rb") as content, progress("writing", size_known) as bar:
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
    out: OutPath,
    force: Force = False,
    unsigned: Unsigned = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Read a file or folder that is yours, check who signed it, and write it to a place."""
    from tigertally.delegation.client.locating import locate
    from tigertally.delegation.messages.labels import label_text
    from tigertally.delegation.stores.open import folder_of
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    output = claimed(out, force, reads=[folder_of(url)], folder=True)
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile, from_store():
        owner = owner_of(open_profile)
        location = locate(url, owner, owner.remembered.stores())
        output = also_reads(output, folder_of(location.store.url))
        done = _read(owner, location, output, unsigned)
    document = {
        "label": label_text(location.label),
        "bytes": done.bytes,
        "files": done.files,
        "signed_by": sorted(str(sender.fingerprint) for sender in done.senders),
        "unsigned": done.unsigned,
        "cfrags": 0,
        "bad_proxies": [],
        "out": str(out),
    }
    emit(document, facts(document))


def _read(owner: Owner, location: Location, output: Output, unsigned: bool) -> Done:
    from tigertally.delegation.client.files import read_file
    from tigertally.delegation.client.folders import Done, read_folder

    size = None if location.files is not None else _stored(location)
    with progress("reading", size) as bar:
        if location.files is not None:
            return read_folder(owner, location, output, allow_unsigned=unsigned, progress=bar)
        with output.file() as sink:
            content = read_file(
                location.store,
                owner,
                location.label,
                sink,
                allow_unsigned=unsigned,
                progress=bar,
            )
    sender = content.sender
    return Done(
        files=1,
        bytes=content.length,
        senders=frozenset({sender} if sender else ()),
        unsigned=int(sender is None),
    )


def _stored(location: Location) -> int:
    """About how many bytes there are to read."""
    with location.store.get(location.label) as source:
        return source.seek(0, 2)
