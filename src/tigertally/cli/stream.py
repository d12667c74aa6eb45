"""`tally stream`: live streams on standard input and output, readable while they are written."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.cli import options
from tigertally.cli.data import LabelOption, StoreOption, from_store
from tigertally.cli.members import opened
from tigertally.cli.options import Force, MaybeOut, PassphraseFile, Profile
from tigertally.cli.output import counted, emit, facts, note, progress, session
from tigertally.cli.outputs import also_reads, check_replaced, claimed
from tigertally.cli.passphrase import check_input_free
from tigertally.cli.times import parse_duration

if TYPE_CHECKING:
    from tigertally.delegation.client.channels import Received

_RECORD = 1024 * 1024
_LINGER = 0.2  # seconds that a record waits for more to come
_WAIT = 10.0

app = typer.Typer(no_args_is_help=True)

Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        help="How long to wait for the next record, in seconds or like 5m; then exit 5.",
        parser=options.parsed(lambda text: float(parse_duration(text)), "SECONDS"),
        metavar="SECONDS",
        show_default=f"{_WAIT:.0f}",
    ),
]


@app.command(
    epilog="Example: tally stream write --profile ann --label camera/may-7 --store /srv/data"
)
def write(
    profile: Profile,
    label: LabelOption,
    store: StoreOption,
    aont: Annotated[
        bool,
        typer.Option("--aont", help="Nobody opens a part of a record who has not read all of it."),
    ] = False,
    record: Annotated[
        int,
        typer.Option("--record", min=1, max=16 * _RECORD, help="At most so many bytes a record."),
    ] = _RECORD,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Encrypt and sign standard input, record by record as it comes, into a store.

    Ctrl-C ends the stream: what has come is written, and the last record.
    """
    from tigertally.base.clock import SystemClock
    from tigertally.delegation.client.channels import write_stream
    from tigertally.delegation.stores.open import folder_of, open_store, place_of
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    if sys.stdin is None:
        raise UsageError("standard input is closed: there is nothing to write")
    check_input_free(passphrase_file, what="the stream")
    source = sys.stdin.fileno()
    place = open_store(store)
    check_replaced(folder_of(store).joinpath(*label), reads=[])
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile:
        owner = owner_of(open_profile)
        owner.remembered.add_store(place_of(store).url)
        try:
            with nullcontext(lambda _: None) if os.isatty(source) else progress("writing") as bar:
                coming = _Input(source, record, bar)
                sent = write_stream(
                    owner, place, label, coming, clock=SystemClock().now, all_or_nothing=aont
                )
        except OSError as error:
            error.add_note("the stream ends there, without its last record: use another label")
            raise
    document = {
        "label": "/".join(label),
        "url": place.url_of(label),
        "records": sent.records,
        "bytes": sent.bytes,
    }
    emit(document, facts(document))
    if coming.interrupted is not None:
        raise coming.interrupted


@app.command(epilog="Example: tally stream read /srv/data/camera/may-7 --profile ann | player -")
def read(
    url: Annotated[str, typer.Argument(help="The stream's place.", metavar="URL")],
    profile: Profile,
    out: MaybeOut = None,
    force: Force = False,
    start: Annotated[
        int, typer.Option("--from", min=0, help="The number of the first record to read.")
    ] = 0,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Missing records are reported, but no failure.")
    ] = False,
    wait: Wait = _WAIT,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Decrypt a stream to standard output or a file, each record once it is authentic."""
    from tigertally.delegation.client.channels import locate_channel, read_stream
    from tigertally.delegation.stores.open import folder_of
    from tigertally.node.owner import owner_of
    from tigertally.quorum.card import Role

    if out is None and session.json:
        raise UsageError("the stream goes to standard output: with --json say --out FILE, too")
    if out is None and sys.stdout is None:
        raise UsageError("standard output is closed: say --out FILE")
    output = None if out is None else claimed(out, force, reads=[folder_of(url)])
    with opened(profile, passphrase_file, role=Role.IDENTITY) as open_profile, from_store():
        owner = owner_of(open_profile)
        place, label = locate_channel(url, owner, owner.remembered.stores(), wait=wait)

        def to(sink: BinaryIO) -> Received:
            return read_stream(
                place, owner, label, sink, start=start, wait=wait, missing=_report_missing
            )

        if output is None:
            received = to(sys.stdout.buffer)
            _judge(received, gaps)
        else:
            output = also_reads(output, folder_of(place.url))
            with output.file() as sink, progress("reading") as bar:
                received = to(cast(BinaryIO, _Counted(sink, bar)))
                _judge(received, gaps)
            _say(received, "/".join(label), output.path)


def _report_missing(number: int) -> None:
    note(f"tally: warning: record {number} is missing")


def _judge(received: Received, gaps: bool) -> None:
    if received.gaps and not gaps:
        emit({"gaps": list(received.gaps)})
        missing = counted(len(received.gaps), "record is", "records are")
        error = InvalidSignature(f"{missing} missing in the stream")
        error.add_note("take the stream as it is with --gaps, or get the records again")
        raise error


def _say(received: Received, label: str, out: Path) -> None:
    document: dict[str, Any] = {
        "label": label,
        "records": received.records,
        "bytes": received.bytes,
        "gaps": list(received.gaps),
        "out": str(out),
    }
    emit(document, facts(document))


class _Counted:
    """A file that says how much was written to it."""

    def __init__(self, sink: BinaryIO, progress: Callable[[int], None]) -> None:
        self._sink = sink
        self._progress = progress
        self._done = 0

    def write(self, content: bytes) -> None:
        self._sink.write(content)
        self._done += len(content)
        self._progress(self._done)

    def flush(self) -> None:
        self._sink.flush()


class _Input:
    """Standard input in pieces: full ones, or what came within a moment.

    A signal ends it like the end of the input, so that the stream gets its last record; the command
    ends with it afterwards.
    """

    def __init__(self, descriptor: int, size: int, progress: Callable[[int], None]) -> None:
        self.interrupted: BaseException | None = None
        self._progress = progress
        self._descriptor = descriptor
        self._size = size
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        done = 0
        while not self._ended:
            if piece := self._next():
                yield piece
                done += len(piece)
                self._progress(done)

    def _next(self) -> bytes:
        parts: list[bytes] = []
        left, until = self._size, float("inf")
        try:
            while left and not self._ended:
                wait = None if not parts else max(0.0, until - time.monotonic())
                if not select.select([self._descriptor], [], [], wait)[0]:
                    break
                piece = os.read(self._descriptor, left)
                if not parts:
                    until = time.monotonic() + _LINGER
                self._ended = not piece
                parts.append(piece)
                left -= len(piece)
        except (KeyboardInterrupt, SystemExit) as signal:
            self.interrupted, self._ended = signal, True
        return b"".join(parts)
