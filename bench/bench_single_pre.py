"""One proxy and rotation, as multiples of their point multiplications.

`counted` is the time of the point multiplications that the formulas have, made by bare libsecp256k1
in turn with ours in one process; CPU time. A batch's rows are per member, with capsules parsed
before: what a proxy or owner adds for each more. `public` counts whole multiplications, the weights
of a proof have half the bits.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from counted import LOOPS, cpu, multiplications
from tigertally.base.ids import Hash
from tigertally.base.randomness import SystemRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.schemes import single_pre, umbral

PAIRS = 25
BATCH_PAIRS = 5
SIZE = 1000
Rows = list[dict[str, Any]]

OWNER, READER = umbral.SecretKey.random(), umbral.SecretKey.random()
A, B = OWNER.public_key(), READER.public_key()
FACTORY = umbral.SecretKeyFactory.random()
ROTATION = single_pre.Rotation.first(FACTORY, Hash(os.urandom(32)), OWNER)


def row(
    name: str,
    call: Callable[[], object],
    counts: tuple[int, int, int] | None = None,
    *,
    members: int = 1,
    note: str = "",
) -> dict[str, Any]:
    """Ours and the counted multiplications in turn; for a batch, both per member."""
    counted = multiplications(*(counts or (1, 0, 0)))
    loops, pairs = (LOOPS, PAIRS) if members == 1 else (1, BATCH_PAIRS)
    turns = LOOPS if members == 1 else members
    call()
    counted()
    gc.disable()
    times = [(cpu(call, loops) / members, cpu(counted, turns)) for _ in range(pairs)]
    gc.enable()
    found = {
        "name": name,
        "ours": round(statistics.median(a for a, _ in times) * 1e6, 1),
        "unit": "µs CPU" if members == 1 else "µs CPU a member",
        "ours / counted": "",
        "note": note,
    }
    if counts is None:
        return found
    base, secret, public = counts
    counting = f"counted: {base} of G, {secret} secret, {public} public"
    return found | {
        "ours / counted": round(statistics.median(a / c for a, c in times), 2),
        "note": "; ".join(filter(None, [counting, note])),
    }


def single() -> Rows:
    """From bytes to bytes."""
    capsule = umbral.encapsulate(A)[0]
    key = single_pre.share(OWNER, B)
    raw_capsule, raw_key = capsule.to_bytes(), key.to_secret_bytes()
    answer = single_pre.reencrypt_shared(capsule, key).to_bytes()

    def reencrypt() -> bytes:
        parsed = umbral.Capsule.from_bytes(raw_capsule)
        return single_pre.reencrypt_shared(parsed, key).to_bytes()

    def opened() -> object:
        parsed = umbral.Capsule.from_bytes(raw_capsule)
        shared = single_pre.SharedCapsule.from_bytes(answer)
        return single_pre.open_shared(READER, A, parsed, shared)

    return [
        row("rekey", lambda: single_pre.rekey(OWNER, READER), note="one inversion"),
        row("share", lambda: single_pre.share(OWNER, B).to_secret_bytes(), (1, 3, 0)),
        row("re-encrypt a shared capsule", reencrypt, (1, 4, 1 + 2), note="key loaded"),
        row("open a shared capsule", opened, (1, 2 + 2 + 1, 1 + 4 + 4 + 1), note="two boxes"),
        row("shared key from bytes", lambda: single_pre.SharedKey.from_secret_bytes(raw_key)),
    ]


def batches() -> Rows:
    """A batch of many, per member."""
    capsules = [umbral.encapsulate(A)[0] for _ in range(SIZE)]
    batch = single_pre.prove_batch(ROTATION.task.id, capsules, ROTATION.key)
    raw = batch.to_bytes()
    checked = single_pre.verify_batch(ROTATION.task, capsules, batch)
    signing = SigningKey.generate(SystemRandomness())
    own = checked.rotated_set(1)
    signed = single_pre.RotatedSet.open(
        own.to_bytes(), own.sign(signing), signing.public, ROTATION.task.id
    )
    place, member_raw = checked.place(1, 7), checked.members[7]
    member = single_pre.RotatedCapsule.from_bytes(member_raw, place, signed)

    def verify() -> object:
        parsed = single_pre.RotatedBatch.from_bytes(raw)
        found = single_pre.verify_batch(ROTATION.task, capsules, parsed)
        return found.rotated_set(1).sign(signing)

    def parse() -> object:
        return single_pre.RotatedCapsule.from_bytes(member_raw, place, signed)

    def again() -> object:
        return [umbral.encapsulate(A) for _ in range(SIZE)]

    return [
        row("rotate", lambda: single_pre.rotate(capsules[0], ROTATION.key), (0, 2, 0)),
        row(
            f"rotate and prove a batch of {SIZE:,}",
            lambda: single_pre.prove_batch(ROTATION.task.id, capsules, ROTATION.key).to_bytes(),
            (0, 2, 2),
            members=SIZE,
        ),
        row(f"verify and sign a batch of {SIZE:,}", verify, (0, 0, 4), members=SIZE),
        row(
            "instead of rotating: encapsulate anew",
            again,
            (2, 1, 0),
            members=SIZE,
            note="what an owner does that is online",
        ),
        row("member: parse and find in its set", parse, note=f"{SIZE:,} members"),
        row("open a member, owner", lambda: single_pre.open_member(ROTATION, member), (0, 3, 1)),
    ]


def run() -> Rows:
    """One row a measurement."""
    return [*single(), *batches()]


if __name__ == "__main__":
    for line in run():
        print(line)
