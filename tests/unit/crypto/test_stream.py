from __future__ import annotations

import io
import json
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash
from tigertally.base.errors import InvalidSignature, UsageError
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto import aead, stream
from tigertally.crypto.files import atomic_output
from tigertally.crypto.kdf import derive
from tigertally.crypto.stream import (
    CHUNK_BYTES,
    HEADER_BYTES,
    MAGIC,
    SEALED_CHUNK_BYTES,
    StreamReader,
    decrypt_stream,
    encrypt_stream,
    encrypted_size,
)

VECTORS = Path(__file__).parents[2] / "vectors"
RECORDED = json.loads((VECTORS / "stream.json").read_text())["cases"]
KEY = Secret(bytes(range(32)))
BATCH = 4 * CHUNK_BYTES
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, BATCH - 1, BATCH]
SIZES += [BATCH + 1, BATCH + CHUNK_BYTES, 2 * BATCH, 3 * BATCH + 7]


def _plain(size: int) -> bytes:
    return SeededRandomness(size).bytes(size)


def _sealed(plain: bytes, context: bytes = b"ctx", key: Secret = KEY, seed: int = 1) -> bytes:
    sink = io.BytesIO()
    randomness = SeededRandomness(seed)
    done = encrypt_stream(key, io.BytesIO(plain), sink, context=context, randomness=randomness)
    assert done == len(plain)
    return sink.getvalue()


def _opened(sealed: bytes, context: bytes = b"ctx", key: Secret = KEY) -> bytes:
    sink = io.BytesIO()
    done = decrypt_stream(key, io.BytesIO(sealed), sink, context=context)
    assert done == len(sink.getvalue())
    return sink.getvalue()


def _refused(sealed: bytes, context: bytes = b"ctx", key: Secret = KEY) -> str:
    """Every way of opening it refuses; what the caller is told."""
    with pytest.raises(InvalidSignature) as caught:
        _opened(sealed, context, key)
    with pytest.raises(InvalidSignature):
        reader = StreamReader(key, io.BytesIO(sealed), context=context)
        reader.read_at(0, reader.size)
    return str(caught.value)


LONG = _plain(3 * CHUNK_BYTES + 100)
SEALED = _sealed(LONG)


def _chunks(sealed: bytes) -> list[bytes]:
    body = sealed[HEADER_BYTES:]
    return [body[i : i + SEALED_CHUNK_BYTES] for i in range(0, len(body), SEALED_CHUNK_BYTES)]


@pytest.mark.parametrize("size", SIZES)
def test_any_size_comes_back(size: int) -> None:
    plain = _plain(size)
    sealed = _sealed(plain)
    assert len(sealed) == encrypted_size(size)
    assert _opened(sealed) == plain


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["name"])
def test_the_format_stays_what_it_was(case: dict[str, str]) -> None:
    key, plain = Secret(bytes.fromhex(case["key"])), bytes.fromhex(case["plaintext"])
    context, sealed = bytes.fromhex(case["context"]), bytes.fromhex(case["sealed"])
    assert _opened(sealed, context, key) == plain


def test_the_layout_is_the_one_in_the_module_head() -> None:
    plain = _plain(CHUNK_BYTES + 5)
    sealed = _sealed(plain)
    magic, salt, context_hash, commitment = (sealed[a:b] for a, b in _spans(8, 32, 32, 32))
    assert magic == MAGIC
    assert context_hash == tagged_hash(tags.FILE_CONTEXT, b"ctx")
    assert derive(KEY, tags.FILE_COMMITMENT, salt, context_hash).matches(commitment)
    cipher = aead.cipher(derive(KEY, tags.FILE_KEY, salt, context_hash))
    first, last = _chunks(sealed)
    assert cipher.decrypt(bytes(12), first, None) == plain[:CHUNK_BYTES]
    assert cipher.decrypt(bytes(10) + b"\1\1", last, None) == plain[CHUNK_BYTES:]


