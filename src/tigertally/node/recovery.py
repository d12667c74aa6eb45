"""The recovery file of a requester's device secret (C5).

Without the device secret no final key can be computed again, whatever the holders release. The
file is sealed under a passphrase; keep it in another place than the device.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, UsageError
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.crypto import passphrase as sealing
from tigertally.node.profile import OpenProfile

RECOVERY_FILE = "recovery.sealed"
RESTORED = "device-secret"  # sealed: one row, where a restored secret replaces the profile's own
_ROW = b"restored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What is sealed in the file. **Security:** holds the device secret."""

    member: Name
    device_secret: bytes

    def __repr__(self) -> str:
        return f"Recovery({self.member})"


def device_secret_of(profile: OpenProfile) -> Secret:
    """The device secret in use: the profile's own, or the one that was restored into it."""
    with profile.store.reading() as reader:
        restored = reader.get(RESTORED, _ROW)
    if restored is not None:
        return Secret(restored)
    return Secret(profile.device_secret.to_secret_bytes())


def sealed_recovery(profile: OpenProfile, passphrase: Secret) -> bytes:
    """The content of a recovery file."""
    with device_secret_of(profile) as secret:
        content = Recovery(member=profile.info.member, device_secret=secret.to_secret_bytes())
        return sealing.seal(passphrase, encode(content), aad=tags.DEVICE_SECRET)


def restore_recovery(profile: OpenProfile, path: Path, passphrase: Secret) -> Name:
    """Take the device secret of a recovery file into this profile; returns whose it was.

    Raises:
        UsageError: the file cannot be read.
        Refused: the passphrase is wrong, or the file was changed.
        MalformedMessage: it is no recovery file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    with sealing.open(passphrase, raw, aad=tags.DEVICE_SECRET) as opened, opened.exposed() as view:
        recovery = decode(Recovery, bytes(view))
    if len(recovery.device_secret) != 32:
        raise MalformedMessage("a device secret is 32 bytes")
    with profile.store.transaction() as tx:
        tx.put(RESTORED, _ROW, recovery.device_secret)
    return recovery.member
