"""One kfrag set for a folder's label opens everything below it, at any depth, and nothing else."""

from __future__ import annotations

import io

import pytest

from delegation_rig import NOW, MemoryObjects, label, person, read, write
from tigertally.base.errors import InvalidSignature, PeerFault, Refused
from tigertally.delegation.client import files
from tigertally.delegation.client.files import Unlocked
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.labels import LabelKey
from tigertally.delegation.protocol.labels import hint_of
from tigertally.delegation.protocol.reading import target_of
from tigertally.delegation.protocol.slots import capsule_of, open_slot
from tigertally.schemes.umbral import (
    PublicKey,
    SecretKey,
    Signer,
    generate_key_fragments,
    open_reencrypted_seed,
    reencrypt,
)

ANN = person("ann")
FOLDER = label("team/plans")
BELOW = ("team/plans/a", "team/plans/deep/er/b")
BESIDE = ("team/other", "team/plan", "private")


class Reader:
    """A recipient and its proxies: all it has is one delegation of one label's key."""

    def __init__(self, proxies: int = 2) -> None:
        self.capsules = 0
        self._path, self._id = FOLDER, ANN.keys.ids(FOLDER)[-1]
        self._key, signer = SecretKey.random(), Signer(SecretKey.random())
        self._origin = ANN.keys.public_key(FOLDER, 1)
        fragments = generate_key_fragments(
            ANN.keys.secret_key(FOLDER, 1),
            self._key.public_key(),
            signer,
            2,
            3,
            sign_delegating_key=False,
            sign_receiving_key=False,
        )
        self._fragments = fragments[:proxies]

    def unlock(self, header, slots, asked):
        slot = slots.slot_for(hint_of(self._id, header.fixed.file_id))
        if slot is None:
            raise Refused("no slot for what was shared")
        capsule = capsule_of(slot)
        self.capsules += 1
        cfrags = [reencrypt(capsule, fragment) for fragment in self._fragments]
        owner_key = PublicKey.from_bytes(self._origin)
        with open_reencrypted_seed(self._key, owner_key, capsule, cfrags) as seed:
            level = Level(id=self._id, key=LabelKey(self._origin), version=slot.version)
            dek = open_slot(slot, capsule, seed, level, target_of(header))
        return Unlocked(dek=dek, label=self._path, id=self._id)

    def writers(self, path):
        return (ANN.signing_key.public,)


@pytest.fixture(scope="module")
def store():
    made = MemoryObjects()
    for path in (*BELOW, *BESIDE):
        write(ANN, made, path, path.encode(), all_or_nothing=path.endswith("b"))
    return made


@pytest.mark.requirement("D3")
@pytest.mark.requirement("D12")
def test_one_capsule_a_file_at_any_depth(store):
    reader = Reader()
    for path in BELOW:
        content, told = read(reader, store, path)
        assert (content, told.sender) == (path.encode(), ANN.signing_key.public)
    assert reader.capsules == len(BELOW)
    write(ANN, store, "team/plans/new", b"later")
    assert read(reader, store, "team/plans/new")[0] == b"later", "without a new grant"


@pytest.mark.requirement("D12")
def test_nothing_beside_or_above(store):
    for path in BESIDE:
        with pytest.raises(Refused):
            read(Reader(), store, path)


@pytest.mark.requirement("D3")
def test_fewer_proxies_than_needed_open_nothing(store):
    with pytest.raises(PeerFault):
        read(Reader(proxies=1), store, BELOW[0])


@pytest.mark.requirement("D12")
def test_a_reader_checks_the_path_from_its_own_label_down(store):
    moved = MemoryObjects()
    for suffix in ("", ".keys"):
        names = label(BELOW[0])[:-1]
        moved.objects[(*names, "z" + suffix)] = store.objects[(*names, "a" + suffix)]
    with pytest.raises(InvalidSignature, match="was written for"):
        read(Reader(), moved, "team/plans/z")


@pytest.mark.requirement("D12")
def test_a_slot_of_one_label_shows_no_path_of_another():
    """A writer's file opens by the slot of what was shared, and claims to lie beside it."""
    store, path = MemoryObjects(), label("team/evil/a")
    files.write_file(
        store, ANN.levels(FOLDER), path, io.BytesIO(b""), sender=ANN.signing_key, now=NOW
    )
    with pytest.raises(InvalidSignature, match="another label than its key slot"):
        read(Reader(), store, "team/evil/a")
