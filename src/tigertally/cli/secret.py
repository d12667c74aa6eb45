"""`tally secret`: small secrets in YAML and JSON documents, each field encrypted by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tigertally.base.errors import MalformedMessage, TigertallyError, UsageError
from tigertally.cli import options
from tigertally.cli.data import Words, from_store, parse_label
from tigertally.cli.members import opened
from tigertally.cli.options import (
    Force,
    MaybeIn,
    MaybeOut,
    MaybeProfile,
    PassphraseFile,
    Profile,
)
from tigertally.cli.output import counted, emit, note, session
from tigertally.cli.outputs import check_replaced, claimed
from tigertally.cli.passphrase import check_input_free

if TYPE_CHECKING:
    from tigertally.delegation.client.documents import Document
    from tigertally.delegation.client.owner import Owner
    from tigertally.delegation.messages.labels import Label

    Place = tuple[str, ...]
else:
    Place = tuple

_MAX_VALUE = 1024 * 1024
_MARK = "\ufeff"  # of byte order

app = typer.Typer(no_args_is_help=True)


def _place(text: str) -> Place:
    """A place in a document; `/` is all of it."""
    from tigertally.delegation.protocol.places import parse_place

    return parse_place(text)


def _complete_place(context: typer.Context, incomplete: str) -> list[str]:
    """Places of the document for shell completion: its names are readable."""
    from tigertally.delegation.client.documents import load
    from tigertally.delegation.protocol.fields import leaves
    from tigertally.delegation.protocol.places import place_text

    try:
        tree = load(*_document(context.params["doc"], None)).tree
        found = [
            place_text(place[:depth])
            for place, _ in leaves(tree)
            for depth in range(1, len(place) + 1)
        ]
    except (TigertallyError, OSError, KeyError):
        return []
    return [place for place in dict.fromkeys(found) if place.startswith(incomplete)]


Doc = Annotated[
    str,
    typer.Argument(help="The document: YAML, or JSON if its name ends in .json.", metavar="DOC"),
]
AtPlace = Annotated[
    Place,
    typer.Argument(
        help="Names between slashes, elements of lists by number from 0; / is the whole document. "
        "In a name, ~1 stands for a slash and ~0 for a tilde.",
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


Part = Annotated[
    int | None,
    typer.Option(
        "--document",
        help="Which YAML document of the file, from 1; if not said, the one that has the place.",
        metavar="N",
    ),
]


@app.command("set", epilog="Example: tally secret set app.yaml db/password --profile ann")
def set_(
    doc: Doc,
    path: AtPlace,
    profile: Profile,
    label: DocLabel = None,
    document: Part = None,
    in_: MaybeIn = None,
    parse: Annotated[
        bool,
        typer.Option(
            "--parse",
            help="The value is YAML, or JSON if the file it comes from, else the document, ends in "
            ".json: a number, a list, a whole subtree.",
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Fields that are lost by it may be."),
    ] = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Put a value, from standard input, a file or the terminal, into a document, encrypted.

    Nothing else in the document changes.
    """
    from tigertally.base.clock import SystemClock
    from tigertally.delegation.client.documents import edit, load
    from tigertally.delegation.protocol.fields import leaves
    from tigertally.delegation.protocol.places import place_text
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    file, name = _document(doc, label)
    check_replaced(file, reads=[in_ or Path("/dev/stdin")])
    known = load(file, name, create=True)  # what cannot be set is refused before anything is asked
    part = known.part_of(path, document)
    if not file.parent.is_dir():
        raise UsageError(f"cannot make {file}: there is no directory {file.parent}")
    value = _value(in_, file, parse, passphrase_file)
    known.check(path, value, part=part, replaces=replace)
    with (
        opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile,
        open_profile.exclusive(doing="changing a document"),
    ):
        owner, now = owner_of(open_profile), SystemClock().now()

        def change(found: Document) -> Document:
            return found.with_value(path, value, owner, now, part=document, replaces=replace)

        edit(file, name, change, known)
    fields = sum(1 for _ in leaves(value))
    said = {"document": str(file), "path": place_text(path), "fields": fields}
    emit(said, f"{said['path']} is set in {file}")


