"""An HTTPS server for handlers: mutual TLS 1.3, limits, idempotent retries, clean shutdown.

POST carries CBOR to the handler of its path; errors leave as problem documents; GET serves plain
pages such as `/healthz`. Loads aiohttp.

**Security:** a client without an identity certificate is refused by TLS. Any key passes TLS; who
may do what is the handlers' business (`Request.peer`). All peers that `known` does not know share
one set of limits, so fresh keys buy nobody a larger part of the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from tigertally.base import limits
from tigertally.base.errors import (
    MalformedMessage,
    NoSuchDoor,
    TigertallyError,
    Unavailable,
    UsageError,
)
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
from tigertally.transport.connections import Listener
from tigertally.transport.gate import Gate
from tigertally.transport.replay import ReplayStore

if TYPE_CHECKING:
    from tigertally.crypto.signatures import SigningKey, VerifyKey

_MAX_IDEMPOTENCY_KEY_LENGTH = 64
_STRANGER = b"stranger"  # shorter than a key, so it is nobody's
_SWEEP_SECONDS = 30.0
_STOP_GRACE_SECONDS = 2.0

_SERVER_NAME: Final = {"Server": "tigertally"}
_ANSWER_HEADERS: Final = _SERVER_NAME | {"Content-Type": CONTENT_TYPE}
_PROBLEM_HEADERS: Final = _SERVER_NAME | {"Content-Type": problems.CONTENT_TYPE}
_RETRY_HEADERS: Final = _PROBLEM_HEADERS | {RETRY_AFTER: "1"}
_STOPPED: Final = refusal(Unavailable("the service is stopping"))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The numbers of `base/limits.py`; tests use smaller ones."""

    body_bytes: int = limits.MAX_MESSAGE_BYTES
    stranger_body_bytes: int = limits.MAX_SMALL_MESSAGE_BYTES
    body_seconds: float = limits.MAX_BODY_SECONDS
    idle_seconds: float = limits.IDLE_CONNECTION_SECONDS
    connections: int = limits.MAX_CONNECTIONS
    open_requests: int = limits.MAX_OPEN_REQUESTS
    open_requests_per_peer: int = limits.MAX_OPEN_REQUESTS_PER_PEER
    requests_per_second: float = limits.MAX_REQUESTS_PER_SECOND
    replay_seconds: float = limits.REPLAY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a GET shows."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


@dataclass(slots=True)
class ServerCounts:
    """Numbers for `/metrics`, counted since the start."""

    requests: int = 0
    refused: int = 0  # by a limit, before any handler saw them
    replayed: int = 0
    problems: int = 0  # answered with a problem document
    failures: int = 0  # answered 500: a handler or our store is broken


class Server:
    """Serves handlers under one identity.

    Args:
        identity: the key that clients pin.
        routes: handler by path, for POST.
        pages: callable by path, for GET (`/healthz`, `/readyz`, `/metrics`).
        known: whether a key belongs to a member; asked once a request, so it must be quick.
            Without it everybody counts as known.
        limits: numbers; see `base/limits.py`.
    """

    def __init__(
        self,
        identity: SigningKey,
        routes: Mapping[str, Handler],
        *,
        pages: Mapping[str, Callable[[], Page | Awaitable[Page]]] | None = None,
        known: Callable[[VerifyKey], bool] | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self._identity = identity
        self._routes = dict(routes)
        self._pages = dict(pages or {})
        self._known = known
        self._limits = limits or ServerLimits()
        self._gate = _gate(self._limits)
        self._replays = _replays(self._limits)
        self._listener: Listener | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._stopping = False
        self.counts = ServerCounts()

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
            max_connections=self._limits.connections,
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
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self._replays.sweep(now=time.monotonic())

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """One HTTP request, whatever it is, becomes one HTTP answer."""
        self.counts.requests += 1
        peer: VerifyKey | None = getattr(request.protocol, "peer", None)
        if peer is None or self._stopping:
            return _not_now(Unavailable("the service is stopping"), status=503)
        known = self._known is None or self._known(peer)
        party = peer if known else _STRANGER
        try:
            self._gate.enter(party, now=time.monotonic())
        except Unavailable as busy:
            self.counts.refused += 1
            return _not_now(busy, status=429)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if request.method == "GET":
                return await self._page(request)
            return self._response(await self._answer(request, peer, party, known))
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
            self._gate.leave(party)

    async def _page(self, request: web.BaseRequest) -> web.Response:
        show = self._pages.get(request.raw_path)
        if show is None:
            raise _TurnedAway(404, UsageError("no such page"))
        try:
            shown = show()
            page = shown if isinstance(shown, Page) else await shown
        except Exception as error:  # noqa: BLE001  a bug in one page must not end the service
            return self._response(broken(error, request.raw_path))
        headers = _SERVER_NAME | {"Content-Type": page.content_type}
        return web.Response(status=page.status, body=page.body, headers=headers)

    async def _answer(
        self, request: web.BaseRequest, peer: VerifyKey, party: bytes, known: bool
    ) -> Answer:
        path = request.raw_path
        handler = self._routes.get(path)
        if handler is None:
            raise _TurnedAway(404, NoSuchDoor("no such path"))
        if request.method != "POST":
            raise _TurnedAway(405, UsageError("messages are sent with POST"))
        headers = request.headers
        if headers.get("Content-Type") != CONTENT_TYPE:
            raise _TurnedAway(415, MalformedMessage(f"a message is {CONTENT_TYPE}"))
        bound = self._limits.body_bytes if known else self._limits.stranger_body_bytes
        body = await _read_body(request, bound, self._limits.body_seconds)
        key = headers.get(IDEMPOTENCY_KEY)
        work = Request(path=path, body=body, peer=peer)
        if key is None:
            return await self._carry_out(handler, work)
        if not 1 <= len(key) <= _MAX_IDEMPOTENCY_KEY_LENGTH:
            raise _TurnedAway(400, MalformedMessage("an idempotency key has 1 to 64 characters"))
        return await self._carry_out_once(handler, work, party, key)

    async def _carry_out_once(
        self, handler: Handler, work: Request, party: bytes, key: str
    ) -> Answer:
        parts = (work.peer or b"", work.path.encode(), b"\0", work.body)
        digest = hashlib.sha256(b"".join(parts)).digest()
        try:
            execution, new = self._replays.begin(party, key.encode(), digest, now=time.monotonic())
        except UsageError as error:
            raise _TurnedAway(422, error) from error
        if not new:
            self.counts.replayed += 1
            return await execution.wait()
        try:
            answer = await self._carry_out(handler, work)
        except BaseException:  # cancelled while stopping: not carried out, so nothing to keep
            self._replays.forget(execution, _STOPPED)
            raise
        self._replays.settle(execution, answer)
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


def _gate(numbers: ServerLimits) -> Gate:
    return Gate(
        rate=numbers.requests_per_second,
        max_open=numbers.open_requests,
        max_open_per_party=numbers.open_requests_per_peer,
        max_parties=limits.MAX_PEERS_TRACKED,
    )


def _replays(numbers: ServerLimits) -> ReplayStore:
    return ReplayStore(
        seconds=numbers.replay_seconds,
        max_each=limits.MAX_REPLAYS_PER_PEER,
        max_bytes_each=limits.MAX_REPLAY_BYTES_PER_PEER,
        max_bytes=limits.MAX_REPLAY_BYTES,
    )


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
