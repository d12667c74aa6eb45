"""Rotating a label's key in a store: from the slots that are there to the slots that replace them.

docs/protocols/delegation-files.md, "Rotating a label". The state is in the profile: a run that was
killed at any step goes on there. Carrying inputs to a proxy on the network, and kfrags to proxies,
is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from tigertally.base.errors import InvalidSignature, MalformedMessage, UsageError
from tigertally.base.ids import Signature
from tigertally.base.limits import MAX_ROTATION_BATCH
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.client.slots_below import Found, replace_slots, slots_below
from tigertally.delegation.messages.labels import Label
from tigertally.delegation.messages.slots import ORIGINAL, Slot
from tigertally.delegation.protocol.rotated import member_of, rotated_slot
from tigertally.delegation.protocol.slots import capsule_of
from tigertally.delegation.state.rotations import NewSlot, Run, State
from tigertally.delegation.stores.interface import ObjectStore
from tigertally.schemes.single_pre import (
    ReencryptionKey,
    RotatedBatch,
    RotatedCapsule,
    RotatedSet,
    Rotation,
    RotationId,
    prove_batch,
    verify_batch,
)
from tigertally.schemes.umbral import Capsule

Inputs = Sequence[Capsule | RotatedCapsule]
RotatingProxy = Callable[[RotationId, Inputs, ReencryptionKey], bytes]  # to a rotated batch


def rotate_in_this_process(task: RotationId, inputs: Inputs, key: ReencryptionKey) -> bytes:
    """What a rotating proxy does, in the owner's process: for tests, and for who has no proxy."""
    return prove_batch(task, inputs, key).to_bytes()


