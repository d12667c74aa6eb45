"""Real processes of `tally` without Python's start-up: one process loads the program, then forks.

`python tests/fork_server.py SOCKET` waits on a Unix socket. Each connection asks for one process:
one packet with arguments, environment and folder, beside it the three standard descriptors; it
gets back the process id and, at its end, the exit code. Nothing secret is ever in the server. All
its children die with it. New passphrases are cheap to try.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import importlib
import itertools
import json
import os
import selectors
import signal
import socket
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cheap_tally import make_cheap

if TYPE_CHECKING:
    from tigertally.storage.store import Transaction

MAX_PACKET = 100_000
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent goes."""
    _die_with_parent()
    make_cheap()
    _load_commands()
    _load_daemons()
    gc.freeze()  # no collection of a child touches, and so copies, what all of them share
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(sys.argv[1])
    listener.listen(64)
    print("listening", flush=True)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(wake, selectors.EVENT_READ)
    asked: dict[int, socket.socket] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is wake:
                wake.recv(4096)
            else:
                connection, _ = listener.accept()
                asked[_fork(connection)] = connection
        _reap(asked)


def _load_commands() -> None:
    """What commands load; yesterday's program, which we serve too, has it in another place."""
    try:
        from tigertally.cli.processes import preload
    except ImportError:
        stage = importlib.import_module("tigertally.cli.stage")
        stage.Stage(Path(), "").preload()
    else:
        preload()


def _load_daemons() -> None:
    """What daemons load; a fork of this process has it already."""
    import aiohttp.web  # noqa: F401
    import alembic  # noqa: F401

    import tigertally.node.daemon
    import tigertally.storage.migrations
    import tigertally.storage.sqlite  # noqa: F401


def _fork(connection: socket.socket) -> int:
    packet, descriptors, _, _ = socket.recv_fds(connection, MAX_PACKET, 3)
    pid = os.fork()
    if pid == 0:
        _become(json.loads(packet), descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.send(json.dumps({"pid": pid}).encode())
    return pid


def _reap(asked: dict[int, socket.socket]) -> None:
    while asked:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        connection = asked.pop(pid)
        with contextlib.suppress(OSError):  # nobody waits for it
            connection.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
        connection.close()


def _become(wanted: dict[str, object], descriptors: list[int]) -> None:
    """In the forked child: be `tally ARGS`, and never come back."""
    code = 70
    try:
        _die_with_parent()
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
        os.closerange(3, 1024)
        with contextlib.suppress(OSError):  # no terminal, or that of the shell behind the client
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        faulthandler.enable()
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        os.chdir(str(wanted["folder"]))
        os.environ.clear()
        os.environ.update(wanted["environment"])  # type: ignore[call-overload]
        sys.argv[0] = "tally"
        _arm_faults()
        program = os.environ.pop("FAULT_PROGRAM", "tigertally.cli.main")
        run = importlib.import_module(program).run
        code = run(list(wanted["args"]))  # type: ignore[call-overload]
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _arm_faults() -> None:
    """What only tests ask for, by environment variables that the product does not know.

    `FAULT_AT=N`: this process kills itself (`kill -9`) at its N-th journal step: just before or
    after a commit of its store, just before a message is sent or after its answer has come, just
    before or after a profile gets its name.
    `FAULT_CLOCK=S`: its clock is S seconds ahead (or behind, with a minus); or as many as now stand
    in the file S, if there.
    `FAULT_FULL=FILE`: its disk is full while that file is there (`full_disk.FullDisk.watch`).
    `FAULT_CHORES=S`: the authority looks for background work every S seconds.
    `FAULT_PROGRAM=MODULE`: it is not `tally` but the `run` of that module.
    `FAULT_TOMORROW=1`: it is tomorrow's program (`tomorrow.py`).
    """
    if os.environ.pop("FAULT_TOMORROW", ""):
        import tomorrow

        tomorrow.arm()
    marker = os.environ.pop("FAULT_FULL", "")
    if marker:
        from full_disk import FullDisk

        FullDisk().watch(Path(marker))
    chores = os.environ.pop("FAULT_CHORES", "")
    if chores:
        from tigertally.node import authority

        authority._CHORE_SECONDS = float(chores)
    ahead = os.environ.pop("FAULT_CLOCK", "")
    if ahead:
        # yesterday's program has it in another file, but there under the same name
        clock: Any = importlib.import_module("tigertally.node.daemon").SystemClock
        now, said = clock.now, Path(ahead)

        def shifted(self: Any) -> int:
            if ahead.removeprefix("-").isdecimal():
                return now(self) + int(ahead)
            return now(self) + (int(said.read_text()) if said.exists() else 0)

        clock.now = shifted
    at = int(os.environ.pop("FAULT_AT", "0"))
    if at:
        _kill_at(at)


def _kill_at(number: int) -> None:
    from tigertally.storage.sql import SqlStore
    from tigertally.transport.client import HttpChannel

    left = itertools.count(number - 1, -1)

    def step() -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    transaction, call = SqlStore.transaction, HttpChannel.call

    @contextlib.contextmanager
    def watched_transaction(self: SqlStore) -> Iterator[Transaction]:
        with transaction(self) as tx:
            yield tx
            step()
        step()

    async def watched_call(
        self: HttpChannel, path: str, body: bytes, *, wait: float = 30.0
    ) -> bytes:
        step()
        answer = await call(self, path, body, wait=wait)
        step()
        return answer

    rename = Path.rename

    def watched_rename(self: Path, target: Path) -> Path:
        step()
        renamed = rename(self, target)
        step()
        return renamed

    Path.rename = watched_rename  # type: ignore[method-assign,assignment]
    SqlStore.transaction = watched_transaction  # type: ignore[method-assign]
    HttpChannel.call = watched_call  # type: ignore[method-assign]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
