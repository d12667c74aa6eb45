"""Rotation: the seeds stay, at any m of n, once and again; and who is told what."""

from __future__ import annotations

import copy
import pickle

import pytest

from rotation_rig import (
    FACTORY,
    LABEL,
    OWNER,
    READER,
    A,
    R,
    answers,
    capsules,
    kfrags_under,
    rotated,
)
from tigertally.base.errors import PeerFault, UsageError
from tigertally.base.ids import Hash
from tigertally.schemes import umbral
from tigertally.schemes.single_pre import (
    MemberKeyFragment,
    RotatedCapsule,
    Rotation,
    open_member,
    open_reencrypted_member,
    rotation_id,
)

pytestmark = pytest.mark.requirement("D16")

CAPSULES, SEEDS = capsules(5)
ONCE = rotated(Rotation.first(FACTORY, LABEL, OWNER, randomness=R), CAPSULES)
TWICE = rotated(Rotation.again(FACTORY, ONCE.rotation, randomness=R), ONCE.members)
THRICE = rotated(Rotation.again(FACTORY, TWICE.rotation, randomness=R), TWICE.members)


@pytest.mark.parametrize("made", [ONCE, TWICE, THRICE], ids=["once", "twice", "thrice"])
def test_the_owner_opens_members_and_what_keys_rest_on_stays(made):
    for member, seed, capsule in zip(made.members, SEEDS, CAPSULES, strict=True):
        assert open_member(made.rotation, member).matches(seed)
        assert (member.h, member.s) == (capsule.h, capsule.s)
        assert (member.e, member.v) != (capsule.e, capsule.v)
    assert made.rotation.origin_pk == A


@pytest.mark.parametrize(("m", "n"), [(1, 1), (2, 3), (3, 5), (5, 8)])
@pytest.mark.parametrize("made", [ONCE, TWICE], ids=["once", "twice"])
def test_recipients_open_members_that_m_proxies_re_encrypted(made, m, n):
    kfrags = kfrags_under(made.rotation, m, n)
    member, seed = made.members[m % 5], SEEDS[m % 5]
    cfrags = answers(made.rotation, member, kfrags)
    for chosen in (cfrags[:m], cfrags[-m:], cfrags):
        assert open_reencrypted_member(READER, A, member, chosen, randomness=R).matches(seed)
    if m > 1:
        with pytest.raises(PeerFault, match="too few"):
            open_reencrypted_member(READER, A, member, cfrags[: m - 1], randomness=R)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9])
def test_batches_of_any_size(count):
    made, seeds = capsules(count)
    done = rotated(Rotation.first(FACTORY, LABEL, OWNER, randomness=R), made, number=7)
    assert len(done.members) == count
    for member, seed in zip(done.members, seeds, strict=True):
        assert open_member(done.rotation, member).matches(seed)
    assert done.set.batch == 7


def test_a_rotation_is_found_again_from_the_seed():
    same = Rotation.first(FACTORY, LABEL, OWNER)
    assert same.target_pk == ONCE.rotation.target_pk
    assert same.task == ONCE.rotation.task
    assert rotation_id(LABEL, A, same.target_pk) == same.task.id
    other_seed = umbral.SecretKeyFactory.random(R)
    for other in (
        Rotation.first(FACTORY, Hash(bytes(32)), OWNER),
        Rotation.first(FACTORY, LABEL, READER),
        Rotation.first(other_seed, LABEL, OWNER),
    ):
        assert other.target_pk != same.target_pk
        assert other.task.id != same.task.id


def test_each_rotation_names_the_one_before():
    assert ONCE.rotation.task.previous is None
    assert TWICE.rotation.task.previous == ONCE.rotation.task.id
    assert THRICE.rotation.task.previous == TWICE.rotation.task.id
    assert len({made.rotation.task.id for made in (ONCE, TWICE, THRICE)}) == 3


def test_the_proxy_is_told_no_public_key_of_the_owner():
    """Everything it gets or sends, as bytes."""
    told = [ONCE.rotation.task.id, ONCE.rotation.key.to_secret_bytes(), ONCE.batch.to_bytes()]
    told += [capsule.to_bytes() for capsule in CAPSULES] + [ONCE.set.to_bytes()]
    for key in (A, ONCE.rotation.target_pk):
        assert not any(key.to_bytes()[1:] in raw for raw in told)


def test_members_and_places_travel_as_the_same_bytes():
    member, place = ONCE.members[3], ONCE.verified.place(1, 3)
    assert member.to_bytes() == ONCE.verified.members[3]
    assert RotatedCapsule.from_bytes(member.to_bytes(), place, ONCE.set) == member
    assert member.rotation == ONCE.rotation.task.id


def test_a_rotation_does_not_print_compare_or_pickle():
    rotation = ONCE.rotation
    for secret in (rotation.target_sk, rotation.key):
        assert secret.to_secret_bytes().hex() not in repr(rotation)
    for refused in (
        lambda: rotation == rotation,  # noqa: PLR0124
        lambda: hash(rotation),
        lambda: pickle.dumps(rotation),
        lambda: copy.copy(rotation),
    ):
        with pytest.raises(TypeError):
            refused()
    (kfrag,) = kfrags_under(rotation, 1, 1)
    assert kfrag.fragment.fragment.key.to_secret_bytes().hex() not in repr(kfrag)


def test_kfrags_and_members_belong_to_one_rotation():
    (kfrag,) = kfrags_under(ONCE.rotation, 1, 1)
    later = MemberKeyFragment(fragment=kfrag.fragment, rotation=TWICE.rotation.task.id)
    for member, fragment in ((TWICE.members[0], kfrag), (ONCE.members[0], later)):
        with pytest.raises(UsageError, match="that rotation only"):
            answers(ONCE.rotation, member, [fragment])
    with pytest.raises(UsageError, match="another rotation"):
        open_member(TWICE.rotation, ONCE.members[0])
