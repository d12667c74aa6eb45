"""The attacks of docs/protocols/rotation.md, each with a control that shows it to be one."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from rotation_rig import (
    FACTORY,
    GRANT,
    LABEL,
    OWNER,
    READER,
    SIGNING,
    A,
    B,
    R,
    V,
    answers,
    bent,
    capsules,
    kfrags_under,
    minus,
    number,
    plus,
    rotated,
    some_point,
)
from tigertally.algebra import secp256k1, tags
from tigertally.algebra.secp256k1 import ORDER
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import Hash, Signature
from tigertally.crypto import merkle
from tigertally.crypto.signatures import SigningKey
from tigertally.schemes import umbral
from tigertally.schemes.single_pre import (
    MemberKeyFragment,
    Place,
    ReencryptionKey,
    RotatedBatch,
    RotatedCapsule,
    RotatedSet,
    Rotation,
    RotationId,
    VerifiedBatch,
    members,
    open_reencrypted_member,
    prove_batch,
    reencrypt_member,
    rekey,
    verify_batch,
    verify_member_fragment,
)
from tigertally.schemes.single_pre import proof as proving
from tigertally.schemes.single_pre.proof import Statement
from tigertally.schemes.umbral.capsule_fragment import reencrypt_points
from tigertally.schemes.umbral.opening import checked_seed, combined

pytestmark = pytest.mark.requirement("D16")

CAPSULES, SEEDS = capsules(4)
ONCE = rotated(Rotation.first(FACTORY, LABEL, OWNER, randomness=R), CAPSULES)
TASK, KEY = ONCE.rotation.task, ONCE.rotation.key
TWICE = rotated(Rotation.again(FACTORY, ONCE.rotation, randomness=R), ONCE.members)
THIEF = umbral.SecretKey.random(R)
MEMBER, PLACE = ONCE.members[1], ONCE.verified.place(1, 1)
D = some_point()


def proven(outputs, key=KEY, inputs=CAPSULES, context=TASK.id):
    """The batch of a proxy that proves whatever it says, as well as it can."""
    statement = Statement(
        context=context,
        commitment=key.commitment(),
        inputs=[(capsule.e, capsule.v) for capsule in inputs],
        outputs=outputs,
    )
    return RotatedBatch(outputs=tuple(outputs), proof=proving.prove(statement, key))


def refused(batch, inputs=CAPSULES, task=TASK):
    with pytest.raises(PeerFault) as caught:
        verify_batch(task, inputs, batch, proxy="proxy-1")
    assert caught.value.culprits == ("proxy-1",)
    assert not caught.value.sure


GOOD = ONCE.batch.outputs
(E0, V0), (E1, V1), *REST = GOOD
CANCELLING = [(plus(E0, D), V0), (plus(E1, minus(D)), V1), *REST]
WRONG = {
    "one point moved": [(plus(E0, D), V0), (E1, V1), *REST],
    "the last point moved": [*GOOD[:3], (GOOD[3][0], plus(GOOD[3][1], D))],
    "one pair not rotated": [(CAPSULES[0].e, CAPSULES[0].v), (E1, V1), *REST],
    "two results swapped": [(E1, V1), (E0, V0), *REST],
    "E and V swapped": [(V0, E0), (E1, V1), *REST],
    "one result twice": [(E0, V0), (E0, V0), *REST],
    "a sign": [(minus(E0), minus(V0)), (E1, V1), *REST],
    "errors that cancel": CANCELLING,
    "errors that cancel within a pair": [(plus(E0, D), plus(V0, minus(D))), (E1, V1), *REST],
    "bent past the opening equation": [bent(E0, V0, CAPSULES[0].h), (E1, V1), *REST],
}


@pytest.mark.parametrize("outputs", WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_noticed_however_it_is_proven(outputs):
    refused(proven(outputs))
    refused(replace(ONCE.batch, outputs=tuple(outputs)))


def test_without_weights_errors_would_cancel(monkeypatch):
    """The control of the test above."""
    one = secp256k1.PublicScalar((1).to_bytes(32, "big"))
    monkeypatch.setattr(proving, "weights", lambda seed, pairs: [one] * (2 * pairs))
    verify_batch(TASK, CAPSULES, proven(CANCELLING))
    refused(proven(WRONG["one point moved"]))


def test_outputs_chosen_after_the_weights_are_noticed(monkeypatch):
    statement = Statement(
        context=TASK.id,
        commitment=TASK.commitment,
        inputs=[(capsule.e, capsule.v) for capsule in CAPSULES],
        outputs=GOOD,
    )
    seed = statement.seed()
    w = proving.weights(seed, len(CAPSULES))
    e0 = plus(E0, secp256k1.mul_public(w[2], D))
    e1 = plus(E1, minus(secp256k1.mul_public(w[0], D)))
    fitted = replace(ONCE.batch, outputs=((e0, V0), (e1, V1), *REST))
    refused(fitted)
    monkeypatch.setattr(Statement, "seed", lambda self: seed)
    verify_batch(TASK, CAPSULES, fitted)  # the control: were the outputs not hashed, it would pass


def test_another_key_with_a_good_proof_is_not_the_owners():
    other = ReencryptionKey(umbral.SecretKey.random(R).scalar)
    batch = prove_batch(TASK.id, CAPSULES, other, randomness=R)
    refused(batch)
    verify_batch(replace(TASK, commitment=other.commitment()), CAPSULES, batch)  # the control
    statement = Statement(
        context=TASK.id,
        commitment=TASK.commitment,
        inputs=[(capsule.e, capsule.v) for capsule in CAPSULES],
        outputs=batch.outputs,
    )  # the owner's statement, the other key in the answer: right for M, wrong for U
    refused(replace(batch, proof=proving.prove(statement, other)))


def test_a_proof_serves_one_batch_in_one_order_for_one_rotation():
    refused(ONCE.batch, task=replace(TASK, id=RotationId(bytes(32))))
    more, _ = capsules(4)
    refused(ONCE.batch, inputs=more)
    refused(ONCE.batch, inputs=CAPSULES[::-1])
    backwards = replace(ONCE.batch, outputs=GOOD[::-1])
    refused(backwards, inputs=CAPSULES[::-1])
    other = prove_batch(TASK.id, more, KEY, randomness=R)
    refused(replace(other, outputs=GOOD))
    refused(replace(ONCE.batch, proof=other.proof))


@pytest.mark.parametrize("field", ["p", "q", "z"])
def test_every_part_of_a_proof_counts(field):
    wrong = replace(ONCE.batch.proof, **{field: getattr(TWICE.batch.proof, field)})
    refused(replace(ONCE.batch, proof=wrong))


def test_equations_that_end_in_infinity_are_no_crash():
    """P = −c·u1 would need a fixed point of the hash; a made-up sum shows the refusal instead."""
    capsule = CAPSULES[0]
    statement = Statement(
        context=b"",
        commitment=TASK.commitment,
        inputs=[(capsule.e, capsule.v)] * 2,
        outputs=[(E0, V0)] * 2,
    )
    ones = [secp256k1.PublicScalar((1).to_bytes(32, "big"))] * 4
    cancelling = [(E0, minus(E0)), (V0, minus(V0))]
    with pytest.raises(UsageError, match="infinity"):
        proving._weighted(ones, cancelling)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PeerFault):
        patch.setattr(proving, "weights", lambda seed, pairs: ones)
        proving.verify(replace(statement, outputs=cancelling), ONCE.batch.proof)


def test_nothing_is_left_out_added_or_doubled():
    for outputs in (GOOD[:-1], [*GOOD, GOOD[0]], []):
        refused(replace(ONCE.batch, outputs=tuple(outputs)))
    for inputs in (CAPSULES[:-1], [*CAPSULES, CAPSULES[0]], []):
        refused(ONCE.batch, inputs=inputs)
    for make in (lambda: proven(GOOD[:-1]), lambda: proven([], inputs=[])):
        with pytest.raises(UsageError):
            make()


def test_h_and_s_are_the_inputs_whatever_the_proxy_says():
    for row, capsule in zip(ONCE.verified.members, CAPSULES, strict=True):
        assert row[66:] == capsule.h + capsule.s


def test_a_planted_invalid_original_is_no_input():
    e, v = some_point(), some_point()
    raw = e.to_bytes() + v.to_bytes() + CAPSULES[0].s
    assert KEY.applied((e, v)), "the control: the algebra would rotate it"
    with pytest.raises(MalformedMessage, match="not a valid capsule"):
        umbral.Capsule.from_bytes_simple(raw)
    fake = SimpleNamespace(e=e, v=v, s=CAPSULES[0].s, h=CAPSULES[0].h)
    with pytest.raises(UsageError, match="nothing else"):
        prove_batch(TASK.id, [fake], KEY)
    batch = proven([KEY.applied((e, v))], inputs=[fake])  # by a proxy that does not care
    with pytest.raises(UsageError, match="starts from"):
        verify_batch(TASK, [fake], batch)


def test_inputs_are_of_the_kind_and_rotation_that_the_task_names():
    again = TWICE.rotation.task
    batch = prove_batch(TASK.id, ONCE.members, KEY, randomness=R)
    for task, inputs in (
        (TASK, ONCE.members),
        (again, CAPSULES),
        (again, TWICE.members),
        (TASK, [*CAPSULES[:3], ONCE.members[3]]),
    ):
        with pytest.raises(UsageError, match="starts from"):
            verify_batch(task, inputs, batch)


def test_smuggling_past_the_equation():
    """E′ + D, V′ − h·D: a reader that looks at the equation alone opens another seed."""
    e, v = bent(MEMBER.e, MEMBER.v, MEMBER.h)
    kfrags = kfrags_under(ONCE.rotation, 2, 3)
    control = [reencrypt_points((e, v), kfrag.fragment) for kfrag in kfrags[:2]]
    wrong = checked_seed(*combined(READER, control), s=MEMBER.s, h=MEMBER.h, origin=A)
    assert not wrong.matches(SEEDS[1])
    raw = e.to_bytes() + v.to_bytes() + MEMBER.h + MEMBER.s
    with pytest.raises(PeerFault, match="not in the tree"):
        RotatedCapsule.from_bytes(raw, PLACE, ONCE.set)
    cfrag = umbral.CapsuleFragment.from_bytes(control[0].to_bytes())
    with pytest.raises(PeerFault, match="proof"):
        verify_member_fragment(cfrag, MEMBER, V, ONCE.rotation.target_pk, B)


def test_the_cfrags_of_one_member_open_no_other():
    kfrags = kfrags_under(ONCE.rotation, 1, 1)
    cfrags = answers(ONCE.rotation, MEMBER, kfrags)
    other = ONCE.members[2]
    with pytest.raises(PeerFault, match="proof"):
        verify_member_fragment(cfrags[0].fragment, other, V, ONCE.rotation.target_pk, B)
    with pytest.raises(PeerFault, match="do not open"):
        open_reencrypted_member(READER, A, other, cfrags)
    with pytest.raises(PeerFault, match="do not open"):
        open_reencrypted_member(READER, ONCE.rotation.target_pk, MEMBER, cfrags)
    with pytest.raises(InvalidSignature):
        verify_member_fragment(cfrags[0].fragment, MEMBER, V, A, B)


def test_kfrags_serve_their_own_kind():
    (rotated_kfrag,) = kfrags_under(ONCE.rotation, 1, 1)
    (kfrag,) = umbral.generate_key_fragments(OWNER, B, umbral.Signer(SIGNING), 1, 1)
    for call in (
        lambda: umbral.reencrypt(MEMBER, kfrag),
        lambda: umbral.reencrypt(CAPSULES[0], rotated_kfrag),
        lambda: reencrypt_member(CAPSULES[0], rotated_kfrag),
        lambda: reencrypt_member(MEMBER, kfrag),
        lambda: reencrypt_member(TWICE.members[0], rotated_kfrag),
    ):
        with pytest.raises(UsageError):
            call()


def test_bytes_of_one_kind_are_not_of_the_other():
    member, capsule = MEMBER.to_bytes(), CAPSULES[1].to_bytes_simple()
    for raw in (member, member[:98], member[:66] + member[98:]):
        with pytest.raises(MalformedMessage):
            umbral.Capsule.from_bytes_simple(raw)
    padded = capsule[:66] + CAPSULES[1].h + capsule[66:]
    for raw, error in ((capsule, MalformedMessage), (padded, PeerFault)):
        with pytest.raises(error):
            RotatedCapsule.from_bytes(raw, PLACE, ONCE.set)


def test_the_old_key_opens_no_member():
    points = [secp256k1.mul_to_secret(OWNER.scalar, point) for point in (MEMBER.e, MEMBER.v)]
    with pytest.raises(PeerFault, match="do not open"):
        checked_seed(points[0], points[1], s=MEMBER.s, h=MEMBER.h, origin=A)
    assert not secp256k1.total_to_secret(points).to_secret().matches(SEEDS[1])
    assert umbral.open_seed(OWNER, CAPSULES[1]).matches(SEEDS[1])  # as the page says


def test_two_sources_never_have_one_target():
    """With one ε, who knows the first source computes the second; rotations have two."""

    def computed(first, second):
        return number(OWNER.scalar) * number(second) * pow(number(first), -1, ORDER) % ORDER

    epsilon = ONCE.rotation.target_sk
    raw = (rekey(OWNER, epsilon), rekey(THIEF, epsilon))
    assert computed(raw[0].scalar, raw[1].scalar) == number(THIEF.scalar), "the control"
    other = Rotation.first(FACTORY, LABEL, THIEF)
    assert computed(KEY.scalar, other.key.scalar) != number(THIEF.scalar)
    targets = [ONCE.rotation, TWICE.rotation, other, Rotation.again(FACTORY, other)]
    assert len({rotation.target_pk for rotation in targets}) == 4


SET, SIGNATURE = ONCE.set.to_bytes(), ONCE.set.sign(GRANT)


def opened_set(raw=SET, signature=SIGNATURE, owner=GRANT.public, id_=TASK.id):
    return RotatedSet.open(raw, signature, owner, id_, name="owner")


def test_a_set_is_what_the_owner_signed_for_this_rotation():
    assert opened_set() == ONCE.set
    other = SigningKey.generate(R)
    changed = bytes([*ONCE.set.to_bytes()[:-1], ONCE.set.to_bytes()[-1] ^ 1])
    for attempt in (
        {"raw": changed},
        {"raw": TWICE.set.to_bytes()},
        {"owner": other.public},
        {"signature": Signature(bytes([SIGNATURE[0] ^ 1]) + SIGNATURE[1:])},
        {"signature": GRANT.sign(tags.ROSTER, ONCE.set.to_bytes())},
    ):
        with pytest.raises(InvalidSignature) as caught:
            opened_set(**attempt)
        assert caught.value.culprits == ("owner",)
    with pytest.raises(PeerFault, match="another rotation") as fault:
        opened_set(id_=TWICE.rotation.task.id)
    assert fault.value.culprits == ("owner",)
    with pytest.raises(MalformedMessage):
        opened_set(raw=b"\x80", signature=GRANT.sign(tags.ROTATED_SET, b"\x80"))


def test_a_path_leads_from_one_leaf_of_one_set():
    wrong = {
        "another index": replace(PLACE, index=2),
        "the count": replace(PLACE, index=4),
        "far past the count": replace(PLACE, index=2**64 - 1),
        "another batch": replace(PLACE, batch=2),
        "a hash less": replace(PLACE, path=PLACE.path[:-1]),
        "a hash more": replace(PLACE, path=(*PLACE.path, PLACE.path[0])),
        "no path": replace(PLACE, path=()),
        "hashes swapped": replace(PLACE, path=PLACE.path[::-1]),
        "another path": ONCE.verified.place(1, 2),
    }
    for place in wrong.values():
        with pytest.raises(PeerFault):
            RotatedCapsule.from_bytes(MEMBER.to_bytes(), place, ONCE.set)
    alone = rotated(ONCE.rotation, CAPSULES[:1], number=3)  # the path of its member is empty
    for index in (1, 2**64 - 1):
        with pytest.raises(PeerFault):
            place = replace(alone.verified.place(3, 0), index=index)
            RotatedCapsule.from_bytes(alone.members[0].to_bytes(), place, alone.set)
    second = rotated(ONCE.rotation, CAPSULES[::-1], number=2)
    with pytest.raises(PeerFault, match="not in the tree"):
        RotatedCapsule.from_bytes(MEMBER.to_bytes(), replace(PLACE, batch=2), second.set)
    for position in range(3):
        with pytest.raises(PeerFault):
            RotatedCapsule.from_bytes(TWICE.members[position].to_bytes(), PLACE, ONCE.set)


def test_a_leaf_is_no_log_entry_and_no_inner_node():
    raw = MEMBER.to_bytes()
    assert members.leaf_of(raw) != merkle.leaf_hash(raw)
    pair = members.leaf_of(ONCE.verified.members[0]) + members.leaf_of(ONCE.verified.members[1])
    shorter = Place(batch=1, index=0, path=PLACE.path[1:])
    for bytes_ in (pair, pair.ljust(130, b"\x01")):
        with pytest.raises((MalformedMessage, PeerFault)):
            RotatedCapsule.from_bytes(bytes_, shorter, ONCE.set)


def test_the_numbers_of_sets_start_at_one():
    with pytest.raises(UsageError):
        ONCE.verified.rotated_set(0)


def test_nobody_else_makes_what_is_verified():
    parts = {"e": MEMBER.e, "v": MEMBER.v, "h": MEMBER.h, "s": MEMBER.s}
    for make in (
        lambda: RotatedCapsule(**parts, rotated_set=ONCE.set, proof=object()),
        lambda: RotatedSet(body=ONCE.set.body, proof=object()),
        lambda: VerifiedBatch(TASK.id, (), proof=object()),
    ):
        with pytest.raises(UsageError):
            make()


def test_a_fragment_for_one_rotation_says_so():
    (kfrag,) = kfrags_under(ONCE.rotation, 1, 1)
    foreign = MemberKeyFragment(fragment=kfrag.fragment, rotation=RotationId(Hash(bytes(32))))
    with pytest.raises(UsageError, match="that rotation only"):
        reencrypt_member(MEMBER, foreign)
