"""A person at a terminal: a real pseudo-terminal, on which a program of a test runs.

    terminal = town.at_terminal("holder", "approve", id_[:8], "--profile", "alice")
    terminal.await_text(r"Approve\\?")
    terminal.type("y\\n")
    assert terminal.wait().code == 0

Nothing sleeps: `await_text` reads until the text is there. What is typed goes through the line
discipline, so `CTRL_C` is a signal and `CTRL_D` the end of the input.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import struct
import termios
import time

CTRL_C, CTRL_D = "\x03", "\x04"
_SECONDS = 60.0


class Terminal:
    """One terminal; a program gets its descriptor `far`, and `started` when it has it."""

    def __init__(self, columns: int = 100, rows: int = 50) -> None:
        self._near, self.far = os.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._raw = b""

    def started(self) -> None:
        """Only the program has the far end now: it is closed when that ends."""
        os.close(self.far)

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            os.close(self._near)

    @property
    def shown(self) -> str:
        """All that has stood on the screen so far, what was typed among it."""
        return self._raw.decode(errors="replace").replace("\r\n", "\n")

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._near, text.encode())

    def await_text(self, pattern: str) -> str:
        """Wait until this regular expression stands on the screen; all that is shown."""
        deadline = time.monotonic() + _SECONDS
        while not re.search(pattern, self.shown):
            assert self._more(deadline), f"never shown: {pattern!r}\n{self.shown}"
        return self.shown

    def read_to_end(self) -> str:
        """Wait until the program has closed its end; all that was shown."""
        deadline = time.monotonic() + _SECONDS
        while self._more(deadline):
            pass
        return self.shown

    def _more(self, deadline: float) -> bool:
        """Take what the program has written; False once its end is closed."""
        left = max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select([self._near], [], [], left)
        assert ready, f"the program says no more and does not end\n{self.shown}"
        try:
            chunk = os.read(self._near, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # so Linux says that the far end is closed
                raise
            return False
        self._raw += chunk
        return bool(chunk)
