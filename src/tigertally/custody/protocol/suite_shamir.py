"""Suite `shamir-gf256`: the authority's one-shot child draws, splits and rebuilds. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash, tagged_mac
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex
from tigertally.base.limits import MAX_HOLDERS
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.custody.protocol.suite_rules import KEY_BYTES
from tigertally.schemes import shamir

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentHash:
    """The hash commitment to one GF(256) fragment; the fragment carries the salt."""

    index: HolderIndex
    hash: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ShamirCommitments:
    """Hash commitments to all fragments, and the key check value."""

    MOST_ITEMS: ClassVar[int] = 4 + 3 * MAX_HOLDERS

    threshold: int
    fragments: tuple[FragmentHash, ...]
    key_check: Hash


class ShamirGf256:
    """The source's scheme to the letter (C3, C4): the authority draws, splits and rebuilds.

    What is shared is key ‖ check key, 64 bytes; a payload is that many fragment bytes and 32 salt
    bytes. **Security:** the authority sees the key for moments, in a one-shot child process.
    """

    payload_bytes = 2 * KEY_BYTES + 32

    def deal(
        self, *, threshold: int, receivers: Sequence[HolderIndex], randomness: Randomness
    ) -> tuple[bytes, dict[HolderIndex, Secret]]:
        """See `SuiteRules.deal`: draw a key and split it."""
        with Secret.random(randomness, 2 * KEY_BYTES) as secret:
            return self.split(
                secret, threshold=threshold, receivers=receivers, randomness=randomness
            )

    def split(
        self,
        secret: Secret,
        *,
        threshold: int,
        receivers: Sequence[HolderIndex],
        randomness: Randomness,
    ) -> tuple[bytes, dict[HolderIndex, Secret]]:
        """Split key ‖ check key for these receivers."""
        shares = shamir.split(secret, threshold=threshold, indices=receivers, randomness=randomness)
        payloads = {
            index: Secret(share.to_secret_bytes() + randomness.bytes(32))
            for index, share in shares.items()
        }
        hashes = tuple(
            FragmentHash(index=index, hash=_fragment_hash(index, payloads[index]))
            for index in sorted(payloads)
        )
        commitments = ShamirCommitments(
            threshold=threshold, fragments=hashes, key_check=_key_check(secret)
        )
        return encode(commitments), payloads

    def check(
        self, commitments: bytes, *, threshold: int, index: HolderIndex, payload: Secret
    ) -> None:
        """See `SuiteRules.check`: the salted hash is the one committed to."""
        if len(payload) != self.payload_bytes:
            raise MalformedMessage("a GF(256) fragment is 64 bytes and 32 salt bytes")
        parsed = decode(ShamirCommitments, commitments)
        expected = next((f.hash for f in parsed.fragments if f.index == index), None)
        if expected is None or not hmac.compare_digest(expected, _fragment_hash(index, payload)):
            raise PeerFault("a fragment does not fit its commitment")

    def check_commitments(
        self, commitments: bytes, *, threshold: int, receivers: Sequence[HolderIndex]
    ) -> None:
        """See `SuiteRules.check_commitments`: one hash a receiver."""
        parsed = decode(ShamirCommitments, commitments)
        indices = tuple(fragment.index for fragment in parsed.fragments)
        if indices != tuple(receivers) or parsed.threshold != threshold:
            raise MalformedMessage("the commitments are for other holders or another threshold")

    check_form = check_commitments

    def sum_commitments(self, parts: Sequence[bytes]) -> bytes:
        """There is one dealer: the authority."""
        return _only(parts)

    def sum_payloads(self, index: HolderIndex, parts: Sequence[Secret]) -> Secret:
        """There is one dealer: the authority."""
        return _only(parts)

    def threshold_of(self, commitments: bytes) -> int:
        """See `SuiteRules.threshold_of`."""
        return decode(ShamirCommitments, commitments).threshold

    def key_of(self, commitments: bytes) -> bytes:
        """See `SuiteRules.key_of`: the key check value."""
        return bytes(decode(ShamirCommitments, commitments).key_check)

    def deal_again(
        self,
        payload: Secret,
        *,
        index: HolderIndex,
        commitments: bytes,
        threshold: int,
        receivers: Sequence[HolderIndex],
        randomness: Randomness,
    ) -> tuple[bytes, dict[HolderIndex, Secret]]:
        """Holders do not deal in this suite: the authority's child rebuilds and splits anew."""
        raise Refused("holders do not deal shamir-gf256: the authority's child does")

    def check_donor(self, old: bytes, donor: int, dealt: bytes) -> None:
        """See `SuiteRules.check_donor`: the key check value is the same, so it is the same key."""
        before, after = decode(ShamirCommitments, old), decode(ShamirCommitments, dealt)
        if before.key_check != after.key_check:
            raise PeerFault("the authority dealt another key")

    def join_commitments(self, parts: Mapping[int, bytes]) -> bytes:
        """There is one dealer: the authority."""
        return _only(tuple(parts.values()))

    def join_payloads(self, index: HolderIndex, parts: Mapping[int, Secret]) -> Secret:
        """There is one dealer: the authority."""
        return _only(tuple(parts.values()))

    def rebuild(self, commitments: bytes, payloads: Mapping[HolderIndex, Secret]) -> Secret:
        """See `SuiteRules.rebuild`: combine, check the key check value, return the key."""
        with self.rebuild_pair(commitments, payloads) as pair, pair.exposed() as raw:
            return Secret(raw[:KEY_BYTES])

    def rebuild_pair(self, commitments: bytes, payloads: Mapping[HolderIndex, Secret]) -> Secret:
        """Key ‖ check key, checked.

        Raises:
            PeerFault: the rebuilt key is not the one that was split.
        """
        shares = {}
        for index, payload in payloads.items():
            with payload.exposed() as raw:
                shares[index] = Secret(raw[: 2 * KEY_BYTES])
        pair = shamir.combine(shares)
        if not hmac.compare_digest(
            _key_check(pair), decode(ShamirCommitments, commitments).key_check
        ):
            pair.wipe()
            raise PeerFault("the rebuilt key does not fit its key check value")
        return pair

    def check_pair(self, commitments: bytes, pair: Secret) -> Secret:
        """The requester's check of key ‖ check key from the authority; returns the key.

        Raises:
            MalformedMessage, PeerFault
        """
        if len(pair) != 2 * KEY_BYTES:
            raise MalformedMessage("a rebuilt key is 64 bytes")
        if not hmac.compare_digest(
            _key_check(pair), decode(ShamirCommitments, commitments).key_check
        ):
            raise PeerFault(
                "the authority rebuilt another key than the holders hold", culprits=("authority",)
            )
        with pair.exposed() as raw:
            return Secret(raw[:KEY_BYTES])


def _fragment_hash(index: HolderIndex, payload: Secret) -> Hash:
    return tagged_hash(tags.FRAGMENT_HASH, bytes([index]), payload.to_secret_bytes())


def _key_check(pair: Secret) -> Hash:
    raw = pair.to_secret_bytes()
    return Hash(tagged_mac(raw[KEY_BYTES:], tags.KEY_CHECK, raw[:KEY_BYTES]))


def _only(parts: Sequence[T]) -> T:
    if len(parts) != 1:
        raise MalformedMessage("this suite has exactly one dealer")
    return parts[0]
