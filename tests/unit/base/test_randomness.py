from __future__ import annotations

import hashlib

from tigertally.base.randomness import SeededRandomness, SystemRandomness


def test_seeded_bytes_repeat_and_never_overlap() -> None:
    one, two = SeededRandomness(7), SeededRandomness(7)
    first = [one.bytes(n) for n in (0, 1, 32, 33, 100)]
    assert first == [two.bytes(n) for n in (0, 1, 32, 33, 100)]
    assert [len(part) for part in first] == [0, 1, 32, 33, 100]
    assert one.bytes(32) != one.bytes(32)
    assert SeededRandomness(8).bytes(32) != SeededRandomness(7).bytes(32)


def test_seeded_bytes_are_sha256_in_counter_mode() -> None:
    expected = b"".join(hashlib.sha256(b"7/" + i.to_bytes(8, "big")).digest() for i in range(2))
    assert SeededRandomness(7).bytes(64) == expected


def test_system_bytes_have_the_asked_length_and_differ() -> None:
    system = SystemRandomness()
    assert system.bytes(0) == b""
    assert len(system.bytes(100)) == 100
    assert system.bytes(32) != system.bytes(32)
