from __future__ import annotations

import io

import pytest

from tigertally.base.errors import InvalidSignature
from tigertally.base.ids import Hash
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.merkle import RunningRoot, Tree, leaf_hash
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.protocol.signing import (
    PIECE_BYTES,
    TRAILER_BYTES,
    ContentHash,
    SigningSource,
    VerifyingSink,
)

KEY = SigningKey.generate(SeededRandomness(1))
HEADER = Hash(bytes(range(32)))
SIZES = (0, 1, 95, 96, 97, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5)


def signed(content: bytes, *, step: int = 70_000) -> bytes:
    source = SigningSource(io.BytesIO(content), HEADER, KEY)
    out, view = b"", memoryview(bytearray(step))
    while count := source.readinto(view):
        out += bytes(view[:count])
    assert source.length == len(content)
    return out


def verified(plain: bytes, *, step: int = 70_000, header: Hash = HEADER) -> bytes:
    sink = io.BytesIO()
    verifying = VerifyingSink(sink, header, signed=True)
    for at in range(0, len(plain), step):
        verifying.write(memoryview(plain)[at : at + step])
    assert verifying.sender() == KEY.public
    assert verifying.length == len(sink.getvalue())
    return sink.getvalue()


def test_the_running_root_is_the_tree_of_rfc_6962():
    running, tree = RunningRoot(), Tree()
    for number in range(40):
        assert running.root() == tree.root()
        leaf = leaf_hash(bytes([number]))
        running.append(leaf)
        tree.append(leaf)


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_over_pieces(size):
    content = SeededRandomness(size).bytes(size)
    tree = Tree()
    for at in range(0, size, PIECE_BYTES):
        tree.append(leaf_hash(content[at : at + PIECE_BYTES]))
    for step in (1 << 20, 50_001):
        found = ContentHash()
        for at in range(0, size, step):
            found.update(memoryview(content)[at : at + step])
        assert found.root() == tree.root()


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("size", SIZES)
def test_what_was_signed_verifies_however_it_comes(size):
    content = SeededRandomness(size).bytes(size)
    plain = signed(content)
    assert len(plain) == size + TRAILER_BYTES
    assert plain[:size] == content
    for step in (50, 96, 1 << 20) if size < 1000 else (50_001, 1 << 20):
        assert verified(plain, step=step) == content
    assert signed(content, step=31 if size < 1000 else 9999) == plain


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("at", [0, 50, 100, 131, 140, 195])
def test_any_change_is_refused(at):
    plain = bytearray(signed(bytes(100)))
    plain[at] ^= 1
    with pytest.raises(InvalidSignature):
        verified(bytes(plain))


def test_another_header_and_a_cut_trailer_are_refused():
    plain = signed(b"content")
    with pytest.raises(InvalidSignature):
        verified(plain, header=Hash(bytes(32)))
    for cut in (0, 50, 95):
        with pytest.raises(InvalidSignature):
            verified(plain[:cut])
    with pytest.raises(InvalidSignature):
        verified(b"x" + plain)


def test_without_a_signature_everything_is_content():
    source = SigningSource(io.BytesIO(b"abc"), HEADER, None)
    view = memoryview(bytearray(10))
    assert (source.readinto(view), source.readinto(view)) == (3, 0)
    sink = io.BytesIO()
    verifying = VerifyingSink(sink, HEADER, signed=False)
    verifying.write(memoryview(b"abc"))
    assert sink.getvalue() == b"abc"
    assert verifying.sender() is None


@pytest.mark.requirement("D6")
@pytest.mark.parametrize("size", [0, 31, 32, 95])
def test_too_short_for_a_sender_is_not_unsigned(size):
    verifying = VerifyingSink(io.BytesIO(), HEADER, signed=True)
    verifying.write(memoryview(bytes(size)))
    with pytest.raises(InvalidSignature, match="too short"):
        verifying.sender()
