"""The listening sockets of a server: accept, TLS handshake, one connection each, and a clean end.

Own accept loop, because a server must also be able to count and to end connections that are still
in their handshake, which asyncio's own server does not show. Who is at the other end is known only
after the handshake: so there is a bounded number of those, in which the oldest goes first, and
places for connections are given out behind it. Loads aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from asyncio import sslproto
from asyncio.trsock import TransportSocket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from tigertally.base.errors import MalformedMessage, Unavailable, bare
from tigertally.crypto import certificates
from tigertally.crypto.signatures import VerifyKey
from tigertally.transport.counts import ServerCounts
from tigertally.transport.door import Standing
from tigertally.transport.gate import Party
from tigertally.transport.handshakes import Handshakes
from tigertally.transport.places import PlaceLimits, Places

_HANDSHAKE_SECONDS: Final = 10.0
_FLUSH_SECONDS: Final = 10.0  # for the last answer and the TLS close to reach a slow peer
_GOODBYE_SECONDS: Final = 0.5  # the same, when the whole server stops
_LINGER_SECONDS: Final = 1.0  # reads on after a refused body, so that the answer arrives
_BACKLOG: Final = 256
_ACCEPTED_AT_ONCE: Final = 4
_TLS_BUFFER: Final = 64 * 1024  # bytes per connection; asyncio would take 256 KiB for each
_PAUSE_WHEN_OUT_OF_FILES: Final = 0.5  # seconds
_MAX_LINE: Final = 1024  # request line and single header fields; ours have under 200 bytes
_MAX_HEADERS: Final = 32

_log = logging.getLogger(__name__)
_http_log = logging.getLogger(__name__ + ".http")


def _without_traceback(record: logging.LogRecord) -> bool:
    """A malformed request is the sender's affair: one line, at debug level, no traceback."""
    record.exc_info = None
    return True


_http_log.addFilter(_without_traceback)

HttpHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
StandingOf = Callable[[VerifyKey], Standing]


# The buffer that every connection reads into for as long as it lives; asyncio lets nobody choose.
sslproto.SSLProtocol.max_size = _TLS_BUFFER


class Connection(web.RequestHandler):
    """One TLS connection; its peer's key is read once, when the handshake is done."""

    __slots__ = ("_listener", "address", "peer", "standing")

    def __init__(self, manager: web.Server, listener: Listener, **options: Any) -> None:
        super().__init__(manager, **options)
        self._listener = listener
        self.peer: VerifyKey | None = None
        self.standing: Standing | None = None  # when it came
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._listener.made(self, transport)
        super().connection_made(transport)
        self.address = _address(transport.get_extra_info("peername"))
        try:
            tls: ssl.SSLObject = transport.get_extra_info("ssl_object")
            self.peer = certificates.public_key_of(tls.getpeercert(True) or b"")
            self._listener.arrived(self, self.peer)
        except (MalformedMessage, Unavailable):  # not a certificate that we would make; or no room
            self._listener.abort(self)

    def party(self, standing: Standing) -> Party:
        """Who is at the other end."""
        return Party(key=self.peer or b"", standing=standing, address=self.address)

    def connection_lost(self, exc: BaseException | None) -> None:
        # The request in work keeps the error, and its traceback would keep the connection.
        super().connection_lost(exc if exc is None else bare(exc))
        self._listener.lost(self)


def _address(peername: Any) -> str:
    """What strangers are counted by: an IPv4 address, or the 64 bits that name an IPv6 network."""
    try:
        found = ipaddress.ip_address(str(peername[0]).partition("%")[0])
    except (TypeError, IndexError, ValueError):
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
        found = found.ipv4_mapped
    return str(found)


