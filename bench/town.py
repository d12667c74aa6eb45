"""A domain of real processes for the benchmarks, and what parties do in it.

The authority is `tally authority run`: SQLite with synchronous=FULL, TLS 1.3 both ways.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from release_party import PASSPHRASE
from tigertally.base.clock import SystemClock
from tigertally.base.ids import Fingerprint, Name, ProposalId
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.custody.client.holder import Holder
from tigertally.node.connect import connected, introduced
from tigertally.node.profile import create_profile, home, open_profile
from tigertally.quorum.card import Role
from tigertally.quorum.member.join import JoiningClient
from tigertally.quorum.pending import Status

SOURCE = Path(__file__).parents[1] / "src"
_TICKS = os.sysconf("SC_CLK_TCK")
_TALLY = "from tigertally.cli.main import main; main()"


class Domain:
    """A domain on disk with its processes; ends them all when its stack closes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        os.environ["TALLY_HOME"] = str(folder)
        os.environ["TALLY_PASSPHRASE"] = PASSPHRASE.decode()
        self._environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def command(self, *args: str) -> Any:
        command = [sys.executable, "-c", _TALLY, *args, "--json"]
        done = subprocess.run(command, env=self._environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def start(self, name: str, *command: str, speaks: str = "stdout") -> None:
        """Start a process and wait until it says `ready`."""
        pipes: dict[str, int] = {speaks: subprocess.PIPE}
        process = subprocess.Popen(
            [sys.executable, *command],
            env=self._environment,
            stdin=subprocess.PIPE,
            text=True,
            **pipes,  # type: ignore[call-overload]
        )
        self.processes[name] = process
        self._stack.callback(self._end, process)
        line = getattr(process, speaks).readline()
        if not line.startswith("ready"):
            raise SystemExit(f"{name} did not start: {line}")

    def stop(self, name: str) -> None:
        self._end(self.processes.pop(name))

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.terminate()
            process.communicate()

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each process has spent, its children included."""
        spent = {}
        for name, process in self.processes.items():
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            spent[name] = sum(map(int, fields[11:15])) / _TICKS
        return spent

    def found(self, threshold: int) -> dict[str, str]:
        """Start an authority; what `authority init` said."""
        made: dict[str, str] = self.command(
            *("authority", "init", "--profile", "authority", "--listen", "127.0.0.1:0"),
            *("--threshold", str(threshold)),
        )
        run_authority = ("-c", _TALLY, "authority", "run", "--profile", "authority")
        self.start("authority", *run_authority, speaks="stderr")
        return made


def member(name: str, role: Role) -> None:
    """A new profile, not enrolled yet."""
    create_profile(
        home(),
        Name(name),
        role=role,
        member=Name(name),
        passphrase=Secret(PASSPHRASE),
        randomness=SystemRandomness(),
        now=SystemClock().now(),
        parameters=FOR_TESTS_ONLY,
    ).close()


async def enrol(name: str, role: Role, made: dict[str, str], holders: Sequence[str]) -> None:
    """Make a profile and enrol it, with the approval of these holders (none: with the PIN)."""
    member(name, role)
    with open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE)) as profile:
        where = made["url"], Fingerprint.from_text(made["fingerprint"])
        async with introduced(profile, *where) as (party, key):
            joining = JoiningClient(party, name=Name(name), role=role, authority=key)
            if not holders:
                await joining.with_pin(made["pin"])
            else:
                asked = await joining.ask()
                await approve(asked.proposal.hex(), holders)
                await joining.ask()
            if role is Role.HOLDER:
                await Holder(party).sync()


async def approve(proposal: str, by: Sequence[str]) -> None:
    """Holders say yes until it is enough."""
    for name in by:
        with open_profile(home(), Name(name), passphrase=lambda: Secret(PASSPHRASE)) as profile:
            async with connected(profile) as party:
                client = Holder(party)
                synced, _ = await client.sync(renew=False)
                seen = await client.member.find(ProposalId.from_text(proposal), synced)
                state, _ = await client.approve(seen, synced)
                if state.status is Status.COMPLETE:
                    return
