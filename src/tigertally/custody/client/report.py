"""What one sync of a device did, for its person."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Report:
    """What one sync did. Counts of fragments, sendings and acknowledgements; words otherwise."""

    received: int = 0
    sent: int = 0
    acknowledged: int = 0
    erased: int = 0
    waiting_for: tuple[str, ...] = ()
    problems: list[str] = field(default_factory=list)
    culprits: list[str] = field(default_factory=list)

    def blame(self, error: Exception) -> None:
        """Remember a fault without stopping: other keys are not held up by it."""
        text = str(error)
        if text not in self.problems:
            self.problems.append(text)
        self.culprits += [c for c in getattr(error, "culprits", ()) if c not in self.culprits]
