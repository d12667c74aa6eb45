"""Imported secrets: sealed under the private key of a custody key (C2). No I/O.

Steps numbered as in `docs/protocols/custody-import.md`. The seal is made of the private key alone,
not of anybody's device secret: whoever the quorum releases the private key to can open it.
"""

from __future__ import annotations

import hmac

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed, tagged_mac
from tigertally.base.errors import InvalidSignature, PeerFault, Refused, UsageError
from tigertally.base.ids import DomainId, ProposalId
from tigertally.base.limits import MAX_IMPORT_BYTES
from tigertally.base.secret import Secret
from tigertally.crypto import aead
from tigertally.crypto.envelope import Envelope, open_message, sign_message
from tigertally.crypto.kdf import derive
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.custody.messages.imports import ContentReply, Imported
from tigertally.custody.messages.kinds import Create, KeyRef, Making, parse_making
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal, open_proposal, proposal_id
from tigertally.quorum.tally import verify_tally


def check_size(size: int) -> None:
    """Can a secret of so many bytes be imported? `UsageError` if not."""
    if not 1 <= size <= MAX_IMPORT_BYTES:
        raise UsageError(f"an imported secret has 1 to {MAX_IMPORT_BYTES} bytes, not {size}")


def source_mark(key: bytes, proposal: ProposalId, secret: Secret) -> bytes:
    """Recognises the file of an import under way, on the device that began it."""
    return tagged_mac(key, tags.IMPORT_SOURCE, proposal, secret.to_secret_bytes())


def same_source(mark: bytes, key: bytes, proposal: ProposalId, secret: Secret) -> bool:
    """Is it the file that the import began with?"""
    return hmac.compare_digest(mark, source_mark(key, proposal, secret))


def seal_import(
    secret: Secret, private: Secret, key: KeyRef, *, making: Envelope, signer: SigningKey
) -> Envelope:
    """(3) Seal a secret under a released private key, and sign what it is.

    Args:
        making: the proposal that made the key; `signer` proposed it.
    """
    proposal = open_proposal(making)
    id_ = proposal_id(making)
    with _sealing_key(private, proposal.domain, id_, key) as sealing:
        sealed = aead.seal(sealing, secret, aad=_context(proposal.domain, id_, key))
    content = Imported(domain=proposal.domain, proposal=id_, key=key, sealed=sealed)
    return sign_message(signer, tags.IMPORT, content)


def open_content(envelope: Envelope, making: Envelope, body: Making) -> Imported:
    """(4) Is this the sealed secret of whoever proposed to import it?

    Raises:
        MalformedMessage, InvalidSignature
        Refused: that key is no import, or it is the secret of another one.
    """
    proposal = open_proposal(making)
    if not isinstance(body, Create) or not body.imported:
        raise Refused(f"{body.ref} was not made for an import")

    def signer(_: Imported) -> tuple[VerifyKey, str]:
        return proposal.proposer, "the requester that imports"

    content = open_message(Imported, tags.IMPORT, envelope, signer)
    said = (content.domain, content.proposal, content.key)
    if said != (proposal.domain, proposal_id(making), body.ref):
        raise Refused("the sealed secret is one of another key")
    return content


def check_making(
    reply: ContentReply, key: KeyRef, chain: Chain, *, made_by: ProposalId | None
) -> tuple[Proposal, Making]:
    """(5) What a key was made for: from its tally, so the authority cannot pass over an import.

    Args:
        made_by: the proposal that made the key, if its certificate says so; a name may have been
            given before, to a key that was given up.

    Raises:
        MalformedMessage, InvalidSignature, Refused
        PeerFault: the authority shows the tally of something else.
    """
    with shown_by_authority():
        proposal = open_proposal(reply.tally.proposal)
        verified = verify_tally(reply.tally, chain.for_proposal(proposal))
    body = parse_making(verified.proposal)
    if body.ref != key or made_by not in (None, verified.id):
        raise PeerFault("the authority shows how another key was made", culprits=("authority",))
    return verified.proposal, body


def unseal_import(
    reply: ContentReply,
    private: Secret,
    key: KeyRef,
    chain: Chain,
    *,
    made_by: ProposalId | None,
) -> Secret | None:
    """(6) The imported secret; None if the key was not made for an import.

    Args:
        made_by: as for `check_making`.

    Raises:
        Refused: nothing has been stored yet.
        PeerFault: what the authority kept is not what the importer sealed.
    """
    proposal, body = check_making(reply, key, chain, made_by=made_by)
    if not isinstance(body, Create) or not body.imported:
        return None
    if reply.content is None:
        raise Refused(f"nothing has been imported as {key} yet")
    making = reply.tally.proposal
    id_ = proposal_id(making)
    with shown_by_authority():
        content = open_content(reply.content, making, body)
    try:
        with _sealing_key(private, proposal.domain, id_, key) as sealing:
            return aead.open(sealing, content.sealed, aad=_context(proposal.domain, id_, key))
    except InvalidSignature as error:
        name = chain.current.name_of(proposal.proposer)
        raise PeerFault(
            f"what {name} imported as {key} does not open under its private key", culprits=(name,)
        ) from error


def _sealing_key(private: Secret, domain: DomainId, making: ProposalId, key: KeyRef) -> Secret:
    return derive(private, tags.IMPORT_KEY, domain, making, key.to_bytes())


def _context(domain: DomainId, making: ProposalId, key: KeyRef) -> bytes:
    return tags.IMPORT + framed(domain, making, key.to_bytes())
