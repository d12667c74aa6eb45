"""`tally quickstart`: the main job, once, for real, on this machine; one table says how."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from tigertally.base.errors import TigertallyError, UsageError
from tigertally.cli.output import emit, note, table
from tigertally.cli.processes import Processes, StepFailed, preload

HOLDERS = ("anna", "ben", "chen", "dara", "emil")
QUORUM = 3
LOST, SUCCESSOR = "ben", "fina"
REQUESTER = "backup-job"
KEY = "records"
_SAMPLE_ROWS = 20_000
_EPOCH_SECONDS = 60.0


@dataclass(slots=True)
class Steps:
    """What has happened so far, in words, with the time it took."""

    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step: its time, and whether it went well."""
        note(f"  {what} …")
        began = time.monotonic()
        ok = False
        try:
            yield
            ok = True
        finally:
            self.done.append(
                {
                    "capability": "custody",
                    "what": what,
                    "ok": ok,
                    "seconds": round(time.monotonic() - began, 2),
                }
            )


def quickstart(
    dir_: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            help="Where the profiles go; default: a new one, removed at the end.",
            metavar="DIR",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="The file to encrypt and decrypt; default: a made-up one.",
            exists=True,
            dir_okay=False,
            readable=True,
            metavar="FILE",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the directory with all profiles and logs.")
    ] = False,
) -> None:
    """Do the main job once, for real, on this machine, and say what happened."""
    steps = Steps()
    failure: TigertallyError | None = None
    home = _directory(dir_)
    try:
        with Processes(home=home, passphrase=secrets.token_urlsafe(16)) as processes:
            try:
                Rehearsal(processes, steps, file or _sample(home)).play()
            except TigertallyError as error:
                failure = error
            except KeyboardInterrupt as interrupt:
                interrupt.add_note("nothing is left of it; run it again from the start")
                raise
    finally:
        if not keep and dir_ is None:
            shutil.rmtree(home, ignore_errors=True)
    document = {"ok": failure is None, "steps": steps.done}
    if keep or dir_ is not None:
        document["dir"] = str(home)
    rows = [(s["what"], "yes" if s["ok"] else "NO", f"{s['seconds']:.2f}") for s in steps.done]
    emit(document, table(("what happened", "ok", "seconds"), rows, empty="nothing happened"))
    if failure is not None:
        raise failure


def _directory(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="tigertally-"))
    if wanted.exists() and any(wanted.iterdir()):
        raise UsageError(f"{wanted} is not empty: quickstart begins with nothing")
    wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    return wanted.absolute()


def _sample(home: Path) -> Path:
    """A made-up file of about 1.3 MB."""
    path = home / "records.csv"
    with path.open("w", encoding="utf-8") as sink:
        sink.write("number,name,finding\n")
        for number in range(_SAMPLE_ROWS):
            sink.write(f"{number},patient {number * 7919 % 100_003},made up for quickstart\n")
    return path


