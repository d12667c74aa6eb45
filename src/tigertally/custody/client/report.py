"""What one sync of a device did, for its person."""

from __future__ import annotations

from dataclasses import dataclass, field

from tigertally.base.errors import Unavailable


class HeldUp(Unavailable):
    """A step of a sync waits for somebody else, who is not at fault; other steps go on."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What one sync did. Counts of fragments, sendings and acknowledgements; words otherwise.

    Of the last exchange alone: `waiting_for`, who else must act; `overtaken`, what is of a roster
    that this device did not know yet. `problems` are faults.
    """

    received: int = 0
    sent: int = 0
    acknowledged: int = 0
    erased: int = 0
    waiting_for: tuple[str, ...] = ()
    overtaken: list[Exception] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    culprits: list[str] = field(default_factory=list)

    def wait(self, held_up: HeldUp) -> None:
        """Remember what a step waits for."""
        if str(held_up) not in self.waiting_for:
            self.waiting_for += (str(held_up),)

    def blame(self, error: Exception) -> None:
        """Remember a fault without stopping: other keys are not held up by it."""
        text = str(error)
        if text not in self.problems:
            self.problems.append(text)
        self.culprits += [c for c in getattr(error, "culprits", ()) if c not in self.culprits]
