"""An owner's files with rotated key slots, and a recipient who is served from those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from delegation_rig import MemoryObjects, label, parts, person, put, write
from tigertally.base.errors import Refused
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.client.files import Unlocked
from tigertally.delegation.client.owner import Owner
from tigertally.delegation.client.rotating import LabelRotation
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.labels import LabelKey
from tigertally.delegation.messages.slots import Slot
from tigertally.delegation.protocol.labels import hint_of
from tigertally.delegation.protocol.reading import target_of
from tigertally.delegation.protocol.rotated import RotatedGrant
from tigertally.schemes import single_pre, umbral

R = SeededRandomness("rotated rig")
FOLDER = label("team/plans")
FILES = ("team/plans/a", "team/plans/deep/er/b", "team/plans/c")
GRANT = SigningKey.generate(R)


def folder(name: str = "ann", files: Sequence[str] = FILES) -> tuple[Owner, MemoryObjects]:
    """Files under version 1 of a folder's key, which is no longer the newest."""
    owner, store = person(name), MemoryObjects()
    for path in files:
        write(owner, store, path, path.encode())
    owner.raise_version(FOLDER)
    return owner, store


def rotate(owner: Owner, store: MemoryObjects, generation: int = 1, version: int = 1) -> int:
    """All steps of one run; how many files were switched."""
    run = LabelRotation(owner, store, FOLDER, version)
    run.rotate(generation)
    run.sign([GRANT])
    run.granted()
    count = run.switch()
    run.finish()
    return count


def slot_of(owner: Owner, store: MemoryObjects, path: str) -> Slot:
    """The folder's slot of a file."""
    header, _, keys = parts(store, path)
    slots = keys.of(header.fixed.file_id)
    assert slots is not None
    found = slots.slot_for(hint_of(owner.keys.ids(FOLDER)[-1], header.fixed.file_id))
    assert found is not None
    return found


def put_slot(store: MemoryObjects, path: str, slot: Slot) -> None:
    """Replace the slot with this hint, as a store can."""
    header, body, keys = parts(store, path)
    (slots,) = keys.sets
    put(store, path, header, body, replace(keys, sets=(slots.with_slot(slot),)))


def only_slot(owner: Owner, store: MemoryObjects, path: str) -> None:
    """Take away all slots but the folder's, so that its owner must open that one."""
    header, body, keys = parts(store, path)
    one = replace(keys.sets[0], slots=(slot_of(owner, store, path),))
    put(store, path, header, body, replace(keys, sets=(one,)))


class Recipient:
    """A recipient of the folder, with proxies that have 2-of-3 kfrags under the rotation's target.

    Everything public that it has came as bytes with the owner's signature.
    """

    def __init__(self, owner: Owner, generation: int = 1, version: int = 1) -> None:
        self.rotation = owner.keys.rotation(FOLDER, version, generation)
        self.id = owner.keys.ids(FOLDER)[-1]
        self.key, signer = umbral.SecretKey.random(R), umbral.SecretKey.random(R)
        made = umbral.generate_key_fragments(
            self.rotation.target_sk,
            self.key.public_key(),
            umbral.Signer(signer),
            2,
            3,
            sign_delegating_key=False,
            sign_receiving_key=False,
        )
        task = self.rotation.task.id
        self.kfrags = [single_pre.MemberKeyFragment(fragment=k, rotation=task) for k in made]
        self.names = ("pia", "pit", "pam")
        sets = []
        for one in owner.rotations(FOLDER, version).sets(generation):
            signature = one.sign(GRANT)
            sets.append(single_pre.RotatedSet.open(one.to_bytes(), signature, GRANT.public, task))
        self.grant = RotatedGrant(
            level=Level(id=self.id, key=owner.keys.public_key(FOLDER, version), version=version),
            target=LabelKey(self.rotation.target_pk.to_bytes()),
            verifying=signer.public_key(),
            sets={one.batch: one for one in sets},
        )
        self._writers = (owner.signing_key.public,)

    def answers(self, member, proxies=(0, 2)):
        found = []
        for index in proxies:
            raw = single_pre.reencrypt_member(member, self.kfrags[index]).to_bytes()
            found.append((self.names[index], umbral.CapsuleFragment.from_bytes(raw)))
        return found

    def unlock(self, header, slots, asked):
        slot = slots.slot_for(hint_of(self.id, header.fixed.file_id))
        if slot is None:
            raise Refused("no slot for what was shared")
        answers = self.answers(self.grant.member(slot))
        dek = self.grant.open(slot, answers, self.key, target_of(header))
        return Unlocked(dek=dek, label=FOLDER, id=self.id)

    def writers(self, path):
        return self._writers
