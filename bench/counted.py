"""Point multiplications of bare libsecp256k1 and nothing else, to count a scheme's work in."""

from __future__ import annotations

import time
from collections.abc import Callable

from coincurve._libsecp256k1 import ffi, lib

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Scalar
from tigertally.base.randomness import SystemRandomness

LOOPS = 12


def multiplications(base: int, secret: int, public_: int) -> Callable[[], None]:
    """So many multiplications of G and of other points, by secret and by public scalars."""
    context, scalar = secp256k1.CONTEXT, Scalar.random(SystemRandomness()).published()
    key, out = ffi.new("secp256k1_pubkey *"), ffi.new("unsigned char[32]")
    lib.secp256k1_ec_pubkey_create(context, key, scalar)

    def call() -> None:
        for _ in range(base):
            lib.secp256k1_ec_pubkey_create(context, key, scalar)
        for _ in range(secret):
            lib.secp256k1_ecdh(context, out, key, scalar, ffi.NULL, ffi.NULL)
        for _ in range(public_):
            lib.secp256k1_ec_pubkey_tweak_mul(context, key, scalar)

    return call


def cpu(call: Callable[[], object], loops: int = LOOPS) -> float:
    """CPU seconds a call."""
    start = time.process_time()
    for _ in range(loops):
        call()
    return (time.process_time() - start) / loops
