"""From a door to a handler: bytes become a question before the work, and the answer bytes after it.

The writer thread works on messages only. Small bodies are parsed and written on the event loop,
large ones on threads of their own, so that neither the next request nor a commit waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from tigertally.base.codec import encode
from tigertally.base.errors import InvalidSignature, Refused
from tigertally.base.limits import MAX_SMALL_MESSAGE_BYTES
from tigertally.crypto.signatures import VerifyKey
from tigertally.host.desk import Desk
from tigertally.host.writer import Writer
from tigertally.transport.channel import Handler, Request
from tigertally.transport.door import Door, Standing

Q = TypeVar("Q")
A = TypeVar("A")
D = TypeVar("D", bound=Desk)

Route = Callable[[D, Any, VerifyKey], Any]
Answerer = Callable[[Q, VerifyKey, Request], Awaitable[A]]

_THREADS: Final = 2  # as the machine of the benchmarks has cores; more only take turns


def served(
    door: Door[Q, A], answer: Callable[[D, Q, VerifyKey], A]
) -> tuple[Door[Any, Any], Route[D]]:
    """Pair a door with what answers there, on a desk; the types must fit."""
    return door, answer


class Handlers(Generic[D]):
    """Makes the handlers of a daemon's doors.

    Args:
        writer: does the work of those that need a desk.
        standing: of a peer, by which its work waits for its turn.
        admit: from door and peer to the peer's standing; raises what the door tells those whom it
            is not for. So nothing that they sent is parsed. Else: who stands too low is refused.
    """

    def __init__(
        self,
        writer: Writer[D, Any],
        *,
        standing: Callable[[VerifyKey], Standing],
        admit: Callable[[Door[Any, Any], VerifyKey], Standing] | None = None,
    ) -> None:
        self._writer = writer
        self._standing = standing
        self._admit = admit or self._admit_by_standing
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="codec")
        self._lengths: dict[str, int] = {}  # of each door's last answer: the next is like it

    def _admit_by_standing(self, door: Door[Any, Any], peer: VerifyKey) -> Standing:
        standing = self._standing(peer)
        if standing < door.who:
            raise Refused("this door is not for everybody")
        return standing

    def on_desk(self, door: Door[Q, A], answer: Route[D]) -> Handler:
        """Return the handler of a door whose answer is work on the writer thread."""

        def answered(question: Q, peer: VerifyKey, request: Request) -> Awaitable[A]:
            def work(desk: D) -> Any:
                desk.address = request.address
                return answer(desk, question, peer)

            return self._writer.run(work, standing=self._standing(peer), key=peer)

        return self.beside(door, answered)

    def beside(self, door: Door[Q, A], answerer: Answerer[Q, A]) -> Handler:
        """Return the handler of a door that is answered beside the writer thread.

        Args:
            answerer: from the question, the peer and the request to the answer.
        """

        async def handle(request: Request) -> bytes:
            peer = request.peer
            if peer is None:
                raise InvalidSignature("a request without a client certificate")
            question = await self._read(door, request.body, self._admit(door, peer))
            return await self._write(door, await answerer(question, peer, request))

        return handle

    async def _read(self, door: Door[Q, A], body: bytes, standing: Standing) -> Q:
        if len(body) <= MAX_SMALL_MESSAGE_BYTES:
            return door.read(body, standing)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, door.read, body, standing)

    async def _write(self, door: Door[Q, A], answer: A) -> bytes:
        if self._lengths.get(door, 0) <= MAX_SMALL_MESSAGE_BYTES:
            raw = encode(answer)
        else:
            raw = await asyncio.get_running_loop().run_in_executor(self._threads, encode, answer)
        self._lengths[door] = len(raw)
        return raw

    def close(self) -> None:
        """End the threads that parse and write beside the writer thread."""
        self._threads.shutdown(wait=True)
