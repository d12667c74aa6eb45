"""Secrets: bytes in locked memory that are wiped, and never print, pickle or compare.

Memory comes from slabs of whole pages that libsodium locks once (`sodium_mlock`: not swapped, not
in core dumps); a wiped slot is used again. Where the limit on locked memory (`ulimit -l`) is
reached, secrets are kept in ordinary memory, with one warning and a count.

**Security:** Python and the libraries it calls make copies that nobody can wipe: the `bytes` a
secret was made from, integers, what `to_secret_bytes()` returns. `docs/threat-model.md` says what
remains. Make secrets from a `bytearray` where you can: it is wiped.
"""

from __future__ import annotations

import hmac
import mmap
import warnings
from types import TracebackType
from typing import NoReturn, Self

from nacl._sodium import ffi, lib  # type: ignore[import-not-found, import-untyped, unused-ignore]

from tigertally.base.errors import UsageError
from tigertally.base.randomness import Randomness

_SLAB_BYTES = 16 * 1024
_SMALLEST_SLOT = 64
_LARGEST_SLOT = 4096  # larger secrets get pages of their own


class _Slot:
    """A piece of memory for one secret: its view, and whether it is locked."""

    __slots__ = ("locked", "view")

    def __init__(self, view: memoryview, locked: bool) -> None:
        self.view = view
        self.locked = locked


def _copy_once() -> None:
    """The linker finds C's copying functions at their first call, and saves registers meanwhile.

    They would hold the first secret, and the stack would keep it.
    """
    view, raw = memoryview(bytearray(_SMALLEST_SLOT)), bytearray(32)
    view[:32] = raw
    raw[:] = bytes(32)


_copy_once()

# Free slots by size. Only list.append and list.pop touch them, which are atomic: a finaliser may
# run at any moment, also inside `_take_slot`, and must not wait for a lock.
_free: dict[int, list[_Slot]] = {}


class _Unlocked:
    """Counts secrets in ordinary memory; a race between threads may lose one, it is a metric."""

    count = 0


def unlocked_count() -> int:
    """How many secrets of this process could not be kept in locked memory so far."""
    return _Unlocked.count


def _locked_pages(size: int) -> tuple[memoryview, bool]:
    # Private, or a forked child that wipes its copies would wipe ours.
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    locked = lib.sodium_mlock(ffi.from_buffer(pages), size) == 0
    return memoryview(pages), locked


def _take_slot(size: int) -> _Slot:
    if size > _LARGEST_SLOT:
        pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        slot = _Slot(*_locked_pages(pages))
    else:
        capacity = max(_SMALLEST_SLOT, 1 << (size - 1).bit_length() if size else 0)
        free = _free.setdefault(capacity, [])
        try:
            slot = free.pop()
        except IndexError:
            slot = _grow(capacity, free)
    if not slot.locked:
        _count_unlocked()
    return slot


def _grow(capacity: int, free: list[_Slot]) -> _Slot:
    view, locked = _locked_pages(_SLAB_BYTES)
    slots = [_Slot(view[i : i + capacity], locked) for i in range(0, _SLAB_BYTES, capacity)]
    free.extend(slots[1:])
    return slots[0]


def _count_unlocked() -> None:
    _Unlocked.count += 1
    if _Unlocked.count == 1:
        warnings.warn(
            "the limit on locked memory is reached (ulimit -l): further secrets may be swapped out",
            RuntimeWarning,
            stacklevel=4,
        )


class Secret:
    """Secret bytes. Look at them with `with secret.exposed() as raw`; wiped when done.

    Args:
        raw: the bytes; copied, and wiped at once if it is a `bytearray`.

    Raises:
        UsageError: any use after `wipe()`.

    **Security:** `raw` of type `bytes` stays in memory until Python reuses it. The view that
    `exposed()` gives, and anything sliced from it, must not outlive the `with` block.
    """

    __slots__ = ("__weakref__", "_size", "_slot", "_wiped")

    def __init__(self, raw: bytes | bytearray | memoryview) -> None:
        size = memoryview(raw).nbytes
        self._wiped = False
        self._size = size
        self._slot = _take_slot(size)
        self._slot.view[:size] = raw
        if isinstance(raw, bytearray):
            raw[:] = bytes(size)

    @classmethod
    def random(cls, randomness: Randomness, size: int) -> Self:
        """`size` fresh random bytes."""
        return cls(randomness.bytes(size))

    def __len__(self) -> int:
        return self._size

    def __bool__(self) -> bool:
        return self._size > 0

    def exposed(self) -> _Exposed:
        """A context manager that gives a read-only look at the bytes, valid inside only."""
        return _Exposed(self)

    def to_secret_bytes(self) -> bytes:
        """A copy for a library that takes nothing else.

        **Security:** Python cannot wipe it. It is gone only when its memory is used again.
        """
        return bytes(self._view())

    def matches(self, other: Secret | bytes) -> bool:
        """Compare in constant time (lengths are not secret)."""
        if isinstance(other, Secret):
            return hmac.compare_digest(self._view(), other._view())
        return hmac.compare_digest(self._view(), other)

    def wipe(self) -> None:
        """Overwrite the bytes with zeros now; harmless when done before."""
        self._wiped = True
        self._slot.view[: self._size] = bytes(self._size)

    def _view(self) -> memoryview:
        if self._wiped:
            raise UsageError("this secret was wiped already")
        return self._slot.view[: self._size].toreadonly()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        slot = getattr(self, "_slot", None)
        if slot is None:
            return
        slot.view[: self._size] = bytes(self._size)
        free = _free.get(len(slot.view)) if _free is not None else None
        if free is not None and len(slot.view) <= _LARGEST_SLOT:
            free.append(slot)

    def __repr__(self) -> str:
        return f"Secret({self._size} bytes)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("secrets do not compare; use matches()")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("secrets do not pickle")

    def __copy__(self) -> NoReturn:
        raise TypeError("secrets do not copy")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise TypeError("secrets do not copy")


class _Exposed:
    """Gives the view on entering and takes it back on leaving."""

    __slots__ = ("_secret", "_view")

    def __init__(self, secret: Secret) -> None:
        self._secret = secret  # keeps the memory from being used again meanwhile
        self._view: memoryview | None = None

    def __enter__(self) -> memoryview:
        self._view = self._secret._view()
        return self._view

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._view is None:
            return
        try:
            self._view.release()
        except BufferError:
            if kind is None:
                raise
