"""Looks for secrets in the memory of processes and in files, in every form they might have there.

Needs root where a process has switched off reading by others (`harden`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

_REGION = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) r")
_LIMB_BITS = 30  # CPython keeps integers in 32-bit words of 30 bits each
_LIMBS_SOUGHT = 5  # 150 bits from the middle: enough to be no accident, whatever is cut off

# Most of a process is what others have too, or what it had before: by its digest, the secrets that
# have been looked for in vain in a part. A digest is made in a thirtieth of the time.
_ABSENT: dict[bytes, set[bytes]] = {}
_STEP = 1 << 18
_LONGEST = 64  # bytes of a form: parts overlap by so much


@cache
def forms(secret: bytes) -> frozenset[bytes]:
    """A 32-byte secret as bytes, text, or the words of a Python integer."""
    found = {secret, secret[::-1]}
    for raw in (secret, secret[::-1]):
        found |= {raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw)[:42]}
        found.add(base64.urlsafe_b64encode(raw)[:42])
        value = int.from_bytes(raw, "big")
        limbs = [(value >> _LIMB_BITS * i) % 2**_LIMB_BITS for i in range(1, 1 + _LIMBS_SOUGHT)]
        found.add(b"".join(limb.to_bytes(4, "little") for limb in limbs))
    return frozenset(found)


def memory_of(pid: int) -> Iterator[bytes]:
    """Every readable region of a process."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in maps.splitlines():
            match = _REGION.match(line)
            if match is None or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(edge, 16) for edge in match.groups())
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except OSError:  # a guard page, or gone meanwhile
                continue


def contents_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


def names_in(data: Iterable[bytes], secrets: Mapping[str, bytes]) -> set[str]:
    """Which of the named secrets are in there, in any form."""
    found: set[str] = set()
    for piece in data:
        for start in range(0, len(piece), _STEP):
            part = piece[start : start + _STEP + _LONGEST]
            absent = _ABSENT.setdefault(hashlib.sha256(part).digest(), set())
            for name, secret in secrets.items():
                if name in found or secret in absent:
                    continue
                if any(form in part for form in forms(secret)):
                    found.add(name)
                else:
                    absent.add(secret)
    return found