def _spans(*sizes: int) -> list[tuple[int, int]]:
    at, spans = 0, []
    for size in sizes:
        spans.append((at, at + size))
        at += size
    return spans


def test_the_same_file_twice_shares_nothing_but_the_context_hash() -> None:
    one, two = _sealed(LONG, seed=1), _sealed(LONG, seed=2)
    assert one[40:72] == two[40:72]
    assert one[8:40] != two[8:40]
    assert one[72:104] != two[72:104]
    assert not set(_chunks(one)) & set(_chunks(two))


def test_cut_at_every_chunk_boundary() -> None:
    for count in range(len(_chunks(SEALED))):
        _refused(SEALED[: HEADER_BYTES + count * SEALED_CHUNK_BYTES])


def test_cut_anywhere() -> None:
    ends = [*range(HEADER_BYTES + 40), *range(HEADER_BYTES, len(SEALED), 4999)]
    ends += [HEADER_BYTES + SEALED_CHUNK_BYTES + i for i in range(-20, 20)]
    ends += [len(SEALED) - i for i in range(1, 120)]
    for end in ends:
        _refused(SEALED[:end])


def test_cut_of_a_file_of_whole_batches() -> None:
    sealed = _sealed(_plain(2 * BATCH))
    for count in range(len(_chunks(sealed))):
        _refused(sealed[: HEADER_BYTES + count * SEALED_CHUNK_BYTES])


def test_swapped_repeated_or_missing_chunks() -> None:
    head, chunks = SEALED[:HEADER_BYTES], _chunks(SEALED)
    orders = [[1, 0, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2], [3, 1, 2, 0], [0, 0, 1, 2, 3]]
    orders += [[0, 1, 2, 3, 3], [1, 2, 3], [0, 2, 3], [0, 1, 3], [3]]
    for order in orders:
        _refused(head + b"".join(chunks[i] for i in order))


def test_chunks_of_another_file_under_the_same_key() -> None:
    other = _sealed(LONG, seed=2)
    head, chunks, others = SEALED[:HEADER_BYTES], _chunks(SEALED), _chunks(other)
    for i in range(len(chunks)):
        _refused(head + b"".join([*chunks[:i], others[i], *chunks[i + 1 :]]))
    _refused(head + b"".join(others))


def test_a_flipped_bit_anywhere() -> None:
    places = [*range(HEADER_BYTES), *range(HEADER_BYTES, len(SEALED), 7919)]
    for i in [*places, len(SEALED) - 1]:
        _refused(SEALED[:i] + bytes([SEALED[i] ^ 4]) + SEALED[i + 1 :])


def test_appended_bytes() -> None:
    whole = _sealed(_plain(2 * CHUNK_BYTES))
    for sealed in (SEALED, whole, _sealed(b"")):
        for tail in (b"\0", bytes(16), bytes(SEALED_CHUNK_BYTES), _chunks(sealed)[-1], sealed):
            _refused(sealed + tail)


def test_another_key_another_context_no_stream_say_so() -> None:
    assert "another key" in _refused(SEALED, key=Secret(bytes(32)))
    assert "another context" in _refused(SEALED, context=b"ctx2")
    assert "another context" in _refused(SEALED, context=b"")
    assert "another key" in _refused(SEALED, context=b"", key=Secret(bytes(32)))
    assert "not an encrypted file" in _refused(b"%PDF-1.7" + bytes(500))
    assert "not an encrypted file" in _refused(b"")


def test_the_commitment_is_checked_before_anything_is_decrypted() -> None:
    # The chunks are right and the key is right; only the commitment is not.
    bad = SEALED[:72] + bytes(32) + SEALED[104:]
    sink = io.BytesIO()
    with pytest.raises(InvalidSignature, match="another key"):
        decrypt_stream(KEY, io.BytesIO(bad), sink, context=b"ctx")
    assert sink.getvalue() == b""


