"""The barrier: sealed rows open only with a key that holders keep for the authority (C6). No I/O.

Steps numbered as in `docs/protocols/lock-and-unlock.md`. The barrier key is in the authority's
memory only; on its disk it stands encrypted to each holder (whole for unlock 1, as GF(256)
fragments otherwise). These envelopes go to long-term keys: they must wait for any holder.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed, tagged_hash
from tigertally.base.errors import Corrupt, InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, Hash, HolderIndex
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.hpke import PrivateKey, PublicKey
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.messages.lock import Answer, BarrierEnvelope, Challenge, Envelopes
from tigertally.quorum.roster import Roster, open_from_holder
from tigertally.schemes import shamir

BARRIER_BYTES = 32


def unlock_needs(roster: Roster) -> int:
    """How many holders must answer: u, or all of them while there are fewer."""
    return min(roster.unlock, len(roster.holders))


def barrier_hash(domain: DomainId, barrier: Secret) -> Hash:
    """Recognises the right barrier key; says nothing about it."""
    return tagged_hash(tags.BARRIER_HASH, domain, barrier.to_secret_bytes())


def part_hash(domain: DomainId, holder: HolderIndex, part: Secret) -> Hash:
    """Recognises one holder's part. Parts are uniformly random, so this says nothing about them."""
    return tagged_hash(tags.BARRIER_HASH, domain, bytes([holder]), part.to_secret_bytes())


def seal_barrier(barrier: Secret, roster: Roster, randomness: Randomness) -> Envelopes:
    """The envelopes for every holder of this roster. The old ones are to be thrown away."""
    need = unlock_needs(roster)
    indices = [holder.index for holder in roster.holders]
    if need == 1:
        parts = dict.fromkeys(indices, barrier)
    else:
        parts = shamir.split(barrier, threshold=need, indices=indices, randomness=randomness)
    envelopes = tuple(
        BarrierEnvelope(
            holder=holder.index,
            sealed=holder.wrapping_key.seal(
                parts[holder.index],
                info=_envelope_info(roster.domain, roster.electorate, holder.index),
            ),
            part=part_hash(roster.domain, holder.index, parts[holder.index]),
        )
        for holder in roster.holders
    )
    return Envelopes(
        domain=roster.domain,
        electorate=roster.electorate,
        unlock=need,
        barrier_hash=barrier_hash(roster.domain, barrier),
        envelopes=envelopes,
    )


def sign_envelopes(key: SigningKey, envelopes: Envelopes) -> Envelope:
    """The row beside the roster. Signed: a changed disk must not bring a barrier key of its own."""
    return sign_message(key, tags.ENVELOPES, envelopes)


def open_envelopes(signed: Envelope, roster: Roster) -> Envelopes:
    """Verify our own envelopes. Raises `MalformedMessage`, `InvalidSignature`."""
    authority = roster.authority.signing_key
    opened = open_message(Envelopes, tags.ENVELOPES, signed, lambda _: (authority, "authority"))
    if opened.domain != roster.domain:
        raise MalformedMessage("envelopes of another domain")
    return opened


def envelope_for(envelopes: Envelopes, holder: HolderIndex) -> BarrierEnvelope:
    """One holder's envelope; `Refused` if it has none (it joined elsewhere, or was removed)."""
    for envelope in envelopes.envelopes:
        if envelope.holder == holder:
            return envelope
    raise Refused(f"there is no envelope for holder {holder}")


def sign_challenge(key: SigningKey, challenge: Challenge) -> Envelope:
    """(1) The authority asks."""
    return sign_message(key, tags.UNLOCK_CHALLENGE, challenge)


def open_challenge(envelope: Envelope, authority: VerifyKey) -> Challenge:
    """(2) The holder checks who asks. Raises `MalformedMessage`, `InvalidSignature`."""
    return open_message(
        Challenge, tags.UNLOCK_CHALLENGE, envelope, lambda _: (authority, "authority")
    )


def challenge_hash(envelope: Envelope) -> Hash:
    """Names a challenge in its answers."""
    return tagged_hash(tags.UNLOCK_CHALLENGE, envelope.body)


