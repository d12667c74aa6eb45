"""Write delegation.json: labels, files, a field and a stream, to the byte.

Run it from the project directory with `PYTHONPATH=src:tests`. A change of these bytes breaks what
was written before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from delegation_rig import NOW, MemoryObjects, label, person, write
from tigertally.base.codec import encode
from tigertally.base.ids import Name
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.delegation.client.files import keys_path
from tigertally.delegation.client.rotating import LabelRotation
from tigertally.delegation.protocol import records
from tigertally.delegation.protocol.fields import seal_field

SOURCE = "files of this project, written by generate_delegation.py"
PATH = "reports/2026/may"
CONTENT = b"all quiet on the western front"


def _file(all_or_nothing: bool) -> dict[str, Any]:
    owner, store = person("vectors"), MemoryObjects()
    write(owner, store, PATH, CONTENT, all_or_nothing=all_or_nothing, seed="file")
    name = label(PATH)
    return {
        "all_or_nothing": all_or_nothing,
        "path": PATH,
        "written": NOW,
        "content": CONTENT.hex(),
        "object": store.objects[name].hex(),
        "keys": store.objects[keys_path(name)].hex(),
    }


def _field() -> dict[str, Any]:
    owner, path = person("vectors"), label("app.yaml/db/port")
    unit = seal_field(
        owner.levels(path[:-1]),
        path,
        5432,
        sender=owner.signing_key,
        written=NOW,
        randomness=SeededRandomness("field"),
    )
    return {"path": "/".join(path), "value": 5432, "unit": unit}


def _stream() -> dict[str, Any]:
    owner, path, randomness = person("vectors"), label("camera"), SeededRandomness("stream")
    channel: records.Channel | None = records.begin(owner.levels(path)[-1], path, randomness)
    made = []
    for content, final in ((b"first", False), (b"", True)):
        assert channel is not None
        channel, raw = records.write_record(
            channel,
            content,
            final=final,
            sender=owner.signing_key,
            written=NOW,
            randomness=randomness,
        )
        made.append({"content": content.hex(), "record": raw.hex()})
    return {"path": "camera", "records": made}


def _cards() -> dict[str, str]:
    owner = person("vectors")
    wrapping = PrivateKey(Secret(SeededRandomness("wrapping").bytes(PrivateKey.SEED_BYTES)))
    identity = owner.identity_card(Name("ann"), wrapping.public)
    writers = [person("writer").signing_key.public]
    card = owner.label_card(label("reports"), writers=writers, expires=NOW + 3600)
    return {"identity": encode(identity).hex(), "label": encode(card).hex()}


def _rotated() -> dict[str, Any]:
    """Three files whose slots for one label are rotated once, and once more."""
    owner, store, top = person("vectors"), MemoryObjects(), label("reports")
    paths = ("reports/a", "reports/b", "reports/c/d")
    for path in paths:
        write(owner, store, path, path.encode(), seed=path)
    grant = SigningKey.generate(SeededRandomness("grant"))
    owner.raise_version(top)
    generations = []
    for generation in (1, 2):
        run = LabelRotation(owner, store, top, 1)
        run.rotate(generation)
        (((body, signature),),) = run.sign([grant])
        run.granted()
        run.switch()
        run.finish()
        rotation = owner.keys.rotation(top, 1, generation)
        generations.append(
            {
                "rotation": rotation.task.id.hex(),
                "target": rotation.target_pk.to_bytes().hex(),
                "set": body.hex(),
                "signature": signature.hex(),
                "keys": [store.objects[keys_path(label(path))].hex() for path in paths],
            }
        )
    return {
        "label": "/".join(top),
        "version": 1,
        "grant_key": grant.public.hex(),
        "files": [{"path": path, "object": store.objects[label(path)].hex()} for path in paths],
        "generations": generations,
    }


def generate() -> str:
    """The text of the file."""
    owner = person("vectors")
    name = label(PATH)
    document = {
        "source": SOURCE,
        "device_secret": owner._secret.to_secret_bytes().hex(),
        "signing_key": owner.signing_key.public.hex(),
        "labels": [
            {
                "path": "/".join(name[:depth]),
                "id": id_.hex(),
                "keys": [owner.keys.public_key(name[:depth], v).hex() for v in (1, 2)],
            }
            for depth, id_ in enumerate(owner.keys.ids(name))
        ],
        "receiving_key": owner.receiving_key().public_key().to_bytes().hex(),
        "cards": _cards(),
        "files": [_file(False), _file(True)],
        "field": _field(),
        "stream": _stream(),
        "rotated": _rotated(),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "delegation.json").write_text(generate())
