"""Release: fragments leave their devices for one request, and the requester combines them. No I/O.

Steps numbered as in `docs/protocols/custody-release.md`. No fragment leaves before its holder has
verified the complete tally of exactly this proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed, tagged_hash
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex, ProposalId
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.crypto.kdf import derive
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.dealing import Statement, commitments_hash
from tigertally.custody.messages.kinds import RELEASE, KeyRef, Release, Suite, parse_release
from tigertally.custody.messages.release import (
    AuthorityKey,
    FragmentDelivery,
    Rebuilt,
    WrappedFragment,
)
from tigertally.custody.protocol.relayed import verify_standing
from tigertally.custody.protocol.suites import SHAMIR, SUITES
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal, parsed_body
from tigertally.quorum.roster import Roster, open_from_holder
from tigertally.quorum.tally import THIS_DEVICE, Tally, VerifiedTally, check_open


def wrap_fragment(
    held: HeldEpoch,
    release: Release,
    proposal: ProposalId,
    *,
    target: PublicKey,
    me: HolderIndex,
    key: SigningKey,
) -> WrappedFragment:
    """(3) At approval: encrypt our fragment for this one request and sign what it is.

    Args:
        target: whoever rebuilds: the requester's fresh key, or the authority's for this proposal.

    Raises:
        Refused: we hold no certified fragment of that key.
    """
    return wrap_held(held, release.ref, proposal, target=target, me=me, key=key)


def wrap_held(
    held: HeldEpoch,
    ref: KeyRef,
    proposal: ProposalId,
    *,
    target: PublicKey,
    me: HolderIndex,
    key: SigningKey,
) -> WrappedFragment:
    """Encrypt our fragment of one key for one proposal. Raises `Refused` as `wrap_fragment`."""
    statement = held.parsed()
    if held.certificate is None or ref not in statement:
        raise Refused(f"this device holds no fragment of {ref}")
    payload = held.payload_of(ref)
    info = _fragment_info(statement.domain, proposal, ref, statement.hash, me)
    wrapped = target.seal(payload, info=info)
    delivery = FragmentDelivery(
        domain=statement.domain,
        proposal=proposal,
        key=ref,
        epoch=statement.hash,
        commitments=commitments_hash(statement.commitments_of(ref)),
        holder=me,
        wrapped=tagged_hash(tags.FRAGMENT_WRAP, wrapped),
    )
    envelope = sign_message(key, tags.FRAGMENT_DELIVERY, delivery)
    return WrappedFragment(delivery=envelope, wrapped=wrapped)


def check_release_tally(
    tally: Tally, chain: Chain, *, now: int, clock: str = THIS_DEVICE
) -> tuple[VerifiedTally, Release]:
    """(4) May fragments leave for this? The whole tally, its time, and everybody's standing.

    A tally outlives a change of the roster if a present quorum of its approvers are still holders:
    the approvals of a removed holder die at once.

    Args:
        now: by the clock of whoever asks, which `clock` names.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: no quorum, expired or dated in the future, approvers or the requester are no
            longer members.
    """
    verified = verify_standing(tally, chain)
    check_open(verified.proposal, now=now, clock=clock)
    roster = chain.current
    if verified.proposal.kind != RELEASE:
        raise Refused(f"{verified.proposal.kind} releases no fragment")
    requester_name(roster, verified.proposal)
    return verified, parsed_body(parse_release, verified.proposal)


def requester_name(roster: Roster, proposal: Proposal) -> str:
    """Who asks; `Refused` if the roster lists no such requester (any more)."""
    requester = roster.requester_of(proposal.proposer)
    if requester is None:
        raise Refused("whoever asks for this key is not (or no longer) a requester of the domain")
    return str(requester.name)


def sign_authority_key(
    key: SigningKey, domain: DomainId, proposal: ProposalId, public: PublicKey
) -> Envelope:
    """(2, shamir-gf256) The authority's fresh key for one proposal."""
    message = AuthorityKey(domain=domain, proposal=proposal, wrapping_key=public)
    return sign_message(key, tags.AUTHORITY_KEY, message)


