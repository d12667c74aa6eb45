"""Writes quorum_messages.json: the bytes of one sample of every message of the quorum layer.

These are snapshots, made by this project: they show that bytes on the wire and in stores have not
changed, not that they were right. `python tests/vectors/generate_quorum_messages.py` writes them
anew (with `tests` on the path); a difference is a change of format and needs a decision.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def generate() -> str:
    sys.path.insert(0, str(HERE.parent))
    from quorum_samples import samples
    from tigertally.base.codec import encode

    return (
        json.dumps(
            {
                "source": "tests/vectors/generate_quorum_messages.py, from tests/quorum_samples.py",
                "messages": {name: encode(one).hex() for name, one in samples().items()},
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    (HERE / "quorum_messages.json").write_text(generate())
