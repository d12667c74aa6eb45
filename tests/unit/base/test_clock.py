from __future__ import annotations

from tigertally.base.clock import Clock, ManualClock


def test_moves_only_when_told_to() -> None:
    clock: Clock = ManualClock(100)
    assert [clock.now(), clock.now()] == [100, 100]
    assert isinstance(clock, ManualClock)
    clock.advance(25)
    assert clock.now() == 125