def open_authority_key(envelope: Envelope, roster: Roster, proposal: ProposalId) -> PublicKey:
    """Verify the authority's fresh key for this proposal.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    authority = roster.authority.signing_key
    message = open_message(
        AuthorityKey, tags.AUTHORITY_KEY, envelope, lambda _: (authority, "authority")
    )
    if message.domain != roster.domain or message.proposal != proposal:
        raise Refused("the authority's key is for another proposal")
    return message.wrapping_key


def open_delivery(fragment: WrappedFragment, roster: Roster) -> FragmentDelivery:
    """Verify who sent a fragment and that the ciphertext is the one that was signed.

    Raises:
        MalformedMessage, InvalidSignature, Refused
    """
    delivery = open_from_holder(
        FragmentDelivery,
        tags.FRAGMENT_DELIVERY,
        fragment.delivery,
        roster,
        lambda said: said.holder,
    )
    if tagged_hash(tags.FRAGMENT_WRAP, fragment.wrapped) != delivery.wrapped:
        raise MalformedMessage("the fragment is not the one that its holder signed")
    return delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What m good fragments are: payloads by holder; and the holders whose fragment was bad."""

    payloads: Mapping[HolderIndex, Secret]
    faulty: tuple[HolderIndex, ...]


def collect(
    fragments: Sequence[WrappedFragment],
    statement: Statement,
    key: KeyRef,
    *,
    proposal: ProposalId,
    roster: Roster,
    private: PrivateKey,
) -> Collected:
    """(5) Open fragments of one epoch and check each against the commitments.

    Stops at the threshold. A fragment that does not open or does not fit convicts its holder: it
    signed that very ciphertext for these very commitments.

    Raises:
        MalformedMessage: the statement is not of this key.
    """
    commitments = statement.commitments_of(key)
    payloads: dict[HolderIndex, Secret] = {}
    faulty: list[HolderIndex] = []
    for fragment in fragments:
        try:
            delivery = open_delivery(fragment, roster)
        except (MalformedMessage, InvalidSignature, Refused):
            continue  # nobody's: broken or made up on the way, so it convicts nobody
        wanted = (roster.domain, proposal, key, statement.hash)
        said = (delivery.domain, delivery.proposal, delivery.key, delivery.epoch)
        if said != wanted or delivery.holder in payloads or delivery.holder in faulty:
            continue
        payload = _opened(fragment, delivery, statement, commitments, private)
        if payload is None:
            faulty.append(delivery.holder)
            continue
        payloads[delivery.holder] = payload
        if len(payloads) == statement.threshold:
            break
    return Collected(payloads=payloads, faulty=tuple(faulty))


def _opened(
    fragment: WrappedFragment,
    delivery: FragmentDelivery,
    statement: Statement,
    commitments: bytes,
    private: PrivateKey,
) -> Secret | None:
    if delivery.commitments != commitments_hash(commitments):
        return None
    info = _fragment_info(
        delivery.domain, delivery.proposal, delivery.key, delivery.epoch, delivery.holder
    )
    try:
        payload = private.open(fragment.wrapped, info=info)
        SUITES[statement.suite].check(
            commitments, threshold=statement.threshold, index=delivery.holder, payload=payload
        )
    except (InvalidSignature, PeerFault, MalformedMessage):
        return None
    return payload


def names_of(roster: Roster, indices: Sequence[HolderIndex]) -> tuple[str, ...]:
    """Holders' names, for errors and screens; of one who has been removed, its number."""
    names = {holder.index: str(holder.name) for holder in roster.holders}
    return tuple(names.get(index, f"holder {index}") for index in indices)


