"""A domain of real processes for the benchmarks, and what parties do in it.

The authority is `tally authority run`: SQLite with synchronous=FULL, TLS 1.3 both ways.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from release_party import PASSPHRASE
from tigertally.base.clock import SystemClock
from tigertally.base.ids import Fingerprint, Name, ProposalId
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.cli.processes import Processes
from tigertally.crypto.passphrase import FOR_TESTS_ONLY
from tigertally.custody.client.holder import Holder
from tigertally.node.connect import connected, introduced
from tigertally.node.profile import create_profile, home, open_profile
from tigertally.quorum.card import Role
from tigertally.quorum.member.join import JoiningClient
from tigertally.quorum.pending import Status

SOURCE = Path(__file__).parents[1] / "src"
_TICKS = os.sysconf("SC_CLK_TCK")
UNWRITTEN = "PYTHONDONTWRITEBYTECODE"  # with it processes start half as fast


class Domain:
    """A domain on disk with its processes; ends them all when its stack closes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._stack = stack
        os.environ["TALLY_HOME"] = str(folder)
        os.environ["TALLY_PASSPHRASE"] = PASSPHRASE.decode()
        os.environ["PYTHONPATH"] = str(SOURCE)
        tally = Processes(home=folder, passphrase=PASSPHRASE.decode(), forks=False)
        self.tally = stack.enter_context(tally)
        self.parties: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, *command: str) -> None:
        """Start a party that is driven by pipes and wait until it says `ready`."""
        process = subprocess.Popen(
            [sys.executable, *command],
            env={name: one for name, one in os.environ.items() if name != UNWRITTEN},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.parties[name] = process
        self._stack.callback(self._end, process)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("ready"):
            raise SystemExit(f"{name} did not start: {line}")

    def stop(self, name: str) -> None:
        self._end(self.parties.pop(name))

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.terminate()
            process.communicate()

    def cpu(self) -> dict[str, float]:
        """Seconds of CPU that each process has spent, its children included."""
        spent = {}
        for name, process in {**self.tally.daemons, **self.parties}.items():
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            spent[name] = sum(map(int, fields[11:15])) / _TICKS
        return spent

    def found(self, threshold: int) -> dict[str, str]:
        """Start an authority; what `authority init` said."""
        made: dict[str, str] = self.tally.json(
            *("authority", "init", "--profile", "authority", "--listen", "127.0.0.1:0"),
            *("--threshold", str(threshold)),
        )
        self.tally.launch("authority", "authority", "run", "--profile", "authority").await_ready()
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
