from __future__ import annotations

import pytest

from tigertally.base.errors import UsageError
from tigertally.storage.writer import WriterLock


def test_it_is_free_again_after_an_exception():
    lock = WriterLock(0.0)
    with pytest.raises(ValueError, match="inside"), lock.held():
        raise ValueError("inside")
    with lock.held():
        pass


def test_waiting_for_oneself_is_refused_and_keeps_the_lock():
    lock = WriterLock(0.0)
    with lock.held():
        for _ in range(2):
            with pytest.raises(UsageError), lock.held():
                pass
    with lock.held():
        pass
