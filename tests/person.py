"""`person.py ANSWER COMMAND…`: a person who runs a command of a page at a terminal and answers it.

Passes on what stands on the screen, and ends as the command ended. The question is awaited: what is
typed sooner answers nothing.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import termios

from terminal import Terminal

WIDE = 140  # columns: an id with what stands beside it is one line of a page


def main() -> None:
    """Run, answer, pass on."""
    answer, *command = sys.argv[1:]
    terminal = Terminal(WIDE)
    running = subprocess.Popen(
        command,
        stdin=terminal.far,
        stdout=terminal.far,
        stderr=terminal.far,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one thread
    )
    terminal.started()
    terminal.await_text(r"\[y/N\] $")
    terminal.type(f"{answer}\n")
    sys.stdout.write(terminal.read_to_end())
    sys.stdout.flush()
    sys.exit(running.wait())


main()
