"""`tally secret`: small secrets in YAML and JSON documents, each field encrypted by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import MalformedMessage, TigertallyError, UsageError
from tigertally.cli import options
from tigertally.cli.data import Words, from_store, parse_label
from tigertally.cli.members import opened
from tigertally.cli.options import Force, MaybeIn, MaybeOut, PassphraseFile, Profile
from tigertally.cli.output import emit, note
from tigertally.cli.outputs import check_replaced, claimed
from tigertally.cli.passphrase import check_input_free

if TYPE_CHECKING:
    from tigertally.delegation.messages.labels import Label

_MAX_VALUE = 1024 * 1024

app = typer.Typer(no_args_is_help=True)


def _place(text: str) -> Words:
    """A place in a document; `/` is all of it."""
    return () if text == "/" else parse_label(text)


def _complete_place(context: typer.Context, incomplete: str) -> list[str]:
    """Places of the document for shell completion: its names are readable."""
    from tigertally.delegation.client.documents import load
    from tigertally.delegation.protocol.fields import leaves

    try:
        tree = load(*_document(context.params["doc"], None)).tree
        found = [
            "/".join(path[:depth]) for path, _ in leaves(tree) for depth in range(len(path) + 1)
        ]
    except (TigertallyError, OSError, KeyError):
        return []
    return [place for place in dict.fromkeys(found) if place and place.startswith(incomplete)]


Doc = Annotated[
    str,
    typer.Argument(help="The document: YAML, or JSON if its name ends in .json.", metavar="DOC"),
]
Place = Annotated[
    Words,
    typer.Argument(
        help="Names between slashes; / is the whole document.",
        parser=options.parsed(_place, "PATH"),
        metavar="PATH",
        autocompletion=_complete_place,
    ),
]
DocLabel = Annotated[
    Words | None,
    typer.Option(
        "--label",
        help="The document's label; the name of its file if not given.",
        parser=options.parsed(parse_label, "PATH"),
        metavar="PATH",
    ),
]


@app.command("set", epilog="Example: tally secret set app.yaml db/password --profile ann")
def set_(
    doc: Doc,
    path: Place,
    profile: Profile,
    label: DocLabel = None,
    in_: MaybeIn = None,
    parse: Annotated[
        bool,
        typer.Option("--parse", help="The value is YAML: a number, a list, a whole subtree."),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Put a value, from standard input, a file or the terminal, into a document, encrypted.

    What was at the place is replaced. Comments in the document are not kept.
    """
    from tigertally.delegation.client.documents import Document, edit, load
    from tigertally.delegation.protocol.fields import leaves
    from tigertally.delegation.protocol.markup import parse_yaml
    from tigertally.node.clock import SystemClock
    from tigertally.node.owning import owner_of
    from tigertally.quorum.card import Role

    file, name = _document(doc, label)
    check_replaced(file, reads=[in_ or Path("/dev/stdin")])
    with _own_document():
        load(file, name, create=True)  # a damaged one is refused before anything is asked
    if in_ is None:
        check_input_free(passphrase_file, what="the value (without --in)")
    text = _given(in_)
    try:
        value = parse_yaml(text) if parse else text
        fields = sum(1 for _ in leaves(value))
    except MalformedMessage as error:
        raise UsageError(f"the value cannot be taken: {error}") from error
    with (
        opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile,
        open_profile.exclusive(doing="changing a document"),
    ):
        owner, now = owner_of(open_profile), SystemClock().now()

        def change(document: Document) -> Document:
            if document.commented:
                note(f"tally: notice: the comments in {file} are not kept")
            return document.with_value(path, value, owner, now)

        with _own_document():
            edit(file, name, change)
    said = {"document": str(file), "path": "/".join(path) or "/", "fields": fields}
    emit(said, f"{said['path']} is set in {file}")


@app.command("get", epilog="Example: tally secret get app.yaml db/password --profile ann")
def get(
    doc: Doc,
    path: Place,
    profile: Profile,
    label: DocLabel = None,
    out: MaybeOut = None,
    force: Force = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Print a value of a document, or of a subtree all of them; or write it to a file."""
    from tigertally.delegation.client.documents import load
    from tigertally.delegation.protocol import markup
    from tigertally.node.owning import owner_of
    from tigertally.quorum.card import Role

    file, name = _document(doc, label)
    output = None if out is None else claimed(out, force, reads=[file])
    with _own_document():
        document = load(file, name)
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile, from_store():
        value = document.value(path, owner_of(open_profile))
    json = file.suffix == ".json"
    text = value if isinstance(value, str) else _dumped(value, json, markup)
    said: dict[str, Any] = {"document": str(file), "path": "/".join(path) or "/"}
    if output is None:
        emit({**said, "value": value}, text.removesuffix("\n"))
        return
    output.write(text.encode())
    emit({**said, "out": str(out)}, f"{said['path']} is in {out}")


@contextmanager
def _own_document() -> Iterator[None]:
    """Errors in the text of a document, which lies on this machine and can be mended there."""
    try:
        yield
    except MalformedMessage as error:
        error.add_note("mend it in an editor, or take a copy from before")
        raise


def _dumped(value: Any, json: bool, markup: Any) -> str:
    text: str = markup.dump_json(value) if json else markup.dump_yaml(value)
    return text


def _document(doc: str, label: Label | None) -> tuple[Path, Label]:
    """The file of a document, and its label."""
    from tigertally.delegation.stores.open import folder_of

    file = folder_of(doc).resolve()  # a link to a document means that document
    return file, parse_label(file.name) if label is None else label


def _given(in_: Path | None) -> str:
    """The value, never from the command's arguments, which others can see."""
    if in_ is not None:
        with in_.open("rb") as source:
            raw = source.read(_MAX_VALUE + 1)
    elif sys.stdin is None:
        raise UsageError("standard input is closed: there is no value")
    elif sys.stdin.isatty():
        from getpass import getpass

        return getpass("Value: ")
    else:
        raw = sys.stdin.buffer.read(_MAX_VALUE + 1)
    if len(raw) > _MAX_VALUE:
        raise UsageError("a value of a document is at most 1 MiB: write it as a file")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise UsageError("a value of a document is UTF-8 text; write others as files") from error
    return text.removesuffix("\n")
