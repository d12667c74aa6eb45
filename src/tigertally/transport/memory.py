"""The whole network in one process, with the faults of a bad day. For tests and examples.

The same `Channel` as over HTTPS, the same `Handler` at the other end, errors through the same
problem documents. Faults are drawn from a seed, separately for every link, so the same seed gives
the same day. Time is virtual: `network.run(main())`. Without faults that take time, any event
loop will do.

    network = MemoryNetwork(seed=7)
    network.connect("authority", routes)
    network.drop(to="authority", chance=0.3).delay(0.1, 2.0).corrupt(from_="holder-3")
    network.run(scenario(network.channel("holder-3", "authority")))
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack

from tigertally.base.errors import NoSuchDoor, Unavailable, UsageError
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.transport import virtual_time
from tigertally.transport.answers import Answer, carry_out, opened, refusal
from tigertally.transport.channel import DEFAULT_WAIT, Channel, Handler, Request

if TYPE_CHECKING:
    from tigertally.crypto.signatures import VerifyKey

T = TypeVar("T")

Rewrite = Callable[[str, str, bytes], bytes]
"""What an equivocating party tells: (caller, path, honest answer) -> answer."""


class Fault(Enum):
    """What can go wrong with one message."""

    DROP = "drop"  # never arrives; the caller waits in vain
    DELAY = "delay"  # arrives later
    REORDER = "reorder"  # overtaken by what is sent after it
    DUPLICATE = "duplicate"  # carried out twice; the second answer goes nowhere
    CORRUPT = "corrupt"  # one bit flipped


class Leg(Enum):
    """Half of a call."""

    REQUEST = "request"
    ANSWER = "answer"


class When(TypedDict, total=False):
    """Where a fault strikes; what is left out matches everything."""

    from_: str
    to: str
    path: str
    leg: Leg  # of a call; the request by default
    chance: float  # 0 to 1, always by default
    times: int  # at most so often


@dataclass(slots=True, kw_only=True)
class _Rule:
    """A fault and when it strikes; an empty filter matches everything."""

    fault: Fault
    from_: str | None
    to: str | None
    path: str | None
    leg: Leg
    chance: float
    times: int | None  # how often it may still strike
    seconds: tuple[float, float] = (0.0, 0.0)

    def matches(self, call: _Call, leg: Leg) -> bool:
        wanted = ((self.from_, call.from_), (self.to, call.to), (self.path, call.path))
        return (
            leg is self.leg
            and self.times != 0
            and all(want is None or want == got for want, got in wanted)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of the network's diary."""

    time: float  # virtual seconds
    from_: str
    to: str
    path: str
    what: str  # "sent", "answered" or the name of a fault


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    from_: str
    to: str
    path: str
    dice: random.Random


@dataclass(slots=True, kw_only=True)
class _Party:
    handler: Handler | Mapping[str, Handler] | None
    key: VerifyKey | None
    address: str = ""
    rewrite: Rewrite | None = None


@dataclass(frozen=True, slots=True)
class _MemoryChannel:
    _network: MemoryNetwork
    _from: str
    _to: str

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        return await self._network.deliver(self._from, self._to, path, body, wait=wait)