class LabelRotation:
    """One key of one label, and everything in one store that it opens.

    Args:
        owner: of the label.
        store: where the files are.
        label: a folder, file or channel; everything below it in the store is looked at.
        version: of the label's key; no longer the newest one.

    Raises:
        UsageError: new data still goes to this key: raise the version first.

    **Security:** a rotation limits how long a key is used; against a stolen key it does not help.
    """

    def __init__(self, owner: Owner, store: ObjectStore, label: Label, version: int) -> None:
        self._id = owner.keys.ids(label)[-1]
        if not 1 <= version < owner.remembered.version(self._id):
            raise UsageError("only a key that no new data go to is rotated: raise its version")
        self._owner, self._store = owner, store
        self._label, self._version = label, version
        self._rows = owner.rotations(label, version)

    @property
    def state(self) -> State | None:
        """How far the run under way is; None where there is none."""
        run = self._rows.run()
        return None if run is None else run.state

    def rotate(self, generation: int = 1, *, proxy: RotatingProxy = rotate_in_this_process) -> int:
        """Let the proxy rotate every slot of the previous generation. Return how many.

        0 means that there was nothing to do, and no run began.

        Args:
            generation: 1 for originals; 2 for what was rotated once; and so on. One that is there
                already takes up what was written since, by who had an old card.
            proxy: gets the rotation's id, capsules and rk; returns the bytes of a rotated batch.

        Raises:
            UsageError: another run is under way, there is no such generation yet, or a slot is two
                or more generations behind.
            MalformedMessage, InvalidSignature, PeerFault: a file, or the proxy's batch, is not what
                it should be. Nothing changed.
        """
        if self._rows.run() is not None:
            raise UsageError("a rotation of this key is under way: go on with it, or drop it")
        if not 1 <= generation <= self._rows.generation() + 1:
            raise UsageError("a key is rotated one generation at a time")
        with self._store.exclusive():
            found = self._behind(generation)
        if not found:
            return 0
        rotation = self._owner.keys.rotation(self._label, self._version, generation)
        sets: list[RotatedSet] = []
        slots: list[NewSlot] = []
        first = self._rows.free_batch()
        for batch, start in enumerate(range(0, len(found), MAX_ROTATION_BATCH), first):
            part = found[start : start + MAX_ROTATION_BATCH]
            one, new = _rotated(rotation, part, batch, proxy)
            sets.append(one)
            slots += new
        run = Run(state=State.ROTATED, generation=generation, store=self._store.url)
        self._rows.begin(run, sets, slots)  # (5)
        return len(slots)

    def sign(self, keys: Sequence[SigningKey]) -> list[list[tuple[bytes, Signature]]]:
        """The sets of this generation, of earlier runs too, signed with the key of each grant.

        Args:
            keys: the owner's for each grant and proxy.

        Returns:
            For each key the sets and their signatures, for that proxy and recipient. The same again
            in every later state.

        Raises:
            UsageError: no run is under way.
        """
        run = self._under_way()
        if run.state is State.ROTATED:
            self._rows.move(State.SIGNED)  # (6)
        sets = self._rows.sets(run.generation)
        return [[(one.to_bytes(), one.sign(key)) for one in sets] for key in keys]

    def granted(self) -> None:
        """Step (7): the caller says that kfrags under the target, and sets, are at the proxies."""
        self._rows.move(State.GRANTED)

    def switch(self) -> int:
        """Replace the slots, file by file; says how many files changed. Again after a crash.

        Raises:
            UsageError: the run is not that far, or was begun over another store.
            InvalidSignature: some files are damaged; all others are switched.
        """
        run = self._under_way()
        if run.store != self._store.url:
            raise UsageError(f"this rotation was begun over {run.store}")
        if run.state is not State.GRANTED:
            raise UsageError(f"slots are switched after granting; the run is {run.state.value}")
        count, damaged = 0, []
        with self._store.batch():  # (8)
            for path, new in groupby(self._rows.new_slots(), key=lambda one: one.path):
                try:
                    count += replace_slots(self._store, path, list(new))
                except (MalformedMessage, InvalidSignature):
                    damaged.append("/".join(path))
        if damaged:
            raise InvalidSignature(f"could not switch the key slots of {', '.join(damaged)}")
        self._rows.move(State.SWITCHED)
        return count

    def finish(self) -> None:
        """Forget the run. Old kfrags must die now; look with `behind` whether there is more."""
        self._rows.move(State.DONE)  # (9)

    def behind(self, generation: int = 1) -> int:
        """How many slots are still of the generation before: written with an old card, or put back.

        Raises:
            UsageError, MalformedMessage, InvalidSignature: as `rotate`.
        """
        with self._store.exclusive():
            return len(self._behind(generation))

    def drop(self) -> None:
        """Give a run up that is not switched yet. Slots that were replaced stay good."""
        self._rows.move(State.DROPPED)

    def _under_way(self) -> Run:
        run = self._rows.run()
        if run is None:
            raise UsageError("no rotation of this key is under way")
        return run

    def _behind(self, generation: int) -> list[tuple[Found, Capsule | RotatedCapsule]]:
        """Steps (1) and (2): slots of the generation before, and their capsules, all checked."""
        behind = []
        newest = self._owner.remembered.version(self._id)
        for one in slots_below(self._store, self._label, self._id):
            name = "/".join(one.path)
            if one.slot.version > newest:
                raise InvalidSignature(f"{name}: a version that its label never had")
            if one.slot.version != self._version:
                continue
            try:
                capsule, has = self._parsed(one.slot)
            except (MalformedMessage, InvalidSignature) as error:
                raise type(error)(f"{name}: {error}") from error
            if has == generation - 1:
                behind.append((one, capsule))
            elif has < generation:
                raise UsageError(f"{name} is of generation {has}: rotate it to {has + 1} first")
        return behind

    def _parsed(self, slot: Slot) -> tuple[Capsule | RotatedCapsule, int]:
        """A slot's capsule and its generation; 0 is an original."""
        if slot.form == ORIGINAL:
            return capsule_of(slot), 0
        known = self._rows.known(slot.place().batch)
        if known is None:
            raise InvalidSignature("a key slot names a rotation that its label never had")
        return member_of(slot, known.rotated_set()), known.generation


def _rotated(
    rotation: Rotation,
    found: Sequence[tuple[Found, Capsule | RotatedCapsule]],
    batch: int,
    proxy: RotatingProxy,
) -> tuple[RotatedSet, list[NewSlot]]:
    """Steps (3) and (4): one batch to the proxy and back, checked."""
    inputs = [capsule for _, capsule in found]
    raw = proxy(rotation.task.id, inputs, rotation.key)  # (3)
    checked = verify_batch(
        rotation.task, inputs, RotatedBatch.from_bytes(raw, most=len(inputs))
    )  # (4)
    slots = [
        NewSlot(
            path=one.path,
            part=one.part,
            file_id=one.file_id,
            slot=rotated_slot(one.slot, row, checked.place(batch, index)),
        )
        for index, ((one, _), row) in enumerate(zip(found, checked.members, strict=True))
    ]
    return checked.rotated_set(batch), slots
