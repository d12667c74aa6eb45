"""Writes pedersen.json: `python tests/vectors/generate_pedersen.py`.

Points and scalars are computed from RFC 8032 (reference_edwards.py), not by the product.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent


def _reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "reference_edwards", HERE / "reference_edwards.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REF = _reference()
COUNTER, H = REF.second_generator()


def _hex(scalar: int) -> str:
    return scalar.to_bytes(32, "little").hex()


def _at(coefficients: list[int], x: int) -> int:
    return sum(c * pow(x, k, REF.L) for k, c in enumerate(coefficients)) % REF.L


def _commit(value: int, blinding: int) -> str:
    point = REF.plus(REF.times(value, REF.base()), REF.times(blinding, H))
    encoded: bytes = REF.encode(point)
    return encoded.hex()


def _dealing(values: list[int], blindings: list[int], receivers: list[int]) -> dict[str, Any]:
    return {
        "values": [_hex(c) for c in values],
        "blindings": [_hex(c) for c in blindings],
        "commitments": "".join(map(_commit, values, blindings)),
        "fragments": {str(x): _hex(_at(values, x)) + _hex(_at(blindings, x)) for x in receivers},
    }


def _polynomials(name: str, threshold: int) -> tuple[list[int], list[int]]:
    values = [REF.drawn(f"{name}/value/{k}") for k in range(threshold)]
    blindings = [REF.drawn(f"{name}/blinding/{k}") for k in range(threshold)]
    return values, blindings


def _dealings() -> list[dict[str, Any]]:
    sizes = [(2, [1, 2]), (3, [1, 2, 3, 4, 5]), (4, [2, 16, 17, 200, 255])]
    cases = []
    for threshold, receivers in sizes:
        name = f"{threshold} of {len(receivers)}, holders {receivers}"
        cases.append({"name": name, **_dealing(*_polynomials(name, threshold), receivers)})
    values, blindings = _polynomials("a zero value", 3)
    name = "a value of zero: the commitment is to the blinding alone"
    cases.append({"name": name, **_dealing([0, *values[1:]], blindings, [1, 2, 3])})
    return cases


def _reshare() -> dict[str, Any]:
    """(3, 5) to (4, 7): donors 1, 3, 5."""
    old = _polynomials("reshare/old", 3)
    donors, receivers = [1, 3, 5], [1, 2, 3, 4, 6, 7, 8]
    dealt: dict[str, Any] = {}
    new_values, new_blindings = [0] * 4, [0] * 4
    for donor in donors:
        values, blindings = _polynomials(f"reshare/{donor}", 4)
        values[0], blindings[0] = _at(old[0], donor), _at(old[1], donor)
        dealt[str(donor)] = _dealing(values, blindings, receivers)
        weight = 1
        for other in donors:
            if other != donor:
                weight = weight * other * pow(other - donor, -1, REF.L) % REF.L
        new_values = [(a + weight * b) % REF.L for a, b in zip(new_values, values, strict=True)]
        new_blindings = [
            (a + weight * b) % REF.L for a, b in zip(new_blindings, blindings, strict=True)
        ]
    assert new_values[0] == old[0][0]
    return {
        "name": "3 of 5 to 4 of 7",
        "old": _dealing(*old, [1, 2, 3, 4, 5]),
        "dealt": dealt,
        "new": _dealing(new_values, new_blindings, receivers),
    }


def _bad_points() -> list[dict[str, str]]:
    order_eight = REF.decode(
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    )
    off_subgroup = REF.encode(REF.plus(REF.base(), order_eight))
    off_curve = next(
        raw for y in range(2, 100) if REF.decode(raw := y.to_bytes(32, "little")) is None
    )
    bad = {
        "the identity": REF.encode(REF.ZERO),
        "small order: (0, -1)": REF.encode((0, REF.P - 1)),
        "small order: order 8": REF.encode(order_eight),
        "outside the prime-order group": off_subgroup,
        "off the curve": off_curve,
        "not canonical: y = p + 1": (REF.P + 1).to_bytes(32, "little"),
        "not canonical: all bits": b"\xff" * 32,
        "all zeros": bytes(32),
        "31 bytes": REF.encode(REF.base())[:31],
        "33 bytes": REF.encode(REF.base()) + b"\x00",
        "empty": b"",
    }
    return [{"name": k, "input": v.hex(), "error": "MalformedMessage"} for k, v in bad.items()]


def _bad_scalars() -> list[dict[str, str]]:
    bad = {
        "the order itself": REF.L.to_bytes(32, "little"),
        "the order and one": (REF.L + 1).to_bytes(32, "little"),
        "all bits": b"\xff" * 32,
        "31 bytes": bytes(31),
        "33 bytes": bytes(33),
        "empty": b"",
    }
    return [{"name": k, "input": v.hex(), "error": "MalformedMessage"} for k, v in bad.items()]


def generate() -> str:
    """The text of pedersen.json."""
    vectors = {
        "source": "generate_pedersen.py: Pedersen 1991 over edwards25519 of RFC 8032",
        "generator": {"counter": COUNTER, "point": REF.encode(H).hex()},
        "dealings": _dealings(),
        "reshare": _reshare(),
        "bad points": _bad_points(),
        "bad scalars": _bad_scalars(),
    }
    return json.dumps(vectors, indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "pedersen.json").write_text(generate())
    sys.exit(0)
