"""A command that waits: what it says, how long it goes on, and when others may run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Refused
from tigertally.cli.operation import Operation, carried
from tigertally.quorum.member.client import MemberClient, Party


@dataclass
class Turns:
    """What `exclusive` is asked for."""

    taken: list[str] = field(default_factory=list)
    held: bool = False

    @contextmanager
    def exclusive(self, *, doing: str) -> Iterator[None]:
        assert not self.held
        self.taken.append(doing)
        self.held = True
        try:
            yield
        finally:
            self.held = False


@dataclass
class Counting:
    """Done at the `last` look; every second look says something new."""

    turns: Turns
    last: int
    looks: int = 0
    rig: DomainRig = field(default_factory=lambda: DomainRig(threshold=2))

    async def begin(self, _: Any, party: Party) -> Operation:
        assert self.turns.held
        return Operation(
            member=MemberClient(party),
            waiting="looking",
            words="begun",
            step=self.step,
            document=self.document,
        )

    async def step(self) -> tuple[bool, str]:
        assert self.turns.held
        self.looks += 1
        if self.looks == 99:
            raise Refused("no")
        return self.looks == self.last, f"look {self.looks // 2}"

    async def document(self) -> dict[str, Any]:
        assert not self.turns.held
        return {"looks": self.looks}

    def carry(self, wait: float) -> dict[str, Any]:
        """In virtual time: a long poll without news costs nothing."""
        made: dict[str, Any] = {}

        async def day() -> None:
            await self.rig.form(2)
            party = self.rig.devices["h1"].party
            turns: Any = self.turns
            made.update(await carried(turns, party, self.begin, doing="beginning", wait=wait))

        self.rig.run(day())
        return made


def test_without_a_wait_it_looks_once_and_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    turns = Turns()
    assert Counting(turns, last=5).carry(0) == {"looks": 1}
    assert turns.taken == ["beginning", "looking"]
    assert capsys.readouterr() == ("", "")


def test_it_looks_until_it_is_done_and_says_what_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    turns = Turns()
    assert Counting(turns, last=4).carry(1e6) == {"looks": 4}
    assert turns.taken == ["beginning"] + 4 * ["looking"]
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", ["begun", "look 0", "look 1", "look 2"])


def test_a_refusal_ends_it() -> None:
    work = Counting(Turns(), last=0, looks=97)
    with pytest.raises(Refused, match=r"^no$"):
        work.carry(1e6)
    assert (work.looks, work.turns.held) == (99, False)
