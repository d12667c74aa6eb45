"""A channel over HTTPS: mutual TLS 1.3 to one pinned key, with retries that are not repeated.

Loads aiohttp; callers that only need the interface import `transport/channel.py`.

**Security:** the pin is the server's public key or its fingerprint. Of a key there is one
certificate only, and TLS is told to trust exactly that one; of a fingerprint the key is learned
from a bare handshake first, and compared before any byte of a request exists.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Unavailable,
    UsageError,
)
from tigertally.base.ids import Fingerprint
from tigertally.base.limits import IDLE_CONNECTION_SECONDS, MAX_MESSAGE_BYTES
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.crypto import certificates
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.transport import problems
from tigertally.transport.answers import (
    CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    RETRY_AFTER,
    Answer,
    opened,
)
from tigertally.transport.channel import DEFAULT_WAIT

_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.05  # seconds, doubled each time, times a random 0.5 to 1.5
_CONNECT_SECONDS: Final = 10.0
_MAX_CONNECTIONS: Final = 8  # of one channel; a server lets a key have 16, and a poll occupies one
_KEY_BYTES: Final = 16  # of an idempotency key
_LARGE_BODY: Final = 1024 * 1024  # bytes; aiohttp sends longer ones piece by piece from a file
_WRONG_SERVER: Final = "the server at {} does not have the expected key"


class _TryAgain(Exception):
    """The attempt failed in a way that the next one need not."""


class HttpChannel:
    """A `Channel` to the server at `url`.

    Args:
        url: `https://host:port`; what the host is called proves nothing and is not checked.
        identity: our key, shown to the server.
        server_key: the key that the server must have, or its fingerprint.
        randomness: makes idempotency keys.

    Raises:
        UsageError: not such a URL.
    """

    def __init__(
        self,
        url: str,
        identity: SigningKey,
        server_key: VerifyKey | Fingerprint,
        *,
        randomness: Randomness | None = None,
    ) -> None:
        self._host, self._port = _address(url)
        self._base = URL.build(scheme="https", host=self._host, port=self._port)
        self._identity = identity
        self._pin = server_key
        self._key = server_key if isinstance(server_key, VerifyKey) else None
        self._randomness = randomness or SystemRandomness()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._urls: dict[str, URL] = {}
        self._told: tuple[int, float] | None = None

    @property
    def server_time(self) -> int | None:
        """What the server's clock says now, in Unix seconds, by its last answer; None before one.

        Its word, to the second: to explain a refusal to a person, never to decide by.
        """
        if self._told is None:
            return None
        date, heard = self._told
        return date + int(time.monotonic() - heard)

    async def call(self, path: str, body: bytes, *, wait: float = DEFAULT_WAIT) -> bytes:
        """Send `body` to `path`; the body of the answer. See `Channel.call`.

        An attempt that breaks off is repeated, with the same idempotency key, so that a server
        that did carry it out answers again instead of doing it twice.
        """
        if len(body) > MAX_MESSAGE_BYTES:
            raise UsageError(f"a message has at most {MAX_MESSAGE_BYTES} bytes")
        headers = {
            "Content-Type": CONTENT_TYPE,
            IDEMPOTENCY_KEY: self._randomness.bytes(_KEY_BYTES).hex(),
        }
        url = self._url(path)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                session = self._session or await self._open(deadline - loop.time())
                return await self._attempt(session, url, body, headers, deadline - loop.time())
            except _TryAgain as trouble:
                delay = pause * (0.5 + random.random())  # noqa: S311  spreads load, hides nothing
                pause *= 2
                if attempt == _ATTEMPTS or loop.time() + delay >= deadline:
                    raise Unavailable(f"{self._base} does not answer: {trouble}") from trouble
                await asyncio.sleep(delay)
        raise AssertionError("unreachable")

    async def connect(self, *, wait: float = DEFAULT_WAIT) -> VerifyKey:
        """The server's key; learned now, if only its fingerprint is known.

        Raises:
            InvalidSignature: the server does not have the expected key.
            Unavailable: it does not answer.
        """
        try:
            await self._open(wait)
        except _TryAgain as trouble:
            raise Unavailable(f"{self._base} does not answer: {trouble}") from trouble
        assert self._key is not None
        return self._key

    async def close(self) -> None:
        """Close all connections. The channel cannot be used again."""
        self._closed = True
        async with self._opening:
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            if not path.startswith("/") or any(c in path for c in "?#% ") or not path.isprintable():
                raise UsageError("a path begins with / and is plain text")
            url = self._urls[path] = self._base.with_path(path)
        return url

    async def _open(self, wait: float) -> aiohttp.ClientSession:
        async with self._opening:
            if self._closed:
                raise UsageError("the channel is closed")
            if self._session is None:
                if self._key is None:
                    self._key = await self._learn_key(wait)
                certificate = certificates.certificate_of(self._key)
                context = await asyncio.to_thread(
                    certificates.client_context, self._identity, certificate
                )
                self._session = _session(context)
            return self._session

    async def _learn_key(self, wait: float) -> VerifyKey:
        """A handshake and nothing else; the key that it proves, if it is the pinned one."""
        context = await asyncio.to_thread(certificates.client_context, self._identity, None)
        try:
            async with asyncio.timeout(min(wait, _CONNECT_SECONDS)):
                _, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=context, ssl_shutdown_timeout=1.0
                )
        except ssl.SSLCertVerificationError as error:
            raise InvalidSignature(_WRONG_SERVER.format(self._base)) from error
        except TimeoutError as error:
            raise _TryAgain("no connection in time") from error
        except OSError as error:
            raise _TryAgain(_reason(error)) from error
        try:
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            key = certificates.public_key_of(tls.getpeercert(True) or b"")
        except MalformedMessage as error:
            raise InvalidSignature(_WRONG_SERVER.format(self._base)) from error
        finally:
            writer.transport.abort()
        if key.fingerprint != self._pin:
            raise InvalidSignature(_WRONG_SERVER.format(self._base))
        return key

    async def _attempt(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        body: bytes,
        headers: dict[str, str],
        wait: float,
    ) -> bytes:
        if wait <= 0:
            raise _TryAgain("no time left")
        data = body if len(body) <= _LARGE_BODY else io.BytesIO(body)
        timeout = aiohttp.ClientTimeout(total=wait, sock_connect=_CONNECT_SECONDS)
        try:
            async with session.post(
                url, data=data, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                if (date := _date_of(response)) is not None:
                    self._told = date, time.monotonic()
                return await _body_of(response)
        except aiohttp.ClientConnectorCertificateError as error:
            raise InvalidSignature(_WRONG_SERVER.format(self._base)) from error
        except aiohttp.ConnectionTimeoutError as error:
            raise _TryAgain("no connection in time") from error
        except TimeoutError as error:
            raise Unavailable(f"{self._base} did not answer in time") from error
        except (
            aiohttp.ClientConnectionError,
            aiohttp.ClientPayloadError,
            OSError,
        ) as error:
            raise _TryAgain(_reason(error)) from error
        except aiohttp.ClientError as error:
            raise PeerFault(f"{self._base} does not speak this protocol") from error


def _address(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("a server's address is https://host:port") from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme != "https" or not host or not port or extra:
        raise UsageError("a server's address is https://host:port")
    return host, port


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        ssl=context,
        limit=_MAX_CONNECTIONS,
        keepalive_timeout=IDLE_CONNECTION_SECONDS / 2,  # so that the server is not the first
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
        trust_env=False,
    )


def _date_of(response: aiohttp.ClientResponse) -> int | None:
    """When the server answered, by its own clock; None where it does not say so."""
    try:
        return int(parsedate_to_datetime(response.headers.get("Date", "")).timestamp())
    except (ValueError, OverflowError, TypeError):
        return None


async def _body_of(response: aiohttp.ClientResponse) -> bytes:
    length = response.content_length
    if length is None or length > MAX_MESSAGE_BYTES:
        response.close()
        raise PeerFault("the answer is too long or of unknown length")
    body = await response.read()
    kind = response.headers.get("Content-Type")
    wanted = CONTENT_TYPE if response.status == 200 else problems.CONTENT_TYPE
    if kind != wanted:
        raise PeerFault(f"the answer (HTTP {response.status}) is not of this protocol")
    try:
        return opened(Answer(response.status, body))
    except Unavailable as error:
        if RETRY_AFTER in response.headers:  # turned away before it was carried out
            raise _TryAgain(str(error)) from error
        raise


def _reason(error: BaseException) -> str:
    """Why a connection failed, in words for people."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno).lower()
    return "the connection broke off"
