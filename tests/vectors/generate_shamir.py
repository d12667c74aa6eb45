"""Writes shamir.json: `python tests/vectors/generate_shamir.py`.

Fragments are computed from the definition of the field (reference_gf256.py), not by the product.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
CASES = [
    # name, secret, threshold, indices
    ("the smallest: one byte, 2 of 2", b"\x00", 2, [1, 2]),
    ("32 bytes, 3 of 5", bytes(range(32)), 3, [1, 2, 3, 4, 5]),
    ("zeros in front and behind", bytes(9) + b"\x01" + bytes(9), 3, [3, 141, 59]),
    ("all bits set", b"\xff" * 32, 2, [1, 128, 255]),
    ("every byte value", bytes(range(256)), 4, [7, 77, 177, 254, 255]),
    ("7 of 9, scattered indices", b"tiger tally", 7, [2, 3, 5, 7, 11, 13, 101, 251, 255]),
]


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_gf256", HERE / "reference_gf256.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _drawn(name: str, size: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(size)


def generate() -> str:
    """The text of shamir.json."""
    reference, cases = _reference(), []
    for name, secret, threshold, indices in CASES:
        size = len(secret)
        drawn = _drawn(name, size * (threshold - 1))
        rows = [secret, *(drawn[i : i + size] for i in range(0, len(drawn), size))]
        fragments = {
            str(x): bytes(reference.evaluate(column, x) for column in zip(*rows, strict=True)).hex()
            for x in indices
        }
        cases.append(
            {
                "name": name,
                "secret": secret.hex(),
                "threshold": threshold,
                "randomness": drawn.hex(),
                "fragments": fragments,
            }
        )
    source = (
        "generate_shamir.py: evaluation byte by byte over GF(2^8) mod 0x11B, FIPS 197 section 4"
    )
    return json.dumps({"source": source, "cases": cases}, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "shamir.json").write_text(generate())
    sys.exit(0)
