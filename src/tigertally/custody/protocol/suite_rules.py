"""What custody needs of a sharing scheme; `suites` has the schemes that give it.

A *payload* is one holder's fragment of one key as secret bytes; `commitments` are public bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret

KEY_BYTES = 32  # of every key, whatever shares it


class SuiteRules(Protocol):
    """What custody needs of a sharing scheme."""

    payload_bytes: int

    def deal(
        self, *, threshold: int, receivers: Sequence[HolderIndex], randomness: Randomness
    ) -> tuple[bytes, dict[HolderIndex, Secret]]:
        """A random sharing: its commitments and one payload a receiver."""
        ...

    def check(
        self, commitments: bytes, *, threshold: int, index: HolderIndex, payload: Secret
    ) -> None:
        """Does this payload fit? Raises `PeerFault` (naming nobody) or `MalformedMessage`."""
        ...

    def check_commitments(
        self, commitments: bytes, *, threshold: int, receivers: Sequence[HolderIndex]
    ) -> None:
        """Are these commitments of the right form? Raises `MalformedMessage`."""
        ...

    def check_form(
        self, commitments: bytes, *, threshold: int, receivers: Sequence[HolderIndex]
    ) -> None:
        """The cheap part of `check_commitments`; what is made of them is checked instead."""
        ...

    def sum_commitments(self, parts: Sequence[bytes]) -> bytes:
        """The commitments of the sum of several dealers' sharings.

        The parts need only have passed `check_form`: the sum is checked.

        Raises:
            PeerFault, MalformedMessage, UsageError: the parts are no such commitments.
        """
        ...

    def sum_payloads(self, index: HolderIndex, parts: Sequence[Secret]) -> Secret:
        """One holder's payload of the sum."""
        ...

    def threshold_of(self, commitments: bytes) -> int:
        """How many fragments make the key."""
        ...

    def key_of(self, commitments: bytes) -> bytes:
        """What stays the same in all epochs of one key."""
        ...

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
        """A donor shares its own fragment among new holders."""
        ...

    def check_donor(self, old: bytes, donor: int, dealt: bytes) -> None:
        """Did the donor deal the fragment it has? Raises `PeerFault` (naming nobody)."""
        ...

    def join_commitments(self, parts: Mapping[int, bytes]) -> bytes:
        """The new epoch's commitments from the donors'; checked and raises as the sum."""
        ...

    def join_payloads(self, index: HolderIndex, parts: Mapping[int, Secret]) -> Secret:
        """One holder's new payload from the donors' pieces."""
        ...

    def rebuild(self, commitments: bytes, payloads: Mapping[HolderIndex, Secret]) -> Secret:
        """The 32-byte private key from exactly threshold many checked payloads."""
        ...
