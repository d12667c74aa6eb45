"""What a store, a proxy, or who has an old key can do to rotated slots, and does not get."""

from __future__ import annotations

from dataclasses import replace

import pytest

from delegation_rig import label, parts, person, put, read, write
from rotated_rig import (
    FILES,
    FOLDER,
    GRANT,
    R,
    Recipient,
    folder,
    only_slot,
    put_slot,
    rotate,
    slot_of,
)
from rotation_rig import bent, minus, plus
from tigertally.algebra import secp256k1
from tigertally.base import codec
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    UsageError,
)
from tigertally.base.ids import Hash
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.client.rotating import LabelRotation
from tigertally.delegation.messages.slots import ORIGINAL, ROTATED, Keys, Wrap
from tigertally.delegation.protocol.reading import target_of
from tigertally.delegation.protocol.slots import capsule_of, make_slot
from tigertally.delegation.stores.interface import ObjectStore
from tigertally.schemes import single_pre, umbral
from tigertally.schemes.single_pre import Place
from tigertally.schemes.umbral.opening import checked_seed

pytestmark = [pytest.mark.requirement("D16")]
BOTH = (InvalidSignature, MalformedMessage)


@pytest.fixture
def rotated():
    """A rotated folder whose files have the folder's slot only, and a recipient."""
    owner, store = folder()
    rotate(owner, store)
    for path in FILES:
        only_slot(owner, store, path)
    return owner, store, Recipient(owner)


def refused(readers, store: ObjectStore, path: str, *kinds: type[Exception]) -> None:
    for reader in readers:
        with pytest.raises(kinds or BOTH):
            read(reader, store, path)


def other_member(slot, e, v):
    return replace(slot, capsule=e.to_bytes() + v.to_bytes() + slot.capsule[66:])


def test_smuggled_past_the_equation(rotated):
    owner, store, reader = rotated
    slot = slot_of(owner, store, FILES[0])
    member = reader.grant.member(slot)
    e, v = bent(member.e, member.v, member.h)
    target = reader.rotation.target_sk.scalar
    opened = [secp256k1.mul_to_secret(target, point) for point in (e, v)]
    checked_seed(*opened, s=member.s, h=member.h, origin=reader.rotation.origin_pk)  # it passes
    put_slot(store, FILES[0], other_member(slot, e, v))
    refused([owner, reader], store, FILES[0], InvalidSignature)
    owner.raise_version(FOLDER)
    with pytest.raises(InvalidSignature, match=FILES[0]):
        LabelRotation(owner, store, FOLDER, 1).rotate(2)
    assert owner.rotations(FOLDER, 1).generation() == 1


@pytest.mark.parametrize("how", ["E", "V", "s", "bent"])
def test_an_invalid_original_planted_among_the_slots(how):
    owner, store = folder()
    slot = slot_of(owner, store, FILES[1])
    capsule = capsule_of(slot)
    e, v, s = capsule.e, capsule.v, bytes(capsule.s)
    if how == "bent":
        e, v = bent(e, v, capsule.h)
    elif how == "E":
        e = plus(e, v)
    elif how == "V":
        v = minus(v)
    else:
        s = bytes(31) + b"\1"
    put_slot(store, FILES[1], replace(slot, capsule=e.to_bytes() + v.to_bytes() + s))
    before, run = dict(store.objects), LabelRotation(owner, store, FOLDER, 1)
    with pytest.raises(MalformedMessage, match=FILES[1]):
        run.rotate()
    assert (run.state, store.objects) == (None, before)
    assert owner.rotations(FOLDER, 1).generation() == 0


def test_no_two_sources_have_one_target():
    owner = person("ann")
    targets = {
        owner.keys.rotation(label(name), version, generation).target_pk.to_bytes()
        for name in ("a", "b", "a/a")
        for version in (1, 2)
        for generation in (1, 2, 3)
    }
    assert len(targets) == 18


def test_the_old_key_on_a_rotated_slot(rotated):
    owner, store, reader = rotated
    slot = slot_of(owner, store, FILES[0])
    member = reader.grant.member(slot)
    old = owner.keys.secret_key(FOLDER, 1)
    opened = [secp256k1.mul_to_secret(old.scalar, point) for point in (member.e, member.v)]
    with pytest.raises(PeerFault):
        checked_seed(*opened, s=member.s, h=member.h, origin=reader.rotation.origin_pk)
    with pytest.raises(Refused, match="was rotated"):
        capsule_of(slot)