def test_only_authentic_bytes_reach_the_sink() -> None:
    plain = _plain(3 * BATCH)
    sealed = bytearray(_sealed(plain))
    sealed[-1] ^= 1
    sink = io.BytesIO()
    with pytest.raises(InvalidSignature):
        decrypt_stream(KEY, io.BytesIO(sealed), sink, context=b"ctx")
    assert sink.getvalue() == plain[: 2 * BATCH]


@pytest.mark.parametrize("damage", ["cut", "swapped", "flipped", "appended"])
def test_into_an_atomic_output_a_damaged_file_leaves_nothing(tmp_path: Path, damage: str) -> None:
    head, chunks = SEALED[:HEADER_BYTES], _chunks(SEALED)
    damaged = {
        "cut": SEALED[: -len(chunks[-1])],
        "swapped": head + chunks[1] + chunks[0] + b"".join(chunks[2:]),
        "flipped": SEALED[:-1] + bytes([SEALED[-1] ^ 1]),
        "appended": SEALED + b"\0",
    }[damage]
    with pytest.raises(InvalidSignature), atomic_output(tmp_path / "out") as sink:
        decrypt_stream(KEY, io.BytesIO(damaged), sink, context=b"ctx")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_last_chunk_is_for_empty_files_only() -> None:
    # Made by somebody who holds the key: two spellings of one file shall not exist.
    salt, context_hash = SEALED[8:40], SEALED[40:72]
    cipher = aead.cipher(derive(KEY, tags.FILE_KEY, salt, context_hash))
    first = cipher.encrypt(bytes(12), bytes(CHUNK_BYTES), None)
    empty = cipher.encrypt(bytes(10) + b"\1\1", b"", None)
    _refused(SEALED[:HEADER_BYTES] + first + empty)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(UsageError):
        _sealed(b"", key=Secret(bytes(16)))
    with pytest.raises(UsageError):
        _opened(SEALED, key=Secret(bytes(33)))


class _Dribble(io.RawIOBase):
    """Gives and takes at most 1,000 bytes at a time, as a slow pipe does."""

    def __init__(self, data: bytes = b"") -> None:
        self.inner = io.BytesIO(data)

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)[:1000]  # type: ignore[arg-type]
        return self.inner.readinto(view)

    def write(self, data: object) -> int:
        return self.inner.write(memoryview(data)[:1000])  # type: ignore[arg-type]


def test_short_reads_and_writes_change_nothing() -> None:
    sink = _Dribble()
    randomness = SeededRandomness(1)
    encrypt_stream(KEY, _Dribble(LONG), sink, context=b"ctx", randomness=randomness)  # type: ignore[arg-type]
    assert sink.inner.getvalue() == SEALED
    back = _Dribble()
    decrypt_stream(KEY, _Dribble(SEALED), back, context=b"ctx")  # type: ignore[arg-type]
    assert back.inner.getvalue() == LONG


def test_through_real_pipes() -> None:
    plain = _plain(1_000_000)
    plain_out, plain_in = os.pipe()
    sealed_out, sealed_in = os.pipe()

    def feed() -> None:
        with os.fdopen(plain_in, "wb") as sink:
            sink.write(plain)

    def encrypt() -> None:
        with os.fdopen(plain_out, "rb", 0) as source, os.fdopen(sealed_in, "wb", 0) as sink:
            randomness = SeededRandomness(1)
            encrypt_stream(KEY, source, sink, context=b"pipe", randomness=randomness)

    threads = [threading.Thread(target=work) for work in (feed, encrypt)]
    for thread in threads:
        thread.start()
    back = io.BytesIO()
    with os.fdopen(sealed_out, "rb", 0) as source:
        decrypt_stream(KEY, source, back, context=b"pipe")
    for thread in threads:
        thread.join()
    assert back.getvalue() == plain


def test_a_full_disk_is_an_error_not_a_short_file() -> None:
    with Path("/dev/full").open("wb", buffering=0) as sink, pytest.raises(OSError, match="space"):
        encrypt_stream(KEY, io.BytesIO(LONG), sink, context=b"", randomness=SeededRandomness(1))


