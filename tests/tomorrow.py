"""Tomorrow's program: today's with one more kind of proposal and one more option of a key.

`FAULT_TOMORROW=1` lets a fork of the server be it (`fork_server.py`); a test may be it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tigertally.base.ids import Name
from tigertally.base.recent import Recent
from tigertally.custody.messages import kinds as bodies
from tigertally.custody.messages import options
from tigertally.node import connect, kinds, wiring
from tigertally.quorum import proposal
from tigertally.quorum.authority.proposals import QuorumService
from tigertally.quorum.changes import option
from tigertally.quorum.kinds import Kind, Kinds, registry

NOTICE = Name("tomorrow.notice")
OPTION = "region"
HERE = options.KeyOptions.of(more={OPTION: "eu"})

_TODAY = kinds.all_kinds()


class Notice:
    """The executor of tomorrow's kind: it does nothing."""

    def check(self, *_: Any) -> None: ...

    def admitted(self, *_: Any) -> None: ...

    def check_attachment(self, *_: Any) -> None: ...

    def execute(self, *_: Any) -> None: ...

    def late(self, *_: Any) -> None: ...


def all_kinds() -> Kinds:
    """Today's kinds, and one more."""
    notice = Kind(
        name=NOTICE,
        parse=lambda said: str(option(said, "about", str)),
        words=lambda about: f"a notice about {about}",
        may_propose=lambda roster, proposal, about: None,
    )
    return registry((*_TODAY.values(), notice))


def arm(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Be tomorrow's program from here on.

    Args:
        put: sets an attribute; another one than `setattr` can take it back.
    """
    for module in (kinds, connect, wiring):
        put(module, "all_kinds", all_kinds)
    know_the_option(put)
    init = QuorumService.__init__

    def with_notice(
        self: QuorumService, known: Kinds, executors: Mapping[str, Any], *rest: Any
    ) -> None:
        init(self, known, {**executors, NOTICE: Notice()}, *rest)

    put(QuorumService, "__init__", with_notice)


def know_the_option(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Know the key option, with nothing in mind that was read before."""
    for module in (options, bodies):
        put(module, "KNOWN_OPTIONS", frozenset({*options.V1_OPTIONS, OPTION}))
    put(proposal, "_bodies", Recent(entries=512, size=1_000_000))


@contextmanager
def knowing() -> Iterator[None]:
    """What runs here knows the key option: a newer device among others in one process."""
    before: list[tuple[Any, str, Any]] = []

    def put(where: Any, name: str, value: Any) -> None:
        before.append((where, name, getattr(where, name)))
        setattr(where, name, value)

    know_the_option(put)
    try:
        yield
    finally:
        for where, name, value in reversed(before):
            setattr(where, name, value)
