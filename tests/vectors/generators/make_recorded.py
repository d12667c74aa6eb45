"""Write the recorded cases of formats that have no outside vectors: HPKE hybrid and stream.

Run once for each format version: `python tests/vectors/generators/make_recorded.py`. Later releases
must still open what an earlier one sealed; sealing is randomised, so a new run changes the bytes.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.stream import encrypt_stream

VECTORS = Path(__file__).parents[1]


def hpke_cases() -> list[dict[str, str]]:
    cases = []
    for name, plaintext in [("empty", b""), ("fragment", bytes(range(64)))]:
        key = PrivateKey.generate(SeededRandomness("recorded " + name))
        info = b"tigertally/v1/recorded\0" + name.encode()
        cases.append(
            {
                "name": name,
                "seed": key.seed.to_secret_bytes().hex(),
                "public": key.public.hex(),
                "info": info.hex(),
                "plaintext": plaintext.hex(),
                "sealed": key.public.seal(plaintext, info=info).hex(),
            }
        )
    return cases


def stream_cases() -> list[dict[str, str]]:
    cases = []
    for name, plaintext in [("empty", b""), ("short", b"a real file")]:
        randomness = SeededRandomness("recorded " + name)
        key, sink = randomness.bytes(32), io.BytesIO()
        source = io.BytesIO(plaintext)
        encrypt_stream(Secret(key), source, sink, context=name.encode(), randomness=randomness)
        cases.append(
            {
                "name": name,
                "key": key.hex(),
                "context": name.encode().hex(),
                "plaintext": plaintext.hex(),
                "sealed": sink.getvalue().hex(),
            }
        )
    return cases


def main() -> None:
    for name, cases in [("hpke", hpke_cases()), ("stream", stream_cases())]:
        source = "recorded by tests/vectors/generators/make_recorded.py; no outside vectors exist"
        text = json.dumps({"source": source, "cases": cases}, indent=2)
        (VECTORS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