@app.command("unset", epilog="Example: tally secret unset app.yaml db/password --profile ann")
def unset(
    doc: Doc,
    path: AtPlace,
    profile: MaybeProfile = None,
    document: Part = None,
) -> None:
    """Take a field or a subtree out of a document.

    Mappings that become empty by it go, too, unless they were there as `{}`.
    """
    from tigertally.delegation.client.documents import edit, load
    from tigertally.delegation.protocol.places import place_text

    file, name = _document(doc, None)
    check_replaced(file, reads=[])
    known = load(file, name)
    edit(file, name, lambda found: found.without(path, part=document), known)
    said = {"document": str(file), "path": place_text(path)}
    emit(said, f"{said['path']} is taken out of {file}")


@app.command("get", epilog="Example: tally secret get app.yaml db/password --profile ann")
def get(
    doc: Doc,
    path: AtPlace,
    profile: Profile,
    label: DocLabel = None,
    document: Part = None,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Print fields that are not encrypted, too, as they are."),
    ] = False,
    out: MaybeOut = None,
    force: Force = False,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Print a value of a document, or of a subtree all of them; or write it to a file."""
    from tigertally.delegation.client.documents import load
    from tigertally.delegation.protocol.places import place_text
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    file, name = _document(doc, label)
    output = None if out is None else claimed(out, force, reads=[file])
    found = load(file, name)
    said: dict[str, Any] = {"document": str(file), "path": place_text(path)}
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile, from_store():
        owner = owner_of(open_profile)
        text, more = _read(found, path, document, plain, owner, written=output is not None)
    if output is None:
        emit({**said, **more}, text.removesuffix("\n"))
        return
    try:
        content = text.encode()
    except UnicodeEncodeError:
        half = "holds half of a surrogate pair, which is no text"
        raise UsageError(f"{said['path']} {half}: print it without --out") from None
    output.write(content)
    more.pop("value", None)
    emit({**said, **more, "out": str(out)}, f"{said['path']} is in {out}")


def _read(
    found: Document,
    path: Place,
    document: int | None,
    plain: bool,
    owner: Owner,
    *,
    written: bool,
) -> tuple[str, dict[str, Any]]:
    """What is at a place: as text, and for `--json`."""
    from tigertally.delegation.protocol import markup
    from tigertally.delegation.protocol.places import place_text

    if not plain:
        value = found.value(path, owner, part=document)
        dumped = markup.dump_json if found.text.json else markup.dump_yaml
        return value if isinstance(value, str) else dumped(value), {"value": value}
    as_text = written or not session.json
    shown = found.shown(path, owner, part=document, as_text=as_text)
    more: dict[str, Any] = {} if as_text else {"value": shown.content}
    more["plain"] = [place_text(place) for place in shown.plain]
    if shown.plain:
        fields = counted(len(shown.plain), "field is", "fields are")
        note(f"tally: notice: {fields} not encrypted: nobody vouches for what is there")
    return shown.content if as_text else "", more


def _value(in_: Path | None, file: Path, parse: bool, passphrase_file: Path | None) -> Any:
    """The value that a text is, or that it says.

    It says it in the language of the file that it is from, if that has one, else of the document.
    """
    from tigertally.delegation.client.documents import is_json, names_language
    from tigertally.delegation.protocol.markup import parse_json, parse_yaml

    if in_ is None:
        check_input_free(passphrase_file, what="the value (without --in)")
    text = _given(in_)
    if text in ("", "\n"):  # perhaps what should have given it failed
        note("tally: notice: the value is empty")
    source = in_ if in_ is not None and names_language(in_) else file
    if not parse:
        return text.removesuffix("\n")
    parse_text = parse_json if is_json(source) else parse_yaml
    try:
        return parse_text(text.removeprefix(_MARK))
    except MalformedMessage as error:
        raise UsageError(f"the value cannot be taken: {error}") from error


def _document(doc: str, label: Label | None) -> tuple[Path, Label]:
    """The file of a document, and its label."""
    from tigertally.delegation.stores.open import folder_of

    try:
        file = folder_of(doc).resolve()  # a link to a document means that document
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{doc} is a link that leads nowhere") from error
    try:
        return file, parse_label(file.name) if label is None else label
    except MalformedMessage as error:
        unfit = UsageError(f"the name of {file} is no label: {error}")
        unfit.add_note("say its label with --label")
        raise unfit from error


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
    return text
