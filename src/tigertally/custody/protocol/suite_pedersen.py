"""Suite `pedersen-ed25519`: no one but the requester ever assembles the key. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tigertally.algebra import tags
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.kdf import derive
from tigertally.custody.protocol.suite_rules import KEY_BYTES
from tigertally.schemes import pedersen, resharing
from tigertally.schemes.joint_generation import combine_commitments, combine_fragments


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
        self.check_form(commitments, threshold=threshold, receivers=receivers)  # before any point
        pedersen.Commitments.from_bytes(commitments)

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


def _unchecked(commitments: bytes) -> pedersen.Commitments:
    return pedersen.Commitments.from_bytes(commitments, unchecked=True)


def _checked(computed: pedersen.Commitments) -> bytes:
    """A sum of members is one: so a sum that is none shows that a part was none."""
    raw = computed.to_bytes()
    pedersen.Commitments.from_bytes(raw)
    return raw
