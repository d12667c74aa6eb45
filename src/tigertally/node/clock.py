"""The real clock."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Unix time in seconds."""
        return int(time.time())