class Listener:
    """Accepts connections for an HTTP handler until closed."""

    def __init__(
        self,
        handler: HttpHandler,
        context: ssl.SSLContext,
        *,
        idle_seconds: float,
        most_handshakes: int,
        handshakes: Handshakes,
        places: PlaceLimits,
        standing: StandingOf,
        counts: ServerCounts,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = context
        self._max_handshakes = most_handshakes
        self._handshakes = handshakes
        self._standing = standing
        self._counts = counts
        self.places: Places[Connection] = Places(places)
        self._manager = web.Server(handler)
        self._options: dict[str, Any] = {
            "loop": self._loop,
            "keepalive_timeout": idle_seconds,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,  # compressed bodies are not part of the protocol
            "access_log": None,
            "logger": _http_log,
            "max_line_size": _MAX_LINE,
            "max_field_size": _MAX_LINE,
            "max_headers": _MAX_HEADERS,
        }
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._handshaking: dict[asyncio.Task[None], str] = {}  # by address, the oldest first
        self._open: dict[Connection, TransportSocket] = {}
        self._none_open = asyncio.Event()
        self._none_open.set()

    @property
    def port(self) -> int:
        """The port, also when 0 was asked for."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """Sockets open now, those in their handshake included."""
        return len(self._open) + len(self._handshaking)

    async def open(self, host: str, port: int) -> None:
        """Listen on every address of `host`.

        Raises:
            Unavailable: the address is taken or not ours.
        """
        try:
            found = await self._loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, *_, address in dict.fromkeys(found):
                chosen = (address[0], port or (self.port if self._sockets else 0))
                listening = socket.create_server(chosen, family=family, backlog=_BACKLOG)
                listening.setblocking(False)
                self._sockets.append(listening)
        except OSError as error:
            self._close_sockets()
            raise Unavailable(f"cannot listen on {host}:{port}: {error.strerror}") from error
        self._accepting = [self._loop.create_task(self._accept(s)) for s in self._sockets]

    async def _accept(self, listening: socket.socket) -> None:
        came = 0
        while True:
            try:
                accepted, peername = await self._loop.sock_accept(listening)
            except OSError as error:
                _log.warning("cannot accept connections: %s", error.strerror)
                await asyncio.sleep(_PAUSE_WHEN_OUT_OF_FILES)
                continue
            came += 1
            address = _address(peername)
            if self._handshakes.allowed(address, now=self._loop.time()):
                if len(self._handshaking) >= self._max_handshakes:
                    self._end_oldest_handshake()
                task = self._loop.create_task(self._handshake(accepted, address))
                self._handshaking[task] = address
                task.add_done_callback(self._shaken)
            else:
                self._counts.unseen += 1
                accepted.close()
            if not came % min(_ACCEPTED_AT_ONCE, self._max_handshakes):
                # The tasks must begin, for they own their sockets; and those who are in get their
                # turns between those who knock.
                await asyncio.sleep(0)

    def _end_oldest_handshake(self) -> None:
        """Of the address that has most under way: one that floods keeps nobody else out."""
        ((most, _),) = Counter(self._handshaking.values()).most_common(1)
        oldest = next(task for task, address in self._handshaking.items() if address == most)
        self._counts.unseen += 1
        oldest.cancel()
        del self._handshaking[oldest]

    def _shaken(self, task: asyncio.Task[None]) -> None:
        self._handshaking.pop(task, None)

    async def _handshake(self, accepted: socket.socket, address: str) -> None:
        standing = None
        try:
            _, connection = await self._loop.connect_accepted_socket(
                lambda: Connection(self._manager, self, **self._options),
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=_FLUSH_SECONDS,
            )
            standing = connection.standing
        except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
            _log.debug("TLS handshake failed: %s", error)
        finally:
            self._handshakes.done(address, standing, now=self._loop.time())

    def made(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """A connection finished its handshake."""
        self._open[connection] = transport.get_extra_info("socket")
        self._none_open.clear()

    def arrived(self, connection: Connection, peer: VerifyKey) -> None:
        """It is known who is at the other end: give it a place, or another's, who is idle.

        Raises:
            Unavailable: there is no room.
        """
        self._counts.connections += 1
        connection.standing = self._standing(peer)
        party = connection.party(connection.standing)
        try:
            leaving = self.places.arrive(connection, party, now=self._loop.time())
        except Unavailable:
            self._counts.no_room += 1
            raise
        if leaving is not None:
            self._counts.no_room += 1
            self.abort(leaving)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.places.leave(connection)
        self._open.pop(connection, None)
        if not self._open:
            self._none_open.set()

    def abort(self, connection: Connection) -> None:
        """End a connection at once, also one that is closing and whose peer does not answer.

        (A TLS transport of asyncio that was closed twice ignores `abort()`.)
        """
        with contextlib.suppress(OSError):
            self._open[connection].shutdown(socket.SHUT_RDWR)

    async def stop_accepting(self) -> None:
        """Refuse new connections and end those still in their handshake; the rest works on."""
        for tasks in (self._accepting, self._handshaking):
            ending = list(tasks)
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
            await asyncio.sleep(0)  # a handshake task must have begun: it owns its socket
        self._accepting.clear()
        self._close_sockets()

    async def close(self) -> None:
        """End every connection; when this returns no task and no socket is left."""
        await self.stop_accepting()
        self._manager.pre_shutdown()
        await self._manager.shutdown(_GOODBYE_SECONDS)
        await self._all_gone()
        for connection in list(self._open):
            self.abort(connection)
        await self._all_gone()

    async def _all_gone(self) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_SECONDS):
                await self._none_open.wait()
        except TimeoutError:
            return

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets.clear()
