"""Slow and plain secp256k1, and RFC 9380's hash to it: what the tests compare the product with."""

from __future__ import annotations

import hashlib

P = 2**256 - 2**32 - 977
N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
G = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Affine = tuple[int, int] | None  # None is infinity


def add(p: Affine, q: Affine, a: int = 0) -> Affine:
    """P + Q on y² = x³ + a·x + b."""
    if p is None or q is None:
        return q if p is None else p
    if p[0] == q[0] and (p[1] + q[1]) % P == 0:
        return None
    top, bottom = (3 * p[0] ** 2 + a, 2 * p[1]) if p == q else (q[1] - p[1], q[0] - p[0])
    slope = top * pow(bottom, -1, P) % P
    x = (slope**2 - p[0] - q[0]) % P
    return x, (slope * (p[0] - x) - p[1]) % P


def mul(k: int, p: Affine) -> Affine:
    result: Affine = None
    for bit in f"{k % N:b}":
        result = add(result, result)
        result = add(result, p) if bit == "1" else result
    return result


def compressed(p: Affine) -> bytes:
    assert p is not None
    return bytes([2 + p[1] % 2]) + p[0].to_bytes(32, "big")


# RFC 9380 section 8.7 and appendix E.1.
_A, _B, _Z = 0x3F8731ABDD661ADCA08A5558F0F5D272E953D363CB6F0E5D405447C01A444533, 1771, -11
_X_TOP = (
    0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA8C7,
    0x07D3D4C80BC321D5B9F315CEA7FD44C5D595D2FC0BF63B92DFFF1044F17C6581,
    0x534C328D23F234E6E2A413DECA25CAECE4506144037C40314ECBD0B53D9DD262,
    0x8E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38E38DAAAAA88C,
)
_X_BOTTOM = (
    0xD35771193D94918A9CA34CCBB7B640DD86CD409542F8487D9FE6B745781EB49B,
    0xEDADC6F64383DC1DF7C4B2D51B54225406D36B641F5E41BBC52A56612A8C6D14,
    1,
)
_Y_TOP = (
    0x4BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684B8E38E23C,
    0xC75E0C32D5CB7C0FA9D0A54B12A0A6D5647AB046D686DA6FDFFC90FC201D71A3,
    0x29A6194691F91A73715209EF6512E576722830A201BE2018A765E85A9ECEE931,
    0x2F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F684BDA12F38E38D84,
)
_Y_BOTTOM = (
    0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFF93B,
    0x7A06534BB8BDB49FD5E9E6632722C2989467C1BFC8E8D978DFB425D2685C2573,
    0x6484AA716545CA2CF3A70C3FA8FE337E0A3D21162F0D6299A7BF8192BFD2A76F,
    1,
)


def expand(message: bytes, tag: bytes, size: int) -> bytes:
    """expand_message_xmd with SHA-256, RFC 9380 section 5.3.1."""
    ending = tag + bytes([len(tag)])
    first = hashlib.sha256(bytes(64) + message + size.to_bytes(2, "big") + b"\0" + ending).digest()
    block = hashlib.sha256(first + b"\1" + ending).digest()
    out = block
    for i in range(2, -(-size // 32) + 1):
        mixed = bytes(x ^ y for x, y in zip(first, block, strict=True))
        block = hashlib.sha256(mixed + bytes([i]) + ending).digest()
        out += block
    return out[:size]


def hash_to_curve(message: bytes, tag: bytes) -> Affine:
    """secp256k1_XMD:SHA-256_SSWU_RO_."""
    uniform = expand(message, tag, 96)
    halves = (int.from_bytes(uniform[i : i + 48], "big") % P for i in (0, 48))
    return add(*(_isogeny(_simple_swu(u)) for u in halves))


def _simple_swu(u: int) -> tuple[int, int]:
    t = (_Z**2 * u**4 + _Z * u**2) % P
    x = -_B * pow(_A, -1, P) * (1 + pow(t, -1, P)) % P
    if pow((x**3 + _A * x + _B) % P, (P - 1) // 2, P) != 1:
        x = _Z * u**2 * x % P
    y = pow((x**3 + _A * x + _B) % P, (P + 1) // 4, P)
    return x, y if y % 2 == u % 2 else P - y


def _isogeny(p: tuple[int, int]) -> tuple[int, int]:
    def value(coefficients: tuple[int, ...]) -> int:
        return sum(c * pow(p[0], k, P) for k, c in enumerate(coefficients)) % P

    x = value(_X_TOP) * pow(value(_X_BOTTOM), -1, P) % P
    return x, p[1] * value(_Y_TOP) * pow(value(_Y_BOTTOM), -1, P) % P
