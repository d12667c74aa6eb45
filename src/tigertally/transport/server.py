"""An HTTPS server for handlers: mutual TLS 1.3, limits, idempotent retries, clean shutdown.

POST carries CBOR to the handler of its path; errors leave as problem documents; GET serves plain
pages such as `/healthz`. Loads aiohttp.

**Security:** a client without an identity certificate is refused by TLS. Any key passes TLS; who
may do what is the handlers' business (`Request.peer`). Places are kept by standing: all strangers
share a small part, however many keys they make, and what they may not do yet costs them time.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from tigertally.base.errors import (
    MalformedMessage,
    NoSuchDoor,
    TigertallyError,
    Unavailable,
    UsageError,
)
from tigertally.base.process import give_back_memory
from tigertally.crypto import certificates
from tigertally.transport import problems
from tigertally.transport.answers import (
    BROKEN,
    CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    RETRY_AFTER,
    Answer,
    broken,
    carry_out,
    refusal,
)
from tigertally.transport.channel import Handler, Request
from tigertally.transport.connections import Connection, Listener, StandingOf
from tigertally.transport.counts import ServerCounts
from tigertally.transport.door import Door, Standing
from tigertally.transport.gate import Gate, Party
from tigertally.transport.places import Places
from tigertally.transport.server_limits import (
    ServerLimits,
    gate_of,
    handshakes_of,
    pages_gate_of,
    places_of,
    replays_of,
)

if TYPE_CHECKING:
    from tigertally.crypto.signatures import SigningKey

_MAX_IDEMPOTENCY_KEY_LENGTH = 64
_SWEEP_SECONDS = 5.0
_STOP_GRACE_SECONDS = 2.0

_SERVER_NAME: Final = {"Server": "tigertally"}
_ANSWER_HEADERS: Final = _SERVER_NAME | {"Content-Type": CONTENT_TYPE}
_PROBLEM_HEADERS: Final = _SERVER_NAME | {"Content-Type": problems.CONTENT_TYPE}
_RETRY_HEADERS: Final = _PROBLEM_HEADERS | {RETRY_AFTER: "1"}
_STOPPED: Final = refusal(Unavailable("the service is stopping"))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a GET shows."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


class Server:
    """Serves handlers under one identity.

    Args:
        identity: the key that clients pin.
        routes: handler by door, for POST; behind a path that is no `Door` anybody may send as much
            as a message may have.
        pages: callable by path, for GET (`/healthz`, `/readyz`, `/metrics`).
        standing: what a key is to the domain; asked once per request, so it must be quick.
        limits: numbers; see `base/limits.py`.
        counts: where it counts, for pages that show it.
    """

    def __init__(
        self,
        identity: SigningKey,
        routes: Mapping[str, Handler],
        *,
        pages: Mapping[str, Callable[[], Page | Awaitable[Page]]] | None = None,
        standing: StandingOf,
        limits: ServerLimits | None = None,
        counts: ServerCounts | None = None,
    ) -> None:
        self._identity = identity
        self._routes = {str(path): (path, handler) for path, handler in routes.items()}
        self._pages = dict(pages or {})
        self._standing = standing
        self._limits = limits or ServerLimits()
        self._gate = gate_of(self._limits)
        self._pages_gate = pages_gate_of(self._limits)
        self._replays = replays_of(self._limits)
        self._listener: Listener | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = False
        self.counts = counts or ServerCounts()

    @property
    def port(self) -> int:
        """The port listened on, also when 0 was asked for."""
        return self._running().port

    @property
    def connections(self) -> int:
        """Sockets open now."""
        return self._running().connections

    @property
    def open_requests(self) -> int:
        """Requests in work now."""
        return self._gate.open

    @property
    def open_polls(self) -> int:
        """Long polls that wait now."""
        return self._gate.waiting

    async def start(self, host: str, port: int) -> None:
        """Listen on `host` and `port` (0: any free one, see `port`).

        Raises:
            Unavailable: the address is taken or not ours.
            UsageError: it runs already.
        """
        if self._listener is not None:
            raise UsageError("the server runs already")
        self._stopping = False
        context = await asyncio.to_thread(certificates.server_context, self._identity)
        listener = Listener(
            self._serve,
            context,
            idle_seconds=self._limits.idle_seconds,
            most_handshakes=self._limits.handshakes,
            handshakes=handshakes_of(self._limits, start=asyncio.get_running_loop().time()),
            places=places_of(self._limits),
            standing=self._standing,
            counts=self.counts,
        )
        await listener.open(host, port)
        self._listener = listener
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Stop listening, let requests in work end or cancel them, close every connection.

        Whoever was cancelled is told `Unavailable`. Nothing is left behind: no task, no socket.
        """
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        self._stopping = True
        await listener.stop_accepting()
        mine = asyncio.current_task()
        working = {task for task in self._tasks if task is not mine}
        if working:
            _, late = await asyncio.wait(working, timeout=_STOP_GRACE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_STOP_GRACE_SECONDS)
        await listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)

    def _running(self) -> Listener:
        if self._listener is None:
            raise UsageError("the server does not run")
        return self._listener

    async def _sweep(self) -> None:
        """Forget old answers, and give back what those who came have left free."""
        seen = -1
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for replays in self._replays.values():
                replays.sweep(now=time.monotonic())
            came = self.counts.requests + self.counts.connections
            if came != seen:
                seen = came
                give_back_memory()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request, whatever it is, becomes one HTTP answer."""
        self.counts.requests += 1
        connection = request.protocol
        if not isinstance(connection, Connection) or connection.peer is None or self._stopping:
            return _not_now(Unavailable("the service is stopping"), status=503)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        visit = _Visit(connection, self._standing(connection.peer), self._running().places)
        try:
            if request.method == "GET":
                return await self._page(request, visit)
            return self._response(await self._answer(request, visit))
        except Unavailable as busy:
            self.counts.refused += 1
            if visit.party.standing is not Standing.HOLDER:
                self._tasks.discard(task)  # a stop does not wait for it
                await asyncio.sleep(self._limits.pause_seconds)  # whoever floods waits
            return _not_now(busy, status=429)
        except _TurnedAway as turned:
            response = self._response(refusal(turned.error, status=turned.status))
            if turned.close:
                response.force_close()
            return response
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            task.uncancel()
            return _not_now(Unavailable("the service is stopping"), status=503)
        finally:
            self._tasks.discard(task)

    async def _page(self, request: web.BaseRequest, visit: _Visit) -> web.Response:
        self._pages_gate.count(visit.party, now=time.monotonic())
        show = self._pages.get(request.raw_path)
        if show is None:
            raise _TurnedAway(404, UsageError("no such page"))
        with visit.in_work(self._pages_gate):
            try:
                shown = show()
                page = shown if isinstance(shown, Page) else await shown
            except Exception as error:  # noqa: BLE001  a bug in one page must not end the service
                return self._response(broken(error, request.raw_path))
        headers = _SERVER_NAME | {"Content-Type": page.content_type}
        return web.Response(status=page.status, body=page.body, headers=headers)

    async def _answer(self, request: web.BaseRequest, visit: _Visit) -> Answer:
        self._gate.count(visit.party, now=time.monotonic())
        path, handler = self._routes.get(request.raw_path, ("", None))
        if handler is None:
            raise _TurnedAway(404, NoSuchDoor("no such path"))
        if request.method != "POST":
            raise _TurnedAway(405, UsageError("messages are sent with POST"))
        if request.headers.get("Content-Type") != CONTENT_TYPE:
            raise _TurnedAway(415, MalformedMessage(f"a message is {CONTENT_TYPE}"))
        standing = visit.party.standing
        bound, seconds = self._most_bytes(path, standing), self._limits.body_seconds
        if standing is not Standing.HOLDER:  # short: none of them holds a place while it arrives
            body = await _read_body(request, bound, seconds)
            with visit.in_work(self._gate):
                return await self._work(request, path, handler, body, visit)
        with visit.in_work(self._gate):
            body = await _read_body(request, bound, seconds)
            return await self._work(request, path, handler, body, visit)

    def _most_bytes(self, path: str, standing: Standing) -> int:
        numbers = self._limits
        low = standing is Standing.STRANGER
        bound = numbers.stranger_body_bytes if low else numbers.body_bytes
        return min(bound, path.most[standing].bytes) if isinstance(path, Door) else bound

    async def _work(
        self, request: web.BaseRequest, path: str, handler: Handler, body: bytes, visit: _Visit
    ) -> Answer:
        work = Request(
            path=path,
            body=body,
            peer=visit.connection.peer,
            address=visit.party.address,
            waiting=visit.waiting,
        )
        key = request.headers.get(IDEMPOTENCY_KEY)
        if key is None or (isinstance(path, Door) and path.reads):
            return await self._carry_out(handler, work)
        if not 1 <= len(key) <= _MAX_IDEMPOTENCY_KEY_LENGTH:
            raise _TurnedAway(400, MalformedMessage("an idempotency key has 1 to 64 characters"))
        return await self._carry_out_once(handler, work, visit.party, key)

    async def _carry_out_once(
        self, handler: Handler, work: Request, party: Party, key: str
    ) -> Answer:
        digest = hashlib.sha256(b"".join((work.path.encode(), b"\0", work.body))).digest()
        replays, now = self._replays[party.standing], time.monotonic()
        try:
            execution, new = replays.begin(party.key, key.encode(), digest, now=now)
        except UsageError as error:
            raise _TurnedAway(422, error) from error
        if not new:
            self.counts.replayed += 1
            return await execution.wait()
        try:
            answer = await self._carry_out(handler, work)
        except BaseException:  # cancelled while stopping: not carried out, so nothing to keep
            replays.forget(execution, _STOPPED)
            raise
        replays.settle(execution, answer)
        return answer

    async def _carry_out(self, handler: Handler, work: Request) -> Answer:
        answer = await carry_out(handler, work)
        self.counts.failures += answer.status == BROKEN
        return answer

    def _response(self, answer: Answer) -> web.Response:
        if answer.status == 200:
            return web.Response(body=answer.body, headers=_ANSWER_HEADERS)
        self.counts.problems += 1
        return web.Response(status=answer.status, body=answer.body, headers=_PROBLEM_HEADERS)


class _Visit:
    """One request: who asks, on which connection, and its place in work."""

    def __init__(
        self, connection: Connection, standing: Standing, places: Places[Connection]
    ) -> None:
        self.connection = connection
        self.party = connection.party(standing)
        self._places = places
        self._gate: Gate | None = None
        places.know(connection, self.party)

    @contextlib.contextmanager
    def in_work(self, gate: Gate) -> Iterator[None]:
        """Hold a place of this gate; raises `Unavailable` if there is none."""
        gate.enter(self.party)
        self._gate = gate
        self._places.begin(self.connection)
        try:
            yield
        finally:
            self._places.end(self.connection, now=asyncio.get_running_loop().time())
            if self._gate is not None:
                self._gate.leave(self.party)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Give the place back while a long poll waits; raises `Unavailable` if too many do."""
        gate, party = self._gate, self.party
        if gate is None:
            raise UsageError("a request waits once")
        gate.wait(party)
        self._gate = None
        try:
            yield
        finally:
            gate.done_waiting(party)