@dataclass(slots=True)
class MemoryNetwork:
    """Parties by name and the faults between them.

    Args:
        seed: decides every fault; the same seed and the same calls give the same day.
    """

    seed: int | str = 0
    events: list[Event] = field(default_factory=list, init=False)
    _parties: dict[str, _Party] = field(default_factory=dict, init=False)
    _rules: list[_Rule] = field(default_factory=list, init=False)
    _dice: dict[tuple[str, str], random.Random] = field(default_factory=dict, init=False)
    _work: set[asyncio.Task[Any]] = field(default_factory=set, init=False)

    def connect(
        self,
        name: str,
        handler: Handler | Mapping[str, Handler] | None = None,
        *,
        key: VerifyKey | None = None,
        address: str = "",
    ) -> Self:
        """Put a party on the network, or put another in its place (a restart).

        Args:
            name: of the party.
            handler: for all paths, or one per path as a server has them; none for a party that
                only calls.
            key: what others see as `Request.peer` when this party calls.
            address: what they see as `Request.address`.
        """
        self._parties[name] = _Party(handler=handler, key=key, address=address)
        return self

    def disconnect(self, name: str) -> Self:
        """Take a party off; calls to it are `Unavailable` at once."""
        self._parties.pop(name, None)
        return self

    def channel(self, from_: str, to: str) -> Channel:
        """A way from one party to another; either may join later."""
        return _MemoryChannel(self, from_, to)

    def drop(self, **when: Unpack[When]) -> Self:
        """Lose requests (or `leg=Leg.ANSWER`: answers, after the work was done).

        Every fault takes the keywords of `When`.
        """
        return self._add(Fault.DROP, **when)

    def delay(self, shortest: float, longest: float, **when: Unpack[When]) -> Self:
        """Let messages take between `shortest` and `longest` virtual seconds."""
        return self._add(Fault.DELAY, seconds=(shortest, longest), **when)

    def reorder(self, *, within: float = 1.0, **when: Unpack[When]) -> Self:
        """Let messages overtake each other, by at most `within` virtual seconds."""
        return self._add(Fault.REORDER, seconds=(0.0, within), **when)

    def duplicate(self, **when: Unpack[When]) -> Self:
        """Deliver requests twice, one after the other."""
        return self._add(Fault.DUPLICATE, **when)

    def corrupt(self, **when: Unpack[When]) -> Self:
        """Flip one bit; `leg` says of what."""
        return self._add(Fault.CORRUPT, **when)

    def equivocate(self, name: str, rewrite: Rewrite) -> Self:
        """Let a party tell every caller its own story."""
        self._parties[name].rewrite = rewrite
        return self

    def heal(self) -> Self:
        """Remove all faults; parties and lies stay."""
        self._rules.clear()
        return self

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a scenario in virtual time; work still going on at its end is cancelled."""

        async def scenario() -> T:
            try:
                return await main
            finally:
                await self.close()

        return virtual_time.run(scenario())

    async def close(self) -> None:
        """Cancel handlers that still work for callers who have gone."""
        work = list(self._work)
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def deliver(
        self, from_: str, to: str, path: str, body: bytes, *, wait: float = DEFAULT_WAIT
    ) -> bytes:
        """One call with everything that happens to it; what a channel does."""
        if len(body) > MAX_MESSAGE_BYTES:
            raise UsageError(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        call = _Call(from_=from_, to=to, path=path, dice=self._dice_of(from_, to))
        self._note(call, "sent")
        try:
            async with asyncio.timeout(wait):
                answer = await self._round_trip(call, body)
        except TimeoutError as error:
            raise Unavailable(f"{to} did not answer in time") from error
        self._note(call, "answered")
        return opened(answer)

    async def _round_trip(self, call: _Call, body: bytes) -> Answer:
        faults = self._draw(call, Leg.REQUEST)
        body = await self._travel(call, body, faults)
        answer = await self._serve(call, body)
        if Fault.DUPLICATE in faults:
            await self._serve(call, body)
        told = answer.body
        party = self._parties.get(call.to)
        if answer.status == 200 and party is not None and party.rewrite is not None:
            told = party.rewrite(call.from_, call.path, told)
        told = await self._travel(call, told, self._draw(call, Leg.ANSWER))
        return Answer(answer.status, told)

    def _draw(self, call: _Call, leg: Leg) -> dict[Fault, float]:
        """Which faults strike this message, each with its seconds."""
        struck: dict[Fault, float] = {}
        for rule in self._rules:
            if not rule.matches(call, leg):
                continue
            lot, seconds = call.dice.random(), call.dice.uniform(*rule.seconds)
            if lot < rule.chance:
                struck[rule.fault] = seconds
                rule.times = None if rule.times is None else rule.times - 1
                self._note(call, rule.fault.value)
        return struck

    async def _travel(self, call: _Call, raw: bytes, faults: Mapping[Fault, float]) -> bytes:
        if Fault.DROP in faults:
            _needs_virtual_time()
            await asyncio.Event().wait()  # until the caller's patience ends
        pause = faults.get(Fault.DELAY, 0.0) + faults.get(Fault.REORDER, 0.0)
        if pause:
            _needs_virtual_time()
            await asyncio.sleep(pause)
        if Fault.CORRUPT in faults and raw:
            bit = call.dice.randrange(8 * len(raw))
            flipped = bytearray(raw)
            flipped[bit // 8] ^= 1 << bit % 8
            raw = bytes(flipped)
        return raw

    async def _serve(self, call: _Call, body: bytes) -> Answer:
        """Let the handler work; it goes on when its caller has given up, as over a network."""
        party, caller = self._parties.get(call.to), self._parties.get(call.from_)
        if party is None or party.handler is None:
            raise Unavailable(f"{call.to} does not answer: connection refused")
        handler = party.handler
        if isinstance(handler, Mapping):
            if call.path not in handler:
                return refusal(NoSuchDoor("no such path"))
            handler = handler[call.path]
        key, address = (caller.key, caller.address) if caller is not None else (None, "")
        request = Request(path=call.path, body=body, peer=key, address=address)
        task = asyncio.get_running_loop().create_task(carry_out(handler, request))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    def _dice_of(self, from_: str, to: str) -> random.Random:
        if (from_, to) not in self._dice:
            seed = f"{self.seed}/{from_}/{to}"
            self._dice[from_, to] = random.Random(seed)  # noqa: S311  repeatable on purpose
        return self._dice[from_, to]

    def _add(
        self,
        fault: Fault,
        *,
        from_: str | None = None,
        to: str | None = None,
        path: str | None = None,
        leg: Leg = Leg.REQUEST,
        chance: float = 1.0,
        times: int | None = None,
        seconds: tuple[float, float] = (0.0, 0.0),
    ) -> Self:
        if not 0.0 <= chance <= 1.0 or (times is not None and times < 0):
            raise UsageError("a chance is 0 to 1, a number of times not negative")
        rule = _Rule(
            fault=fault,
            from_=from_,
            to=to,
            path=path,
            leg=leg,
            chance=chance,
            times=times,
            seconds=seconds,
        )
        self._rules.append(rule)
        return self

    def _note(self, call: _Call, what: str) -> None:
        now = asyncio.get_running_loop().time()
        now = now if _virtual() else 0.0
        event = Event(time=now, from_=call.from_, to=call.to, path=call.path, what=what)
        self.events.append(event)


def _virtual() -> bool:
    return isinstance(asyncio.get_running_loop(), virtual_time.VirtualTimeLoop)


def _needs_virtual_time() -> None:
    if not _virtual():
        raise UsageError("a fault that takes time needs virtual time: network.run(...)")