def test_old_kfrags_on_a_member_and_new_ones_on_an_original(rotated):
    owner, store, reader = rotated
    member = reader.grant.member(slot_of(owner, store, FILES[0]))
    (kfrag,) = umbral.generate_key_fragments(
        owner.keys.secret_key(FOLDER, 1),
        reader.key.public_key(),
        umbral.Signer(umbral.SecretKey.random()),
        1,
        1,
        sign_delegating_key=False,
        sign_receiving_key=False,
    )
    with pytest.raises(UsageError):
        single_pre.reencrypt_member(member, kfrag)  # type: ignore[arg-type]
    write(owner, store, "team/plans/new", b"v2")
    original = capsule_of(slot_of(owner, store, "team/plans/new"))
    with pytest.raises(UsageError):
        single_pre.reencrypt_member(original, reader.kfrags[0])  # type: ignore[arg-type]


def test_an_original_put_back(rotated):
    owner, store, reader = rotated
    again, before = folder()
    old = slot_of(again, before, FILES[0])
    header, body, keys = parts(before, FILES[0])
    put(store, FILES[0], header, body, keys)
    assert old.form == ORIGINAL
    refused([reader], store, FILES[0], Refused)
    assert read(owner, store, FILES[0])[0], "the owner's old key still opens the old capsule"


def test_the_version_is_another(rotated):
    owner, store, reader = rotated
    slot = slot_of(owner, store, FILES[0])
    put_slot(store, FILES[0], replace(slot, version=2))
    refused([owner], store, FILES[0], InvalidSignature)
    refused([reader], store, FILES[0], Refused)
    put_slot(store, FILES[0], replace(slot, version=3))
    refused([owner], store, FILES[0], InvalidSignature)
    owner.raise_version(())
    with pytest.raises(InvalidSignature, match="never had"):
        LabelRotation(owner, store, FOLDER, 1).rotate()


def test_a_member_of_another_rotation(rotated):
    owner, store, reader = rotated
    first = slot_of(owner, store, FILES[0])
    rotate(owner, store, generation=2)
    second = slot_of(owner, store, FILES[0])
    later = Recipient(owner, generation=2)
    put_slot(store, FILES[0], replace(first, proof=second.proof))
    refused([owner, later], store, FILES[0], InvalidSignature)
    put_slot(store, FILES[0], replace(second, proof=first.proof))
    refused([owner, reader], store, FILES[0], InvalidSignature)
    with pytest.raises(UsageError):
        single_pre.reencrypt_member(reader.grant.member(first), later.kfrags[0])


def test_a_member_of_another_label_or_owner(rotated):
    owner, store, reader = rotated
    stranger, theirs = folder("bob")
    rotate(stranger, theirs)
    mine, other = slot_of(owner, store, FILES[0]), slot_of(stranger, theirs, FILES[0])
    put_slot(store, FILES[0], replace(mine, capsule=other.capsule, proof=other.proof))
    refused([owner, reader], store, FILES[0], InvalidSignature)
    with pytest.raises(InvalidSignature):
        replace(reader.grant, sets=Recipient(stranger).grant.sets)
    with pytest.raises(InvalidSignature):
        replace(reader.grant, sets={7: reader.grant.sets[1]})


def test_the_set_is_signed_by_the_owner_of_the_grant(rotated):
    owner, *_ = rotated
    (one,) = owner.rotations(FOLDER, 1).sets(1)
    forged = one.sign(SigningKey.generate(R))
    with pytest.raises(InvalidSignature):
        single_pre.RotatedSet.open(one.to_bytes(), forged, GRANT.public, one.rotation)


@pytest.mark.parametrize("how", ["path", "index", "batch", "longer", "shorter", "of another file"])
def test_the_place_is_another(rotated, how):
    owner, store, reader = rotated
    slot, beside = (slot_of(owner, store, path) for path in FILES[:2])
    place = slot.place()
    changed = {
        "path": replace(place, path=place.path[::-1]),
        "index": replace(place, index=place.index + 1),
        "batch": replace(place, batch=place.batch + 1),
        "longer": replace(place, path=(*place.path, place.path[0])),
        "shorter": replace(place, path=place.path[:-1]),
        "of another file": beside.place(),
    }[how]
    put_slot(store, FILES[0], replace(slot, proof=changed.to_bytes()))
    refused([owner, reader], store, FILES[0], InvalidSignature, Refused)
    with pytest.raises(InvalidSignature):
        LabelRotation(owner, store, FOLDER, 1).rotate(2)


def test_the_slot_of_another_file(rotated):
    owner, store, reader = rotated
    mine, other = (slot_of(owner, store, path) for path in FILES[:2])
    put_slot(store, FILES[0], replace(other, hint=mine.hint))  # a true member, another's wrap
    refused([owner, reader], store, FILES[0], InvalidSignature)
    put_slot(store, FILES[0], replace(mine, capsule=other.capsule, proof=other.proof))
    refused([owner, reader], store, FILES[0], InvalidSignature)
    put_slot(store, FILES[0], replace(mine, wrap=other.wrap))
    refused([owner, reader], store, FILES[0], InvalidSignature)


