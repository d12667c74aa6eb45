"""Key fragments (kfrags): an owner's key, split m-of-n for one recipient, a piece for each proxy.

docs/protocols/umbral.md, "Delegating". No I/O. A kfrag's `key` is secret to its proxy: m of them
and the recipient's secret key give the owner's. Everything else in it may be seen.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from typing import NoReturn

from tigertally.algebra import secp256k1
from tigertally.algebra.secp256k1 import Point, Scalar
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, UsageError
from tigertally.base.ids import FixedBytes
from tigertally.base.limits import MAX_KEY_FRAGMENTS
from tigertally.base.randomness import Randomness, SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.ecdsa import EcdsaSignature
from tigertally.schemes.umbral import hashing
from tigertally.schemes.umbral.hashing import U
from tigertally.schemes.umbral.keys import PublicKey, SecretKey, Signer
from tigertally.schemes.umbral.wire import BOOLEAN, Layout

_LAYOUT = Layout("key fragment", ((33,), 32, 32, 33, (33, 64, 64, BOOLEAN, BOOLEAN)))
_VERIFIED = object()  # what only this module shows to VerifiedKeyFragment


class FragmentId(FixedBytes):
    """32 random bytes that name a kfrag and the cfrags made with it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class KeyFragment:
    """A kfrag as it came: not yet checked against anybody's signature.

    Args:
        id: names it, and gives its place on the owner's polynomial.
        key: rk, secret.
        precursor: X, the same in all fragments of one delegation.
        commitment: u1 = rk·U.
        signature_for_proxy: over what the two flags say.
        signature_for_receiver: over both keys, whatever the flags say.
        delegating_key_signed: whether the proxy's signature covers the owner's key.
        receiving_key_signed: whether it covers the recipient's key.
    """

    id: FragmentId
    key: Scalar
    precursor: Point
    commitment: Point
    signature_for_proxy: EcdsaSignature
    signature_for_receiver: EcdsaSignature
    delegating_key_signed: bool
    receiving_key_signed: bool

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def from_bytes(cls, raw: bytes) -> KeyFragment:
        """Parse what `to_bytes` wrote.

        Raises:
            MalformedMessage: other bytes, another generator than U, a point off the curve, or a
                scalar that is zero or not below the group order.
        """
        u, id_, key, precursor, commitment, *rest = _LAYOUT.unpack(raw)
        for_proxy, for_receiver, delegating, receiving = rest
        if u != U.to_bytes():
            raise MalformedMessage("not a key fragment: its generator is not Umbral's U")
        return cls(
            id=FragmentId(id_),
            key=Scalar.from_secret_bytes(key),
            precursor=Point.from_bytes(precursor),
            commitment=Point.from_bytes(commitment),
            signature_for_proxy=EcdsaSignature(for_proxy),
            signature_for_receiver=EcdsaSignature(for_receiver),
            delegating_key_signed=delegating,
            receiving_key_signed=receiving,
        )

    def to_bytes(self) -> bytes:
        """The MessagePack array [[U], id, rk, X, [u1, signatures, flags]], 310 bytes.

        **Security:** holds the secret rk, in a copy that Python cannot wipe.
        """
        return _LAYOUT.pack(
            U.to_bytes(),
            bytes(self.id),
            self.key.to_secret_bytes(),
            self.precursor.to_bytes(),
            self.commitment.to_bytes(),
            bytes(self.signature_for_proxy),
            bytes(self.signature_for_receiver),
            self.delegating_key_signed,
            self.receiving_key_signed,
        )

    def verify(
        self,
        verifying_pk: PublicKey,
        delegating_pk: PublicKey | None = None,
        receiving_pk: PublicKey | None = None,
        *,
        owner: str = "",
    ) -> VerifiedKeyFragment:
        """Check that the owner's signer made this fragment, and for whom.

        Args:
            verifying_pk: the key of the owner's signer.
            delegating_pk: needed where the fragment's signature covers it, else not looked at.
            receiving_pk: likewise.
            owner: the name to blame, where the caller knows one.

        Raises:
            UsageError: a key that the signature covers was not given.
            PeerFault: the commitment is not rk·U.
            InvalidSignature: the signature does not verify with these keys; where it covers both,
                also the recipient's, with which an owner would make an honest proxy look guilty.
        """
        culprits = (owner,) if owner else ()
        delegating = _covered(self.delegating_key_signed, delegating_pk, "delegating")
        receiving = _covered(self.receiving_key_signed, receiving_pk, "receiving")
        if secp256k1.mul(self.key, U) != self.commitment:  # (5)
            raise PeerFault("a key fragment does not fit its commitment", culprits=culprits)
        message = signed_message(self.id, self.commitment, self.precursor, delegating, receiving)
        try:
            verifying_pk.verify(message, self.signature_for_proxy)
            both = self.delegating_key_signed and self.receiving_key_signed
            if both and self.signature_for_receiver != self.signature_for_proxy:  # the same message
                verifying_pk.verify(message, self.signature_for_receiver)
        except InvalidSignature as error:
            raise InvalidSignature(
                "the signature of a key fragment does not verify", culprits=culprits
            ) from error
        return VerifiedKeyFragment(fragment=self, proof=_VERIFIED)

    def __repr__(self) -> str:
        return f"KeyFragment(id={self.id}, secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("key fragments are secret: they do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("key fragments are secret: they do not pickle")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class VerifiedKeyFragment:
    """A kfrag that its owner's signer made. Only `verify` and `generate_key_fragments` make one."""

    fragment: KeyFragment
    proof: InitVar[object]

    __hash__ = None  # type: ignore[assignment]

    def __post_init__(self, proof: object) -> None:
        if proof is not _VERIFIED:
            raise UsageError("only KeyFragment.verify makes a verified key fragment")

    @property
    def id(self) -> FragmentId:
        """The fragment's id."""
        return self.fragment.id

    def to_bytes(self) -> bytes:
        """As `KeyFragment.to_bytes`: what the owner sends to the proxy."""
        return self.fragment.to_bytes()

    @classmethod
    def from_verified_bytes(cls, raw: bytes) -> VerifiedKeyFragment:
        """Parse a fragment that was verified before it was stored.

        Raises:
            MalformedMessage: as `KeyFragment.from_bytes`.

        **Security:** for bytes out of one's own sealed store, never for what somebody sent.
        """
        return cls(fragment=KeyFragment.from_bytes(raw), proof=_VERIFIED)

    def __repr__(self) -> str:
        return f"VerifiedKeyFragment(id={self.id}, secret)"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("key fragments are secret: they do not compare")

    def __reduce__(self) -> NoReturn:
        raise TypeError("key fragments are secret: they do not pickle")


