"""What an owner keeps of its rotations: the sets it found good, and the run under way.

docs/protocols/delegation-files.md, "Rotating a label". Sets are kept for good: what was rotated is
read with them. Neither original capsules nor proofs are kept; nothing here opens anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from tigertally.delegation.messages.headers import FileId
from tigertally.delegation.messages.labels import LabelId
from tigertally.delegation.messages.slots import Slot
from tigertally.schemes.single_pre import RotatedSet
from tigertally.storage.journal import Journal
from tigertally.storage.sealed import SealedStore
from tigertally.storage.table import RAW, Table, message


class State(Enum):
    """How far a run is. Each state is stored before the next step begins."""

    ROTATED = "rotated"
    SIGNED = "signed"
    GRANTED = "granted"
    SWITCHED = "switched"
    DONE = "done"  # and forgotten
    DROPPED = "dropped"  # the same


NEXT: dict[State, frozenset[State]] = {
    State.ROTATED: frozenset({State.SIGNED, State.DROPPED}),
    State.SIGNED: frozenset({State.GRANTED, State.DROPPED}),
    State.GRANTED: frozenset({State.SWITCHED, State.DROPPED}),
    State.SWITCHED: frozenset({State.DONE}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run over one store, and the generation that it leads to."""

    state: State
    generation: int
    store: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSlot:
    """A slot that is to be put where one was found.

    `part` is 0; 1 for the slot that a stream's record has of the next one.
    """

    path: tuple[str, ...]
    part: int
    file_id: FileId
    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSet:
    """A set that the owner found good, and the generation of its members; 1 is the first."""

    generation: int
    body: bytes

    def rotated_set(self) -> RotatedSet:
        """The set."""
        return RotatedSet.from_verified_bytes(self.body)


# Keys are label id ‖ version, and behind it the number of a set and an index in it.
_SETS = Table("rotated_sets", RAW, message(KnownSet))
_RUNS = Table("rotation_runs", RAW, message(Run))
_SLOTS = Table("rotation_slots", RAW, message(NewSlot))
_JOURNAL = Journal(
    table=_RUNS,
    follows=NEXT,
    state=lambda run: run.state,
    moved=lambda run, state: replace(run, state=state),
    what="a rotation of this key",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotations:
    """The rotations of one label's key in one version."""

    rows: SealedStore
    label: LabelId
    version: int

    def known(self, batch: int) -> KnownSet | None:
        """The set of this number."""
        with self.rows.reading() as reader:
            return _SETS.get(reader, self._key(batch))

    def sets(self, generation: int) -> list[RotatedSet]:
        """All sets of a generation, in the order of their numbers."""
        return [one.rotated_set() for one in self._all_sets() if one.generation == generation]

    def generation(self) -> int:
        """How often this key was rotated; 0: never."""
        return max((one.generation for one in self._all_sets()), default=0)

    def free_batch(self) -> int:
        """A number for the next set: no two sets of this key have the same, in any rotation."""
        return max((one.rotated_set().batch for one in self._all_sets()), default=0) + 1

    def run(self) -> Run | None:
        """The run under way."""
        with self.rows.reading() as reader:
            return _JOURNAL.under_way(reader, self._key())

    def begin(self, run: Run, sets: Sequence[RotatedSet], slots: Sequence[NewSlot]) -> None:
        """Store the result of a rotation, all at once.

        Raises:
            UsageError: there is a run already.
        """
        with self.rows.transaction() as tx:
            _JOURNAL.begin(tx, self._key(), run)
            for one in sets:
                known = KnownSet(generation=run.generation, body=one.to_bytes())
                _SETS.put(tx, self._key(one.batch), known)
            for new in slots:
                place = new.slot.place()
                _SLOTS.put(tx, self._key(place.batch, place.index), new)

    def move(self, target: State) -> None:
        """Store that the run has come this far; what is over is forgotten, but for its sets.

        Raises:
            UsageError: there is no run, or it cannot come there from where it is.
        """
        with self.rows.transaction() as tx:
            if not _JOURNAL.move(tx, self._key(), target):
                for key in list(_SLOTS.keys(tx, prefix=self._key())):
                    _SLOTS.drop(tx, key)

    def new_slots(self) -> Iterator[NewSlot]:
        """What the run under way puts into files, in the order in which it was found."""
        with self.rows.reading() as reader:
            yield from _SLOTS.values(reader, prefix=self._key())

    def _all_sets(self) -> list[KnownSet]:
        with self.rows.reading() as reader:
            return list(_SETS.values(reader, prefix=self._key()))

    def _key(self, *numbers: int) -> bytes:
        return self.label + b"".join(one.to_bytes(8, "big") for one in (self.version, *numbers))