def answer_challenge(
    envelope: Envelope,
    challenge: Challenge,
    *,
    sealed: bytes,
    electorate: Hash,
    holder: HolderIndex,
    long_term: PrivateKey,
    key: SigningKey,
) -> Envelope:
    """(5) The holder opens its envelope and wraps what is inside to the challenge's key.

    The caller has checked (3) that the challenge's roster is the newest it knows and (4) that the
    checkpoint is consistent with the last it has seen.

    Raises:
        PeerFault: the envelope does not open: the authority's disk was changed.
    """
    try:
        opened = long_term.open(sealed, info=_envelope_info(challenge.domain, electorate, holder))
    except InvalidSignature as error:
        raise PeerFault(
            "this device's envelope at the authority does not open", culprits=("authority",)
        ) from error
    name = challenge_hash(envelope)
    with opened as part:
        wrapped = challenge.wrapping_key.seal(part, info=_answer_info(name, holder))
    answer = Answer(
        domain=challenge.domain,
        challenge=name,
        holder=holder,
        roster=challenge.roster,
        wrapped=wrapped,
        refusal="",
    )
    return sign_message(key, tags.UNLOCK_ANSWER, answer)


def accept_only(
    envelope: Envelope, challenge: Challenge, *, holder: HolderIndex, key: SigningKey
) -> Envelope:
    """(5) A holder that joined after the back-up has no envelope: its acceptance is its answer."""
    answer = Answer(
        domain=challenge.domain,
        challenge=challenge_hash(envelope),
        holder=holder,
        roster=challenge.roster,
        wrapped=b"",
        refusal="",
    )
    return sign_message(key, tags.UNLOCK_ANSWER, answer)


def refuse_challenge(
    envelope: Envelope,
    challenge: Challenge,
    *,
    holder: HolderIndex,
    roster: Roster,
    why: str,
    key: SigningKey,
) -> Envelope:
    """(5') The holder says no and why, so that the refusal stands in the audit log."""
    answer = Answer(
        domain=challenge.domain,
        challenge=challenge_hash(envelope),
        holder=holder,
        roster=roster.hash,
        wrapped=b"",
        refusal=why[:300],
    )
    return sign_message(key, tags.UNLOCK_ANSWER, answer)


def open_answer(envelope: Envelope, challenge: Hash, roster: Roster) -> Answer:
    """(6) The authority checks who answers, and for which challenge.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: a stranger, or an answer to another challenge.
    """
    answer = open_from_holder(
        Answer, tags.UNLOCK_ANSWER, envelope, roster, lambda said: said.holder
    )
    if answer.domain != roster.domain or answer.challenge != challenge:
        raise Refused("the answer is to another challenge")
    return answer


def unwrap_answer(answer: Answer, private: PrivateKey, envelopes: Envelopes) -> Secret:
    """(7) What the holder sent: the barrier key or its fragment, checked by itself.

    Raises:
        Refused: there is no envelope for that holder.
        PeerFault: it does not open or is not what the envelope held (names nobody: the caller
            knows who answered).
    """
    expected = envelope_for(envelopes, answer.holder).part
    try:
        part = private.open(answer.wrapped, info=_answer_info(answer.challenge, answer.holder))
    except InvalidSignature as error:
        raise PeerFault("the answer does not open") from error
    if not hmac.compare_digest(part_hash(envelopes.domain, answer.holder, part), expected):
        part.wipe()
        raise PeerFault("the answer is not what the envelope holds")
    return part


def combine_barrier(parts: Mapping[HolderIndex, Secret], envelopes: Envelopes) -> Secret:
    """(8) The barrier key from enough answers, checked against its hash.

    Raises:
        Corrupt: checked parts do not make it: the envelopes were damaged.
    """
    if envelopes.unlock == 1:
        part = next(iter(parts.values()))
        barrier = Secret(part.to_secret_bytes())
    else:
        enough = sorted(parts)[: envelopes.unlock]
        barrier = shamir.combine({holder: parts[holder] for holder in enough})
    found = barrier_hash(envelopes.domain, barrier)
    if not hmac.compare_digest(found, envelopes.barrier_hash):
        barrier.wipe()
        raise Corrupt("the envelopes beside the roster do not make the barrier key")
    return barrier


def fresh_key(randomness: Randomness) -> tuple[PrivateKey, PublicKey]:
    """A key pair for one challenge."""
    private = PrivateKey.generate(randomness)
    return private, private.public


def _envelope_info(domain: DomainId, electorate: Hash, holder: HolderIndex) -> bytes:
    return tags.BARRIER_ENVELOPE + framed(domain, electorate, bytes([holder]))


def _answer_info(challenge: Hash, holder: HolderIndex) -> bytes:
    return tags.UNLOCK_WRAP + framed(challenge, bytes([holder]))