def test_progress_counts_plaintext_up_to_the_end() -> None:
    plain = _plain(2 * BATCH + 5)
    sealed, seen, back = io.BytesIO(), [], []
    randomness = SeededRandomness(1)
    encrypt_stream(
        KEY, io.BytesIO(plain), sealed, context=b"", randomness=randomness, progress=seen.append
    )
    sealed.seek(0)
    decrypt_stream(KEY, sealed, io.BytesIO(), context=b"", progress=back.append)
    assert seen == back == [BATCH, 2 * BATCH, 2 * BATCH + 5]


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def readinto(self, buffer: object) -> int:
        count = min(self.left, memoryview(buffer).nbytes)  # type: ignore[arg-type]
        self.left -= count
        return count


class _Counter(io.RawIOBase):
    size = 0

    def write(self, data: object) -> int:
        count = memoryview(data).nbytes  # type: ignore[arg-type]
        self.size += count
        return count


def test_memory_does_not_grow_with_the_file() -> None:
    peaks = []
    for size in (2 * BATCH, 100 * BATCH):
        sink = _Counter()
        tracemalloc.start()
        randomness = SeededRandomness(1)
        encrypt_stream(KEY, _Zeros(size), sink, context=b"", randomness=randomness)  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sink.size == encrypted_size(size)
    assert peaks[1] < 2 * 1024 * 1024
    assert peaks[1] < peaks[0] + 64 * 1024


@pytest.mark.parametrize("size", SIZES)
def test_random_access_reads_what_is_there(size: int) -> None:
    plain = _plain(size)
    reader = StreamReader(KEY, io.BytesIO(_sealed(plain)), context=b"ctx")
    assert reader.size == size
    assert reader.read_at(0, size + 10) == plain
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, size - 1, size, size + 1]
    for start in (edge for edge in edges if edge >= 0):
        for count in (0, 1, 2, 1000, CHUNK_BYTES + 2):
            assert reader.read_at(start, count) == plain[start : start + count]


def test_random_access_inside_a_larger_file() -> None:
    whole = b"front matter" + SEALED + b"trailer of 32 bytes"
    end = len(whole) - len(b"trailer of 32 bytes")
    reader = StreamReader(KEY, io.BytesIO(whole), context=b"ctx", start=12, end=end)
    assert reader.read_at(0, len(LONG)) == LONG
    for start, stop in [(11, end), (12, end - 1), (12, end + 1), (12, 12), (12, 5), (0, None)]:
        with pytest.raises(InvalidSignature):
            StreamReader(KEY, io.BytesIO(whole), context=b"ctx", start=start, end=stop)


def test_random_access_authenticates_what_it_touches() -> None:
    damaged = bytearray(SEALED)
    damaged[HEADER_BYTES + SEALED_CHUNK_BYTES + 5] ^= 1  # the second chunk
    reader = StreamReader(KEY, io.BytesIO(damaged), context=b"ctx")
    assert reader.read_at(0, CHUNK_BYTES) == LONG[:CHUNK_BYTES]
    for _ in range(2):
        with pytest.raises(InvalidSignature, match="chunk 1"):
            reader.read_at(CHUNK_BYTES - 1, 2)
    assert reader.read_at(2 * CHUNK_BYTES, 100) == LONG[2 * CHUNK_BYTES :][:100]


def test_a_file_that_shrinks_under_the_reader_is_refused() -> None:
    source = io.BytesIO(SEALED)
    reader = StreamReader(KEY, source, context=b"ctx")
    source.truncate(HEADER_BYTES + 1000)
    with pytest.raises(InvalidSignature):
        reader.read_at(0, 10)


def test_random_access_refuses_negative_places() -> None:
    reader = StreamReader(KEY, io.BytesIO(SEALED), context=b"ctx")
    for offset, size in [(-1, 1), (0, -1)]:
        with pytest.raises(UsageError):
            reader.read_at(offset, size)


def test_batches_are_what_the_tests_above_assume() -> None:
    assert stream._BATCH * CHUNK_BYTES == BATCH
