"""The two ways to share a key, behind one interface (DESIGN section 5, "two suites, one choice").

A *payload* is one holder's fragment of one key as secret bytes; `commitments` are public bytes.
Adding a suite: one class here, one entry in `SUITES`, one value in `messages.bodies.Suite`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tigertally.algebra import tags
from tigertally.algebra.transcript import tagged_hash, tagged_mac
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Hash, HolderIndex
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import derive
from tigertally.custody.messages.bodies import Suite
from tigertally.custody.protocol.suite_rules import SuiteRules
from tigertally.schemes import pedersen, resharing, shamir
from tigertally.schemes.joint_generation import combine_commitments, combine_fragments

KEY_BYTES = 32
T = TypeVar("T")


class PedersenEd25519:
    """Scalars over the Ed25519 group with Pedersen commitments; made jointly (X2, X3).

    Nobody but the requester ever assembles the key.
    """

    payload_bytes = 64

    def deal(
        self, *, threshold: int, receivers: Sequence[HolderIndex], randomness: Randomness
    ) -> tuple[bytes, dict[HolderIndex, Secret]]:
        """See `SuiteRules.deal`."""
        dealt = pedersen.deal(threshold=threshold, receivers=receivers, randomness=randomness)
        payloads = {f.index: Secret(f.to_secret_bytes()) for f in dealt.fragments}
        return dealt.commitments.to_bytes(), payloads

    def check(
        self, commitments: bytes, *, threshold: int, index: HolderIndex, payload: Secret
    ) -> None:
        """See `SuiteRules.check`: value·G + blinding·H opens the commitments at this index."""
        parsed = pedersen.Commitments.from_bytes(commitments)
        pedersen.verify_fragment(parsed, pedersen.Fragment.from_secret_bytes(index, payload))

    def check_commitments(
        self, commitments: bytes, *, threshold: int, receivers: Sequence[HolderIndex]
    ) -> None:
        """See `SuiteRules.check_commitments`: as many points as the threshold."""
        if pedersen.Commitments.from_bytes(commitments).threshold != threshold:
            raise MalformedMessage("as many commitments as the threshold are needed")

    def check_form(
        self, commitments: bytes, *, threshold: int, receivers: Sequence[HolderIndex]
    ) -> None:
        """See `SuiteRules.check_form`: the length; whether they are points is not looked at."""
        if pedersen.threshold_of(commitments) != threshold:
            raise MalformedMessage("as many commitments as the threshold are needed")

    def sum_commitments(self, parts: Sequence[bytes]) -> bytes:
        """See `SuiteRules.sum_commitments`."""
        return _checked(combine_commitments([_unchecked(part) for part in parts]))

    def sum_payloads(self, index: HolderIndex, parts: Sequence[Secret]) -> Secret:
        """See `SuiteRules.sum_payloads`."""
        fragments = [pedersen.Fragment.from_secret_bytes(index, part) for part in parts]
        return Secret(combine_fragments(index, fragments).to_secret_bytes())

    def threshold_of(self, commitments: bytes) -> int:
        """See `SuiteRules.threshold_of`: as many as there are commitments."""
        return pedersen.threshold_of(commitments)

    def key_of(self, commitments: bytes) -> bytes:
        """See `SuiteRules.key_of`: the commitment to the key itself."""
        return pedersen.key_commitment(commitments)

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
        """See `SuiteRules.deal_again`: the constant of the donor's polynomial is its fragment."""
        fragment = pedersen.verify_fragment(
            pedersen.Commitments.from_bytes(commitments),
            pedersen.Fragment.from_secret_bytes(index, payload),
        )
        dealt = resharing.deal_for_reshare(
            fragment, threshold=threshold, receivers=receivers, randomness=randomness
        )
        payloads = {f.index: Secret(f.to_secret_bytes()) for f in dealt.fragments}
        return dealt.commitments.to_bytes(), payloads

    def check_donor(self, old: bytes, donor: int, dealt: bytes) -> None:
        """See `SuiteRules.check_donor`."""
        parse = pedersen.Commitments.from_bytes
        resharing.check_donor(parse(old), HolderIndex(donor), parse(dealt))

    def join_commitments(self, parts: Mapping[int, bytes]) -> bytes:
        """See `SuiteRules.join_commitments`: Lagrange's weights at 0 over the donors."""
        parsed = {HolderIndex(donor): _unchecked(raw) for donor, raw in parts.items()}
        return _checked(resharing.combine_reshared_commitments(parsed))

    def join_payloads(self, index: HolderIndex, parts: Mapping[int, Secret]) -> Secret:
        """See `SuiteRules.join_payloads`."""
        parsed = {
            HolderIndex(donor): pedersen.Fragment.from_secret_bytes(index, payload)
            for donor, payload in parts.items()
        }
        return Secret(resharing.combine_reshared_fragments(index, parsed).to_secret_bytes())

    def rebuild(self, commitments: bytes, payloads: Mapping[HolderIndex, Secret]) -> Secret:
        """See `SuiteRules.rebuild`: HKDF of the shared scalar, checked against the commitment."""
        parsed = pedersen.Commitments.from_bytes(commitments)
        verified = [
            pedersen.verify_fragment(parsed, pedersen.Fragment.from_secret_bytes(index, payload))
            for index, payload in payloads.items()
        ]
        shared = pedersen.reconstruct(parsed, verified)
        return derive(shared.value.to_secret_bytes(), tags.PRIVATE_KEY, size=KEY_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class FragmentHash:
    """The hash commitment to one GF(256) fragment; the fragment carries the salt."""

    index: HolderIndex
    hash: Hash


@dataclass(frozen=True, slots=True, kw_only=True)
class ShamirCommitments:
    """Hash commitments to all fragments, and the key check value."""

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


def _unchecked(commitments: bytes) -> pedersen.Commitments:
    return pedersen.Commitments.from_bytes(commitments, unchecked=True)


def _checked(computed: pedersen.Commitments) -> bytes:
    """A sum of members is one: so a sum that is none shows that a part was none."""
    raw = computed.to_bytes()
    pedersen.Commitments.from_bytes(raw)
    return raw


def _fragment_hash(index: HolderIndex, payload: Secret) -> Hash:
    return tagged_hash(tags.FRAGMENT_HASH, bytes([index]), payload.to_secret_bytes())


def _key_check(pair: Secret) -> Hash:
    raw = pair.to_secret_bytes()
    return Hash(tagged_mac(raw[KEY_BYTES:], tags.KEY_CHECK, raw[:KEY_BYTES]))


def _only(parts: Sequence[T]) -> T:
    if len(parts) != 1:
        raise MalformedMessage("this suite has exactly one dealer")
    return parts[0]


PEDERSEN = PedersenEd25519()
SHAMIR = ShamirGf256()
SUITES: Mapping[Suite, SuiteRules] = {
    Suite.PEDERSEN_ED25519: PEDERSEN,
    Suite.SHAMIR_GF256: SHAMIR,
}
