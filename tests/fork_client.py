"""`tally ARGS` for shells of tests: has the fork server run it, and ends as it ended.

`python -I -S tests/fork_client.py SOCKET ARGS` passes on its standard descriptors, its environment,
its folder and the signals it gets. It loads nothing, so a command starts in milliseconds.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    """Ask for the process, and wait for its end."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(sys.argv[1])
    wanted = {"args": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}  # noqa: PTH109  pathlib costs time
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    socket.send_fds(connection, [json.dumps(wanted).encode()], [0, 1, 2])
    pid = json.loads(connection.recv(1000))["pid"]
    for number in signals:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    told = connection.recv(1000)
    code = json.loads(told)["code"] if told else 70
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


main()