def check_enough(collected: Collected, statement: Statement, roster: Roster) -> None:
    """(6) Are there m good fragments? Raises `PeerFault` naming bad holders, or `Refused`."""
    missing = statement.threshold - len(collected.payloads)
    if missing <= 0:
        return
    if collected.faulty:
        names = names_of(roster, collected.faulty)
        raise PeerFault(
            f"wrong fragment from {', '.join(names)}; {missing} more good ones are needed",
            culprits=names,
            sure=True,
        )
    raise Refused(f"{missing} more fragments are needed")


def rebuild(collected: Collected, statement: Statement, key: KeyRef) -> Secret:
    """(7) The private key from m good fragments, checked against the first commitment.

    Raises:
        PeerFault: cannot happen with checked fragments, unless commitments were broken.
    """
    rules = SUITES[statement.suite]
    return rules.rebuild(statement.commitments_of(key), collected.payloads)


def rebuild_for_requester(
    collected: Collected, statement: Statement, key: KeyRef, proposal: ProposalId, to: PublicKey
) -> bytes:
    """(7, shamir-gf256) In the authority's one-shot child: rebuild, check, wrap for `to`."""
    with SHAMIR.rebuild_pair(statement.commitments_of(key), collected.payloads) as pair:
        return to.seal(pair, info=_rebuilt_info(statement.domain, proposal, key, statement.hash))


def sign_rebuilt(key: SigningKey, rebuilt: Rebuilt) -> Envelope:
    """The authority signs the wrapped key that its child made."""
    return sign_message(key, tags.RELEASE, rebuilt)


def open_rebuilt(
    envelope: Envelope,
    statement: Statement,
    key: KeyRef,
    *,
    proposal: ProposalId,
    roster: Roster,
    private: PrivateKey,
) -> Secret:
    """(8, shamir-gf256) The requester opens and checks what the authority rebuilt.

    Raises:
        MalformedMessage, InvalidSignature
        PeerFault: the authority sent another key than the holders hold.
    """
    authority = roster.authority.signing_key
    rebuilt = open_message(Rebuilt, tags.RELEASE, envelope, lambda _: (authority, "authority"))
    said = (rebuilt.domain, rebuilt.proposal, rebuilt.key, rebuilt.epoch)
    if said != (roster.domain, proposal, key, statement.hash):
        raise PeerFault("the authority sent the key of another request", culprits=("authority",))
    try:
        pair = private.open(rebuilt.wrapped, info=_rebuilt_info(*said))
    except InvalidSignature as error:
        raise PeerFault(
            "what the authority rebuilt does not open", culprits=("authority",), sure=True
        ) from error
    with pair:
        return SHAMIR.check_pair(statement.commitments_of(key), pair)


def final_key(device_secret: Secret, private: Secret, key: KeyRef) -> Secret:
    """(9) The final key, which only this device can compute (C5): 32 bytes.

    HKDF-SHA256 with the device secret as salt; the authority has never seen the device secret.
    """
    return derive(private, tags.FINAL_KEY, key.to_bytes(), salt=device_secret, size=32)


def target_of(
    suite: Suite, release: Release, proposal: ProposalId, roster: Roster, fresh: Envelope | None
) -> PublicKey:
    """Whom a fragment is encrypted to: the requester, or the fresh key of an authority that deals.

    Raises:
        Refused: the authority has not yet given its fresh key for this proposal.
    """
    if not suite.authority_deals:
        return release.wrapping_key
    if fresh is None:
        raise Refused("the authority has given no fresh key for this proposal yet: sync first")
    return open_authority_key(fresh, roster, proposal)


def _fragment_info(
    domain: DomainId, proposal: ProposalId, key: KeyRef, epoch: Hash, holder: HolderIndex
) -> bytes:
    place = framed(domain, proposal, key.to_bytes(), epoch, bytes([holder]))
    return tags.FRAGMENT_WRAP + place


def _rebuilt_info(domain: DomainId, proposal: ProposalId, key: KeyRef, epoch: Hash) -> bytes:
    return tags.RELEASE_WRAP + framed(domain, proposal, key.to_bytes(), epoch)
