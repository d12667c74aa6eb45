"""An owner's labels: their ids and keys, all from one seed. No I/O.

docs/protocols/delegation-files.md, "Labels". Secret: seed, keys and ids (they name what is below).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash, tagged_mac
from tigertally.base.codec import dumps
from tigertally.base.ids import Hash
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import derive
from tigertally.delegation.messages.cards import Level
from tigertally.delegation.messages.headers import FileId, Hint
from tigertally.delegation.messages.labels import Label, LabelId, LabelKey
from tigertally.schemes.single_pre import Rotation
from tigertally.schemes.umbral import SecretKey, SecretKeyFactory

Versions = Callable[[LabelId], int]  # the newest version of a label's key

_REMEMBERED = 4096  # levels: folders of one long run


def child_id(parent: LabelId, name: str) -> LabelId:
    """The id of the label `name` below `parent`: HMAC(parent, T ‖ name)."""
    return LabelId(tagged_mac(parent, tags.LABEL_ID, name.encode()))


def ids_below(start: LabelId, names: Sequence[str]) -> tuple[LabelId, ...]:
    """`start`, and the ids of the labels on the way down."""
    ids = [start]
    for name in names:
        ids.append(child_id(ids[-1], name))
    return tuple(ids)


def hint_of(label: LabelId, file_id: FileId) -> Hint:
    """What tells those who know the label that this file is below it."""
    return Hint(tagged_hash(tags.HINT, label, file_id)[: Hint.SIZE])


class LabelKeys:
    """Everything that follows from an owner's seed.

    Args:
        seed: 32 bytes.

    **Security:** each label and version has a secret key of its own: who gets one gets no other.
    """

    def __init__(self, seed: Secret) -> None:
        self._factory = SecretKeyFactory(seed)
        self.root = LabelId(derive(seed, tags.LABEL_ROOT).to_secret_bytes())
        self._public: dict[tuple[Label, int], LabelKey] = {}

    def ids(self, label: Label) -> tuple[LabelId, ...]:
        """The ids of the root, …, the label."""
        return ids_below(self.root, label)

    def secret_key(self, label: Label, version: int) -> SecretKey:
        """The label's secret key in this version."""
        return self._factory.make_key(dumps([tags.LABEL_KEY, list(map(str, label)), version]))

    def public_key(self, label: Label, version: int) -> LabelKey:
        """The label's public key in this version; those used lately are remembered."""
        found = self._public.get((label, version))
        if found is None:
            found = LabelKey(self.secret_key(label, version).public_key().to_bytes())
            if len(self._public) >= _REMEMBERED:
                self._public.clear()
            self._public[label, version] = found
        return found

    def rotation(self, label: Label, version: int, generation: int) -> Rotation:
        """The rotation that leads to a generation of this label and version, from the one before.

        Args:
            label: whose key is rotated.
            version: of that key.
            generation: 1 is the first rotation.
        """
        label_id, source = Hash(self.ids(label)[-1]), self.secret_key(label, version)
        found = Rotation.first(self._factory, label_id, source)
        for _ in range(generation - 1):
            found = Rotation.again(self._factory, found)
        return found

    def levels(self, label: Label, versions: Versions) -> tuple[Level, ...]:
        """What a card says: id, public key and version from the root down to the label."""
        return tuple(
            Level(id=id_, key=self.public_key(label[:depth], version), version=version)
            for depth, id_ in enumerate(self.ids(label))
            for version in (versions(id_),)
        )