def test_a_dek_of_the_attackers_choice(rotated):
    owner, store, reader = rotated
    header, *_ = parts(store, FILES[0])
    slot, level = slot_of(owner, store, FILES[0]), reader.grant.level
    drawn = Secret(bytearray(32))
    own = make_slot(level, drawn, target_of(header), randomness=R)
    put_slot(store, FILES[0], own)
    refused([owner], store, FILES[0], InvalidSignature)
    refused([reader], store, FILES[0], Refused)
    put_slot(store, FILES[0], replace(slot, wrap=own.wrap))
    refused([owner, reader], store, FILES[0], InvalidSignature)


def test_the_form_is_another(rotated):
    owner, store, _ = rotated
    slot = slot_of(owner, store, FILES[0])
    write(owner, store, "team/plans/new", b"v2")
    original = slot_of(owner, store, "team/plans/new")
    for change in (
        {"form": ORIGINAL},
        {"form": ORIGINAL, "proof": None},
        {"form": 2},
        {"proof": None},
        {"proof": b""},
        {"proof": slot.proof + b"\0"},
        {"proof": slot.proof[:-1]},
        {"capsule": slot.capsule + b"\0"},
        {"capsule": slot.capsule[:-1]},
        {"capsule": original.capsule},
        {"proof": Place(batch=1, index=0, path=(Hash(bytes(32)),) * 16).to_bytes()},
    ):
        with pytest.raises(MalformedMessage):
            replace(slot, **change)
    for change in ({"form": ROTATED}, {"form": ROTATED, "proof": slot.proof}):
        with pytest.raises(MalformedMessage):
            replace(original, **change)


def test_any_byte_of_the_capsule_or_its_place(rotated):
    owner, store, reader = rotated
    slot = slot_of(owner, store, FILES[0])
    for field in ("capsule", "proof", "wrap"):
        raw = getattr(slot, field)
        for at in range(0, len(raw), 7):
            bent_raw = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
            try:
                changed = replace(slot, **{field: Wrap(bent_raw) if field == "wrap" else bent_raw})
            except MalformedMessage:
                continue
            put_slot(store, FILES[0], changed)
            refused([owner, reader], store, FILES[0], *BOTH, Refused)
    put_slot(store, FILES[0], slot)
    assert read(reader, store, FILES[0])[0] == FILES[0].encode()


def test_cut_or_longer_at_any_byte(rotated):
    owner, store, _ = rotated
    keys = parts(store, FILES[0])[2]
    raw = keys.to_bytes()
    assert Keys.from_bytes(raw) == keys
    for at in range(len(raw)):
        with pytest.raises(MalformedMessage):
            Keys.from_bytes(raw[:at])
    with pytest.raises(MalformedMessage):
        Keys.from_bytes(raw + b"\0")
    wire = codec.loads(raw)
    wire[0][0][1][0].append(None)
    with pytest.raises(MalformedMessage):
        Keys.from_bytes(codec.dumps(wire))
    assert owner


def test_a_slot_that_was_taken_away_is_missed():
    owner, store = folder()
    header, body, keys = parts(store, FILES[0])
    mine = slot_of(owner, store, FILES[0])
    rest = tuple(one for one in keys.sets[0].slots if one != mine)
    put(store, FILES[0], header, body, replace(keys, sets=(replace(keys.sets[0], slots=rest),)))
    with pytest.raises(InvalidSignature, match="taken away"):
        LabelRotation(owner, store, FOLDER, 1).rotate()
    store.objects[label("team/plans/notes")] = b"not ours"
    with pytest.raises((MalformedMessage, InvalidSignature)):
        LabelRotation(owner, store, FOLDER, 1).rotate()


def test_proxies_that_lie_are_named_and_one_is_not_enough(rotated):
    owner, store, reader = rotated
    slot, beside = (slot_of(owner, store, path) for path in FILES[:2])
    header, *_ = parts(store, FILES[0])
    good = reader.answers(reader.grant.member(slot), (0, 1, 2))
    wrong = reader.answers(reader.grant.member(beside), (1,))
    for answers, culprits in (([good[0], wrong[0]], ("pit",)), (good[:1], ())):
        with pytest.raises(PeerFault) as caught:
            reader.grant.open(slot, answers, reader.key, target_of(header))
        assert tuple(caught.value.culprits) == culprits
    for pair in (good[:2], good[1:], good[::2]):
        with reader.grant.open(slot, pair, reader.key, target_of(header)) as dek:
            assert len(dek) == 32
