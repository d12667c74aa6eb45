"""Umbral against umbral-pre, from bytes to bytes.

Both take turns in one process; CPU time counts, not the clock. `counted` is our time over that of
the point multiplications that the formulas have, made by bare libsecp256k1 and nothing else.
Aim: twice as fast as umbral-pre, at least 1.2 times; re-encrypting at most 1.25 times its counted
multiplications. Timing: worst |t| of small scalars against random ones, at most 4.5.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import umbral_pre as peer
from coincurve._libsecp256k1 import ffi

sys.path.insert(0, str(Path(__file__).parent))
import timing
from counted import cpu, multiplications
from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import PublicScalar, Scalar
from tigertally.base.randomness import SystemRandomness
from tigertally.schemes import umbral as ours

PAIRS = 25
SAMPLES = 100_000
TEXT = b"x" * 100
OWNER, READER, SIGNING = (os.urandom(32) for _ in range(3))
Rows = list[dict[str, Any]]


def public(secret: bytes) -> bytes:
    return ours.SecretKey.from_secret_bytes(secret).public_key().to_bytes()


A, B, V = map(public, (OWNER, READER, SIGNING))
_CAPSULE, CIPHERTEXT = ours.encrypt(ours.PublicKey.from_bytes(A), TEXT)
_KFRAGS = ours.generate_key_fragments(
    ours.SecretKey.from_secret_bytes(OWNER),
    ours.PublicKey.from_bytes(B),
    ours.Signer(ours.SecretKey.from_secret_bytes(SIGNING)),
    3,
    5,
    False,
    False,
)
CAPSULE, KFRAG = _CAPSULE.to_bytes(), _KFRAGS[0].to_bytes()
CFRAGS = [ours.reencrypt(_CAPSULE, kfrag).to_bytes() for kfrag in _KFRAGS[:3]]


class Ours:
    """The product: every call parses its bytes and writes them."""

    secret = staticmethod(ours.SecretKey.from_secret_bytes)
    public = staticmethod(ours.PublicKey.from_bytes)
    capsule = staticmethod(ours.Capsule.from_bytes)
    loaded = ours.VerifiedKeyFragment.from_verified_bytes(KFRAG)

    def encrypt(self) -> Any:
        capsule, ciphertext = ours.encrypt(self.public(A), TEXT)
        return capsule.to_bytes(), ciphertext

    def kfrags(self) -> Any:
        signer = ours.Signer(self.secret(SIGNING))
        made = ours.generate_key_fragments(
            self.secret(OWNER), self.public(B), signer, 3, 5, False, False
        )
        return [kfrag.to_bytes() for kfrag in made]

    def reencrypt(self) -> Any:
        return ours.reencrypt(self.capsule(CAPSULE), self.loaded).to_bytes()

    def reencrypt_stored(self) -> Any:
        kfrag = ours.VerifiedKeyFragment.from_verified_bytes(KFRAG)
        return ours.reencrypt(self.capsule(CAPSULE), kfrag).to_bytes()

    def verify(self) -> Any:
        keys = map(self.public, (V, A, B))
        return ours.CapsuleFragment.from_bytes(CFRAGS[0]).verify(self.capsule(CAPSULE), *keys)

    def decrypt(self) -> Any:
        cfrags = [ours.VerifiedCapsuleFragment.from_verified_bytes(raw) for raw in CFRAGS]
        return ours.decrypt_reencrypted(
            self.secret(READER), self.public(A), self.capsule(CAPSULE), cfrags, CIPHERTEXT
        )


class Peer:
    """The same with umbral-pre."""

    secret = staticmethod(peer.SecretKey.from_be_bytes)
    public = staticmethod(peer.PublicKey.from_compressed_bytes)
    capsule = staticmethod(peer.Capsule.from_bytes)
    loaded = peer.KeyFrag.from_bytes(KFRAG).skip_verification()

    def encrypt(self) -> Any:
        capsule, ciphertext = peer.encrypt(self.public(A), TEXT)
        return bytes(capsule), ciphertext

    def kfrags(self) -> Any:
        signer = peer.Signer(self.secret(SIGNING))
        made = peer.generate_kfrags(self.secret(OWNER), self.public(B), signer, 3, 5, False, False)
        return [bytes(kfrag) for kfrag in made]

    def reencrypt(self) -> Any:
        return bytes(peer.reencrypt(self.capsule(CAPSULE), self.loaded))

    def reencrypt_stored(self) -> Any:
        kfrag = peer.KeyFrag.from_bytes(KFRAG).skip_verification()
        return bytes(peer.reencrypt(self.capsule(CAPSULE), kfrag))

    def verify(self) -> Any:
        keys = map(self.public, (V, A, B))
        return peer.CapsuleFrag.from_bytes(CFRAGS[0]).verify(self.capsule(CAPSULE), *keys)

    def decrypt(self) -> Any:
        cfrags = [peer.CapsuleFrag.from_bytes(raw).skip_verification() for raw in CFRAGS]
        return peer.decrypt_reencrypted(
            self.secret(READER), self.public(A), self.capsule(CAPSULE), cfrags, CIPHERTEXT
        )


def row(name: str, method: str, counts: tuple[int, int, int], note: str = "") -> dict[str, Any]:
    mine, theirs = getattr(Ours(), method), getattr(Peer(), method)
    counted = multiplications(*counts)
    calls = (mine, theirs, counted)
    for call in calls:
        call()
    gc.disable()
    times = [tuple(cpu(call) for call in calls) for _ in range(PAIRS)]
    gc.enable()
    base, secret, public_ = counts
    return {
        "name": name,
        "ours": round(statistics.median(a for a, _, _ in times) * 1e6, 1),
        "umbral-pre": round(statistics.median(b for _, b, _ in times) * 1e6, 1),
        "unit": "µs CPU",
        "umbral-pre / ours": round(statistics.median(b / a for a, b, _ in times), 2),
        "ours / counted": round(statistics.median(a / c for a, _, c in times), 2),
        "note": f"counted: {base} of G, {secret} secret, {public_} public{note}",
    }


def operations() -> Rows:
    # A capsule's own check is one of G and one public; ECDSA counts as one of G to sign, and as
    # one of G and one public to verify.
    return [
        row("encrypt", "encrypt", (2, 1, 0)),
        row("kfrags, 3 of 5", "kfrags", (1 + 1 + 10, 1 + 5, 0), "; 10 signatures"),
        row("reencrypt", "reencrypt", (1, 5, 1), "; kfrag loaded, at most 1.25"),
        row("reencrypt, kfrag from bytes", "reencrypt_stored", (1, 5, 1)),
        row("cfrag: parse and verify", "verify", (1 + 1, 0, 1 + 1 + 6), "; capsule and keys too"),
        row("decrypt, m = 3", "decrypt", (1 + 1, 8, 1 + 1)),
    ]


def _work(barrier: Any, count: int, out: Any) -> None:
    barrier.wait()
    start = time.process_time()
    for _ in range(count):
        Ours().reencrypt()
    out.put(time.process_time() - start)


def workers() -> Rows:
    """Re-encryptions a second in one and in two processes."""
    fork, count, rates = multiprocessing.get_context("fork"), 2000, {}
    for number in (1, 2):
        barrier, out = fork.Barrier(number + 1), fork.Queue()
        processes = [fork.Process(target=_work, args=(barrier, count, out)) for _ in range(number)]
        for process in processes:
            process.start()
        barrier.wait()
        start = time.perf_counter()
        used = [out.get() for _ in processes]
        elapsed = time.perf_counter() - start
        for process in processes:
            process.join()
        rates[number] = (number * count / elapsed, number * count / statistics.fmean(used))
    (clock, busy), (clock2, busy2) = rates[1], rates[2]
    return [
        {
            "name": "reencrypt in 1 and 2 processes",
            "ours": f"{busy:.0f} and {busy2:.0f}",
            "unit": "a CPU second of each worker",
            "note": f"{busy2 / busy:.2f} times as many; by the clock {clock:.0f} and {clock2:.0f}"
            f" a second, {clock2 / clock:.2f} times, under the load below",
        }
    ]


def constant_time() -> Rows:
    """Small scalars against random ones; the control shows that the test can fail."""
    randomness, half = SystemRandomness(), 128
    point = secp256k1.mul_base(Scalar.random(randomness))
    small = [bytes(28) + os.urandom(3) + b"\x01" for _ in range(half)]
    large = [Scalar.random(randomness).to_secret_bytes() for _ in range(half)]
    one, move = Scalar.random(randomness), ffi.memmove

    def placed(raw: bytes) -> Scalar:
        """All values of both kinds take turns in the same 32 bytes of memory."""
        move(one._cell, raw, 32)
        return one

    calls: dict[str, tuple[Callable[[Any], object], Callable[[bytes], Any]]] = {
        "secret · P": (lambda s: secp256k1.mul(s, point), placed),
        "secret · G": (secp256k1.mul_base, placed),
        "1 / secret, blinded": (lambda s: s.invert(randomness), placed),
        "control: public · P, in variable time": (
            lambda s: secp256k1.mul_public(s, point),
            PublicScalar,
        ),
    }
    return [
        {
            "name": f"timing of {name}",
            "ours": round(timing.worst_t(call, prepared, small, large, SAMPLES), 2),
            "unit": "worst |t|",
            "note": f"{SAMPLES:,} samples of scalars below 2³² and of random ones each; "
            + ("must be far above 4.5" if name.startswith("control") else "at most 4.5"),
        }
        for name, (call, prepared) in calls.items()
    ]


def run() -> Rows:
    """One row a measurement."""
    assert Ours().decrypt() == Peer().decrypt() == TEXT
    return [*operations(), *workers(), *constant_time()]


if __name__ == "__main__":
    for line in run():
        print(line)
