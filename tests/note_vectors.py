"""Published signed notes (tests/vectors/notes.json) and the keys they are of."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from tigertally.crypto.signatures import VerifyKey

NOTES = json.loads((Path(__file__).parent / "vectors" / "notes.json").read_text("utf-8"))


def key_of(vkey):
    """The key in a published verifier key: name, id and base64 of type and key."""
    return VerifyKey(base64.b64decode(vkey.split("+", 2)[2])[1:])


KEYS = {key["name"]: key_of(key["vkey"]) for key in NOTES["keys"]}