class _TurnedAway(Exception):
    """A request that no handler saw."""

    def __init__(self, status: int, error: TigertallyError, *, close: bool = False) -> None:
        super().__init__(str(error))
        self.status = status
        self.error = error
        self.close = close


def _not_now(error: TigertallyError, *, status: int) -> web.Response:
    """An answer to a request that was not carried out and may be sent again as it is."""
    answer = refusal(error, status=status)
    return web.Response(status=answer.status, body=answer.body, headers=_RETRY_HEADERS)


async def _read_body(request: web.BaseRequest, bound: int, seconds: float) -> bytes:
    too_long = _TurnedAway(
        413, MalformedMessage(f"a message has at most {bound} bytes"), close=True
    )
    length = request.content_length
    if length is not None and length > bound:
        raise too_long
    content = request.content
    try:
        if content.is_eof():  # arrived together with its headers, as nearly always
            body = content.read_nowait()
        else:
            parts, size = [], 0
            async with asyncio.timeout(seconds):
                while size <= bound and (part := await content.readany()):
                    parts.append(part)
                    size += len(part)
            body = b"".join(parts)
    except TimeoutError as error:
        late = Unavailable(f"the body did not arrive within {seconds} seconds")
        raise _TurnedAway(408, late, close=True) from error
    except (web.PayloadAccessError, web.RequestPayloadError, OSError) as error:
        raise _TurnedAway(400, MalformedMessage("the body is cut off"), close=True) from error
    if len(body) > bound:
        raise too_long
    return body