class Rehearsal:
    """The play: an authority, five holders, a requester, one file."""

    def __init__(self, processes: Processes, steps: Steps, file: Path) -> None:
        self._processes = processes
        self._steps = steps
        self._file = file.absolute()
        self._sealed = processes.home / "records.tally"
        self._opened = processes.home / "records.again"
        self._where: tuple[str, ...] = ()

    def play(self) -> None:
        """All steps in order; raises at the first that fails."""
        step = self._steps.step
        with step("the authority starts; it prints a fingerprint and a one-time PIN"):
            pin = self._authority()
        first, others = HOLDERS[:QUORUM], HOLDERS[QUORUM:]
        with step(f"three holders enrol ({', '.join(first)}), the first with the PIN"):
            self._found(pin)
            self._enrol_holders(first[1:])
        with step(f"two more enrol ({', '.join(others)}); three holders approve each"):
            self._enrol_holders(others)
            for name in HOLDERS:
                self._processes.daemons[name].await_ready()
        with step(f"a requester ({REQUESTER}) enrols; three holders approve"):
            self._enrol_requester()
        with step(f"three holders make the key {KEY} jointly; all five hold a fragment"):
            self._make_key()
        size = self._file.stat().st_size
        with step(f"three of five release the key; the file is encrypted ({size:,} bytes)"):
            self._with_release("encrypt", self._file, self._sealed, HOLDERS[:3])
        with step(f"{LOST}'s laptop is lost: three others vote it out; the key is shared anew"):
            self._remove()
        with step(f"{SUCCESSOR} joins; the key is shared anew, and stays the same key"):
            self._replace()
        with step("the authority is restarted: it comes up locked and refuses key commands"):
            self._restart()
        with step(f"{HOLDERS[4]} unlocks it"):
            self._processes.run("holder", "unlock", "--profile", HOLDERS[4])
        by = (*HOLDERS[3:], SUCCESSOR)
        with step(f"{by[0]}, {by[1]} and {by[2]} release the key; the file is decrypted, compared"):
            self._with_release("decrypt", self._sealed, self._opened, by)
            self._compare()
        with step("a holder verifies the audit log; a tally is verified offline"):
            self._verify()

    def _authority(self) -> str:
        made = self._processes.json(
            "authority",
            "init",
            "--profile",
            "authority",
            "--listen",
            "127.0.0.1:0",
            "--threshold",
            str(QUORUM),
        )
        self._where = ("--url", made["url"], "--fingerprint", made["fingerprint"])
        self._processes.launch("authority", "authority", "run", "--profile", "authority")
        preload()
        self._processes.daemons["authority"].await_ready()
        return str(made["pin"])

    def _found(self, pin: str) -> None:
        founder = HOLDERS[0]
        self._processes.run("holder", "enrol", "--profile", founder, *self._where, "--pin", pin)
        self._processes.fork(founder, "holder", "run", "--profile", founder)

    def _enrol_holders(self, names: tuple[str, ...]) -> None:
        for name in names:
            self._admit("holder", name, list(HOLDERS[: min(HOLDERS.index(name), QUORUM)]))
            self._processes.fork(name, "holder", "run", "--profile", name)

    def _admit(self, role: str, name: str, by: Sequence[str]) -> None:
        enrol = (role, "enrol", "--profile", name, *self._where)
        self._approved(enrol, by)

    def _approved(self, command: tuple[str, ...], by: Sequence[str]) -> None:
        """Run a command that asks the holders; once these have approved, again: it goes on."""
        asked = self._processes.json(*command, "--no-wait")
        self._approve(asked["proposal"], by)
        self._processes.run(*command, "--wait", "60")

    def _approve(self, proposal: str, by: Sequence[str]) -> None:
        """Several people approve at the same time."""
        running = [
            self._processes.start("holder", "approve", proposal, "--profile", name) for name in by
        ]
        for one in running:
            self._processes.finish(one)

    def _enrol_requester(self) -> None:
        self._admit("requester", REQUESTER, list(HOLDERS[:QUORUM]))

    def _make_key(self) -> None:
        proposer, *others = HOLDERS[:QUORUM]
        self._approved(("key", "create", KEY, "--profile", proposer), others)

    def _with_release(self, what: str, source: Path, target: Path, by: tuple[str, ...]) -> None:
        """The requester asks for the key, three people approve, and it goes on."""
        command = (
            what,
            "--profile",
            REQUESTER,
            "--key",
            KEY,
            "--reason",
            f"quickstart: {what}",
            "--in",
            str(source),
            "--out",
            str(target),
        )
        self._approved(command, by)

    def _remove(self) -> None:
        """The lost device answers no more; its fragment is of no use once the others have dealt."""
        self._processes.stop(LOST)
        proposer, *others = (HOLDERS[0], *HOLDERS[2:4])
        remove = ("holder", "remove", LOST, "--profile", proposer)
        asked = self._processes.json(*remove, "--no-wait")
        self._approve(asked["proposal"], others)
        self._await_epoch(2)

    def _replace(self) -> None:
        self._admit("holder", SUCCESSOR, [HOLDERS[0], *HOLDERS[2:4]])
        self._processes.fork(SUCCESSOR, "holder", "run", "--profile", SUCCESSOR)
        self._processes.daemons[SUCCESSOR].await_ready()
        self._await_epoch(3)

    def _await_epoch(self, epoch: int) -> None:
        """Until all holders have their fragment of this epoch; their daemons see to it."""
        deadline = time.monotonic() + _EPOCH_SECONDS
        while time.monotonic() < deadline:
            shown = self._processes.json("key", "show", KEY, "--profile", HOLDERS[0])
            if (shown["epoch"], shown["state"], shown["missing"]) == (epoch, "active", []):
                return
        raise StepFailed(f"the key {KEY} did not get to epoch {epoch}: {shown['state']}")

    def _restart(self) -> None:
        self._processes.stop("authority")
        self._processes.launch("authority", "authority", "run", "--profile", "authority")
        self._processes.daemons["authority"].await_ready()
        self._processes.run("key", "list", "--profile", HOLDERS[0], code=4)

    def _compare(self) -> None:
        with self._file.open("rb") as one, self._opened.open("rb") as other:
            while True:
                left, right = one.read(1 << 20), other.read(1 << 20)
                if left != right:
                    raise StepFailed("the decrypted file differs from the original")
                if not left:
                    return

    def _verify(self) -> None:
        self._processes.run("audit", "verify", "--profile", HOLDERS[2])
        tallies = self._processes.json("tally", "list", "--profile", HOLDERS[2])
        tally, roster = self._processes.home / "last.tally", self._processes.home / "domain.roster"
        last = [t["id"] for t in tallies if t["kind"] == "custody.release"][-1]
        export = ("tally", "export", last, "--profile", HOLDERS[2], "--out", str(tally))
        self._processes.run(*export)
        self._processes.run("roster", "export", "--profile", HOLDERS[2], "--out", str(roster))
        self._processes.run("tally", "verify", str(tally), "--roster", str(roster))
