"""The product gives, to the byte, what plain arithmetic gave: tests/vectors/single_pre.json."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tigertally.base.ids import Hash
from tigertally.schemes import single_pre, umbral

VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "single_pre.json").read_text())


class Draws:
    """These scalars, one after the other; what only blinds is any number."""

    def __init__(self, *values: str) -> None:
        self.values = [bytes.fromhex(value) for value in values]

    def bytes(self, count: int) -> bytes:
        return self.values.pop(0)


BLINDING = "42" * 32


def named(cases):
    return [pytest.param(case, id=case["name"]) for case in cases]


def secret(text: str) -> umbral.SecretKey:
    return umbral.SecretKey.from_secret_bytes(bytes.fromhex(text))


def original(text: str) -> umbral.Capsule:
    return umbral.Capsule.from_bytes_simple(bytes.fromhex(text))


@pytest.mark.requirement("D2")
@pytest.mark.parametrize("case", named(VECTORS["sharing"]))
def test_sharing(case):
    owner, reader = secret(case["owner"]), secret(case["recipient"])
    draws = Draws(case["e"], BLINDING, case["x"])
    key = single_pre.share(owner, reader.public_key(), randomness=draws)
    assert key.to_secret_bytes().hex() == case["shared_key"]
    capsule = original(case["capsule"])
    answer = single_pre.reencrypt_shared(capsule, key, randomness=Draws(case["t"]))
    assert answer.to_bytes().hex() == case["answer"]
    opened = single_pre.open_shared(reader, owner.public_key(), capsule, answer)
    assert opened.matches(bytes.fromhex(case["seed"]))
    assert umbral.open_seed(owner, capsule).matches(bytes.fromhex(case["seed"]))


@pytest.mark.requirement("D16")
@pytest.mark.parametrize("case", named(VECTORS["rotation"]))
def test_rotation(case):
    factory = umbral.SecretKeyFactory(bytes.fromhex(case["factory"]))
    label_id = Hash(bytes.fromhex(case["label_id"]))
    rotation = single_pre.Rotation.first(factory, label_id, secret(case["owner"]))
    inputs = [original(text) for text in case["capsules"]]
    for number, step in enumerate(case["steps"], 1):
        assert rotation.target_sk.to_secret_bytes().hex() == step["target"]
        assert rotation.task.id.hex() == step["id"]
        assert rotation.key.to_secret_bytes().hex() == step["rk"]
        draws = Draws(step["t"])
        batch = single_pre.prove_batch(rotation.task.id, inputs, rotation.key, randomness=draws)
        assert batch.to_bytes().hex() == step["batch"]
        checked = single_pre.verify_batch(rotation.task, inputs, batch)
        assert [row.hex() for row in checked.members] == step["members"]
        found = checked.rotated_set(number)
        assert found.to_bytes().hex() == step["set"]
        members = []
        for index, seed in enumerate(case["seeds"]):
            place = checked.place(number, index)
            assert place.to_bytes().hex() == step["places"][index]
            raw = bytes.fromhex(step["members"][index])
            member = single_pre.RotatedCapsule.from_bytes(raw, place, found)
            assert single_pre.open_member(rotation, member).matches(bytes.fromhex(seed))
            members.append(member)
        rotation, inputs = single_pre.Rotation.again(factory, rotation), members