def signed_message(
    id_: FragmentId,
    commitment: Point,
    precursor: Point,
    delegating_pk: PublicKey | None,
    receiving_pk: PublicKey | None,
) -> bytes:
    """id ‖ u1 ‖ X ‖ flag [‖ A] ‖ flag [‖ B]; a key follows where its flag, one byte, is 1."""
    keys = (delegating_pk, receiving_pk)
    return (
        id_
        + commitment.to_bytes()
        + precursor.to_bytes()
        + b"".join(b"\x00" if key is None else b"\x01" + key.to_bytes() for key in keys)
    )


def generate_key_fragments(  # noqa: PLR0917 - the arguments of umbral-pre, in its order
    delegating_sk: SecretKey,
    receiving_pk: PublicKey,
    signer: Signer,
    threshold: int,
    shares: int,
    sign_delegating_key: bool = True,
    sign_receiving_key: bool = True,
    *,
    randomness: Randomness | None = None,
) -> tuple[VerifiedKeyFragment, ...]:
    """Split the right to open what is encrypted to `delegating_sk`, for one recipient.

    Args:
        threshold: m, how many proxies must re-encrypt.
        shares: n, how many fragments to make, 255 at most.
        sign_delegating_key: whether a proxy can tell, and must be told, the owner's key.
        sign_receiving_key: the same for the recipient's key.

    Raises:
        UsageError: not 1 ≤ threshold ≤ shares ≤ 255.

    **Security:** m proxies and the recipient together can compute `delegating_sk`. `randomness` is
    the operating system's by default; the same bytes twice give the same polynomial.
    """
    if not 1 <= threshold <= shares <= MAX_KEY_FRAGMENTS:
        raise UsageError(f"a delegation is m of n with 1 ≤ m ≤ n ≤ {MAX_KEY_FRAGMENTS}")
    source = randomness or SystemRandomness()
    x = Scalar.random(source)  # (1)
    precursor = secp256k1.mul_base(x)
    exchange = Exchange(precursor, receiving_pk, secp256k1.mul_to_secret(x, receiving_pk.point))
    constant = delegating_sk.scalar.mul(exchange.shared_scalar().invert(source))
    # (2) f(0) = a/d
    coefficients = [constant, *(Scalar.random(source) for _ in range(threshold - 1))]
    delegating_pk, fragments = delegating_sk.public_key(), []
    for _ in range(shares):
        id_ = FragmentId(source.bytes(FragmentId.SIZE))  # (3)
        key = secp256k1.value_at(coefficients, exchange.index(id_))
        commitment = secp256k1.mul(key, U)
        shown = signed_message(  # (4)
            id_,
            commitment,
            precursor,
            delegating_pk if sign_delegating_key else None,
            receiving_pk if sign_receiving_key else None,
        )
        both = signed_message(id_, commitment, precursor, delegating_pk, receiving_pk)
        for_receiver = signer.sign(both)
        fragment = KeyFragment(
            id=id_,
            key=key,
            precursor=precursor,
            commitment=commitment,
            signature_for_proxy=for_receiver if shown == both else signer.sign(shown),
            signature_for_receiver=for_receiver,
            delegating_key_signed=sign_delegating_key,
            receiving_key_signed=sign_receiving_key,
        )
        fragments.append(VerifiedKeyFragment(fragment=fragment, proof=_VERIFIED))
    return tuple(fragments)


class Exchange:
    """What the Diffie-Hellman exchange of X and B gives owner and recipient, and nobody else."""

    __slots__ = ("_precursor", "_receiving", "_shared")

    def __init__(
        self, precursor: Point, receiving_pk: PublicKey, shared: secp256k1.SecretPoint
    ) -> None:
        self._precursor = precursor.to_bytes()
        self._receiving = receiving_pk.to_bytes()
        self._shared: Secret = shared.to_secret()

    def shared_scalar(self) -> Scalar:
        """d = H(X, B, D)."""
        values = (self._precursor, self._receiving, self._shared)
        return hashing.secret_scalar(hashing.SHARED_SECRET, *values)

    def index(self, id_: FragmentId) -> Scalar:
        """Where on the polynomial the fragment of this id lies: H(X, B, D, id)."""
        values = (self._precursor, self._receiving, self._shared, id_)
        return hashing.secret_scalar(hashing.POLYNOMIAL_ARG, *values)

    def __repr__(self) -> str:
        return "Exchange(secret)"


def _covered(signed: bool, key: PublicKey | None, name: str) -> PublicKey | None:
    if signed and key is None:
        raise UsageError(f"the fragment's signature covers the {name} key, which was not given")
    return key if signed else None
