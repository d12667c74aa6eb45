"""A soak: days of a domain at random, drawn from a seed, on real processes, against a model.

The model knows who is a holder, which daemons run, whether the authority is locked, and who holds
a fragment of the newest epoch. So it says before each command whether it must succeed, be refused
or find the authority locked; and a released key must be the same 32 bytes for ever. Whatever else
happens is an error. Commands and signals follow from the seed and the model alone, never from
timing, so the same seed gives the same plan.
"""

from __future__ import annotations

import random
import re
import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from process_rig import HOLDERS, SECONDS, THRESHOLD, Command, Town
from tigertally.cli.processes import Outcome

KEYS = ("payroll", "vault")
FEWEST, MOST = THRESHOLD + 1, 5  # holders
REFUSED, UNAVAILABLE = 3, 4
MOST_VERSIONS = 4


@dataclass
class Soak:
    """A town and what must be true of it."""

    town: Town
    folder: Path
    seed: int
    holders: list[str] = field(default_factory=lambda: list(HOLDERS))
    gone: list[str] = field(default_factory=list)
    able: set[str] = field(default_factory=lambda: set(HOLDERS))  # surely hold a live fragment
    daemons: dict[str, Command] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KEYS, 1))
    finals: dict[str, bytes] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    steps: int = 0
    last: str = "the beginning"

    def __post_init__(self) -> None:
        self.dice = random.Random(f"soak/{self.seed}")

    def go_on(self, seconds: float) -> None:
        """Steps for so long, then a last check of everything."""
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                self.step()
            self.last = "the end"
            self.settle()
            for key in KEYS:
                self.release(key)
            self.timed("audit verify", "audit", "verify", "--profile", self.holders[0])
            self.stop_daemons()
        except AssertionError as error:
            raise AssertionError(
                f"seed {self.seed}, step {self.steps}, {self.last}: {error}"
            ) from error

    def step(self) -> None:
        """One event."""
        plan: dict[Callable[[], None], int] = {
            self.plain_release: 8,
            self.two_releases: 3,
            self.release_through_a_restart: 3,
            self.killed_command: 4,
            self.restart: 2,
            self.killed_midway: 4,
            self.join: 4,
            self.removal: 4,
            self.two_changes: 2,
            self.rotation: 1,
            self.daemon: 4,
            self.late_holder: 2,
        }
        event = self.dice.choices(list(plan), list(plan.values()))[0]
        self.steps += 1
        self.last = event.__name__
        event()
        self.done[event.__name__] += 1

    # --- commands ---------------------------------------------------------------------------

    def timed(self, name: str, *args: str | Path, code: int = 0) -> Outcome:
        """Run a command that must end with this code, and note how long it took."""
        start = time.monotonic()
        outcome = self.town.run(*args, code=code)
        if code == 0:
            self.seconds.setdefault(name, []).append(time.monotonic() - start)
        return outcome

    def sync(self, *names: str) -> list[dict[str, Any]]:
        """These holders sync; what each was told."""
        told = []
        for name in names:
            outcome = self.timed("sync", "holder", "sync", "--profile", name, "--json")
            told.append(outcome.document())
        return told

    def approve(self, proposal: str, *by: str) -> None:
        for name in by:
            self.timed("approve", "holder", "approve", proposal, "--profile", name)

    def some(self, count: int, among: set[str] | None = None) -> list[str]:
        """So many holders at random."""
        names = [name for name in self.holders if among is None or name in among]
        return self.dice.sample(names, count)

    def settle(self) -> None:
        """Contacts until every key is active among exactly the present holders."""
        deadline = time.monotonic() + SECONDS
        while True:
            told = self.sync(*self.holders)
            keys = self.town.json("key", "list", "--profile", self.holders[0])
            everywhere = all(len(key["acknowledged"]) == len(self.holders) for key in keys)
            if everywhere and {key["state"] for key in keys} == {"active"}:
                break
            assert time.monotonic() < deadline, f"does not settle: {keys} {told}"
        self.sync(*self.holders)  # the certificate reaches everybody
        self.able = set(self.holders)

    # --- releases ---------------------------------------------------------------------------

    def get(self, key: str, reason: str) -> tuple[tuple[str | Path, ...], Path]:
        """What to ask for a version of a key, and where it comes."""
        version = str(self.dice.randint(1, self.newest[key]))
        out = self.folder / f"{key}-{version}-{reason}"
        words = ("key", "get", key, "--version", version, "--profile", "app")
        return (*words, "--reason", reason, "--out", out), out

    def check(self, key: str, outcome: Outcome, out: Path) -> None:
        """It worked, nobody is blamed, and it is the key it always was."""
        assert outcome.code == 0, str(outcome)
        assert outcome.document()["faulty"] == [], str(outcome)
        found = out.read_bytes()
        out.unlink()
        which = f"{key} {outcome.document()['version']}"
        assert self.finals.setdefault(which, found) == found, f"{which} is another key now"

    def release(self, key: str, *, between: Callable[[], None] | None = None) -> None:
        """Ask, approve by two that can, fetch; something may happen after the first approval."""
        words, out = self.get(key, f"step {self.steps} {self.done.total()}")
        first, second = self.some(2, self.able)
        start = time.monotonic()
        asked = self.town.json(*words, "--no-wait")
        self.approve(asked["proposal"], first)
        if between is not None:
            between()
        self.approve(asked["proposal"], second)
        self.sync(first)
        outcome = self.town.run(*words, "--wait", "50", "--json")
        if between is None:
            self.seconds.setdefault("release", []).append(time.monotonic() - start)
        self.check(key, outcome, out)

    def plain_release(self) -> None:
        self.release(self.dice.choice(KEYS))

    def two_releases(self) -> None:
        """Of one key at the same time, waited for, answered by the same two in turn."""
        key = self.dice.choice(KEYS)
        first, second = self.some(2, self.able)
        asked = [self.get(key, f"step {self.steps} {name}") for name in ("one", "other")]
        running = [self.town.start(*words, "--wait", "50", "--json") for words, _ in asked]
        for one in self.town.asked(holder=first, number=2):
            self.approve(one["id"], first, second)
        self.sync(first)
        for command, (_, out) in zip(running, asked, strict=True):
            self.check(key, command.wait(), out)

    def release_through_a_restart(self) -> None:
        """The authority dies between two approvals."""
        self.release(self.dice.choice(KEYS), between=self.restart)

    # --- machines ---------------------------------------------------------------------------

    def restart(self) -> None:
        """The authority ends, politely or not; comes up locked; a holder unlocks it."""
        self.end_authority()
        self.begin_authority()

    def end_authority(self) -> None:
        authority = self.town.authority
        assert authority is not None
        number = self.dice.choice((signal.SIGTERM, signal.SIGKILL))
        outcome = authority.stop(number)
        assert outcome.code == (0 if number == signal.SIGTERM else -number), str(outcome)
        assert "Traceback" not in outcome.err, outcome.err

    def begin_authority(self) -> None:
        self.town.authority_up()
        if self.gone and self.dice.random() < 0.5:
            gone = self.dice.choice(self.gone)
            self.town.run("holder", "unlock", "--profile", gone, code=REFUSED)
        if self.dice.random() < 0.5:
            words, out = self.get(KEYS[0], f"locked {self.steps}")
            self.town.run(*words, "--no-wait", code=UNAVAILABLE)
            assert not out.exists()
        (by,) = self.some(1)
        self.timed("unlock", "holder", "unlock", "--profile", by)

    def killed_midway(self) -> None:
        """The authority ends under a command's hands; the same command again, it works."""
        words, out = self.get(self.dice.choice(KEYS), f"step {self.steps} midway")
        first, second = self.some(2, self.able)
        asked = self.town.json(*words, "--no-wait")
        commands: list[tuple[str | Path, ...]] = [
            ("holder", "sync", "--profile", first),
            ("holder", "approve", asked["proposal"], "--profile", first),
            (*words, "--no-wait"),
        ]
        running = self.town.start(*self.dice.choice(commands))
        running.ended(self.dice.uniform(0.0, 0.15))
        self.end_authority()
        self.begin_authority()
        outcome = running.wait()
        assert outcome.code in (0, UNAVAILABLE), str(outcome)
        assert "Traceback" not in outcome.err, outcome.err
        self.approve(asked["proposal"], first, second)
        self.sync(first)
        self.check(str(words[2]), self.town.run(*words, "--wait", "50", "--json"), out)

    def everybody_at_once(self) -> None:
        """All holders sync at the same time; one of them is killed at it."""
        running = {n: self.town.start("holder", "sync", "--profile", n) for n in self.holders}
        victim = self.dice.choice(self.holders)
        running[victim].ended(self.dice.uniform(0.0, 0.3))
        running[victim].kill()
        for name, command in running.items():
            outcome = command.wait()
            assert outcome.code == 0 or name == victim, str(outcome)
            assert "Traceback" not in outcome.err, outcome.err

    def daemon(self) -> None:
        """A holder's daemon comes or goes."""
        name = self.dice.choice(self.holders)
        if name in self.daemons:
            self.stop_daemon(name)
        else:
            self.daemons[name] = self.town.holder_up(name)

    def stop_daemon(self, name: str) -> None:
        number = self.dice.choice((signal.SIGTERM, signal.SIGKILL))
        outcome = self.daemons.pop(name).stop(number)
        assert outcome.code == (0 if number == signal.SIGTERM else -number), str(outcome)
        assert "Traceback" not in outcome.err, outcome.err

    def stop_daemons(self) -> None:
        for name in sorted(self.daemons):
            self.stop_daemon(name)

    def killed_command(self) -> None:
        """A person's command is killed somewhere; again, it works."""
        name = self.dice.choice(self.holders)
        key = self.dice.choice(KEYS)
        words, out = self.get(key, f"step {self.steps} killed")
        first, second = self.some(2, self.able)
        asked = self.town.json(*words, "--no-wait")
        commands: list[tuple[str | Path, ...]] = [
            ("holder", "sync", "--profile", name),
            ("holder", "approve", asked["proposal"], "--profile", first),
            (*words, "--no-wait"),
        ]
        victim = self.dice.choice(commands)
        delay = self.dice.uniform(0.0, 0.15)
        running = self.town.start(*victim)
        running.ended(delay)
        running.kill()
        self.approve(asked["proposal"], first, second)
        self.sync(name, first)
        if not out.exists():
            outcome = self.town.run(*words, "--wait", "50", "--json")
            self.check(key, outcome, out)

    # --- people -----------------------------------------------------------------------------

    def join(self) -> None:
        """Somebody joins; then life goes on while keys are shared anew."""
        if self.let_in():
            self.after_a_change()

    def removal(self) -> None:
        """Somebody is voted out; then life goes on while keys are shared anew."""
        if self.vote_out():
            self.after_a_change()

    def rotation(self) -> None:
        """A new version of a key; the older ones stay what they were."""
        key = self.dice.choice(KEYS)
        if self.newest[key] >= MOST_VERSIONS:
            return
        proposer, other = self.some(2)
        words = ("key", "rotate", key, "--profile", proposer, "--no-wait")
        asked = self.town.json(*words)
        self.approve(asked["proposal"], other)
        self.newest[key] += 1
        self.settle()
        told = self.town.json(*words)  # the same command says that it is done
        assert (told["state"], told["version"]) == ("active", self.newest[key]), str(told)

    def two_changes(self) -> None:
        """The second comes before the keys are shared anew for the first."""
        changes = [self.let_in, self.vote_out]
        self.dice.shuffle(changes)
        if [change() for change in changes] != [False, False]:
            self.after_a_change()

    def let_in(self) -> bool:
        if len(self.holders) >= MOST:
            return False
        name = f"holder{self.steps}"
        by = self.some(THRESHOLD)
        self.town.enrol(name, by=tuple(by))
        self.holders.append(name)
        return True

    def vote_out(self) -> bool:
        if len(self.holders) <= FEWEST:
            return False
        (target,) = self.some(1)
        proposer, *others = [n for n in self.some(len(self.holders)) if n != target]
        words = ("holder", "remove", target, "--profile", proposer, "--no-wait")
        asked = self.town.json(*words)
        self.approve(asked["proposal"], *others[: THRESHOLD - 1])
        self.holders.remove(target)
        self.able.discard(target)
        self.gone.append(target)
        if target in self.daemons:
            self.daemons.pop(target).stop(signal.SIGKILL)
        self.town.run("holder", "sync", "--profile", target, code=REFUSED)
        return True

    def after_a_change(self) -> None:
        """Up to three things happen while keys are shared anew; then everybody comes by."""
        for _ in range(self.dice.randrange(4)):
            event = self.dice.choice(
                (self.some_sync, self.restart, self.everybody_at_once, self.plain_release)
            )
            if event != self.plain_release or len(self.able) >= THRESHOLD:
                self.last += f", {event.__name__}"
                event()
        self.settle()

    def some_sync(self) -> None:
        """A few holders come by."""
        self.sync(*self.some(self.dice.randrange(1, len(self.holders))))

    def late_holder(self) -> None:
        """Somebody who was removed tries again."""
        if not self.gone:
            return
        name = self.dice.choice(self.gone)
        self.town.run("holder", "sync", "--profile", name, code=REFUSED)

    # --- words ------------------------------------------------------------------------------

    def report(self) -> str:
        """Counts and latencies."""
        lines = [f"soak: seed {self.seed}, {self.steps} steps, no error"]
        lines += [f"  {name:<28}{count:>5}" for name, count in sorted(self.done.items())]
        lines.append(f"  {'seconds of':<28}{'count':>5}{'median':>9}{'95 %':>9}{'most':>9}")
        for name, took in sorted(self.seconds.items()):
            ranks = statistics.quantiles(took, n=20) if len(took) > 1 else took * 19
            middle = statistics.median(took)
            lines.append(
                f"  {name:<28}{len(took):>5}{middle:>9.3f}{ranks[18]:>9.3f}{max(took):>9.3f}"
            )
        return "\n".join(lines)


def seed_of(text: str | None) -> int:
    """The seed that was asked for, else 1."""
    return int(text) if text and re.fullmatch(r"\d+", text) else 1
