"""After a restore: the authority learns from holders what it lost between back-up and crash.

Holders report every epoch they have fragments of, with their acknowledgement and the certificate
if they have it. The authority believes only what verifies: a certificate, or as many
acknowledgements as one needs. A key made after the back-up comes back with the terms of the tally
that made it; only where nobody has that any more, with the terms that most holders report.
Steps as in `docs/protocols/lock-and-unlock.md`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    MalformedMessage,
    PeerFault,
    Refused,
    TigertallyError,
)
from tigertally.base.ids import HolderIndex, ProposalId
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.dealing import Certificate, Statement
from tigertally.custody.messages.kinds import MAKING, Create, KeyRef, parse_making
from tigertally.custody.messages.lock import EpochClaim, KeyTerms, ReportRequest
from tigertally.custody.protocol.epochs import (
    check_terms,
    open_acknowledgement,
    verify_certificate,
)
from tigertally.custody.service import rows
from tigertally.custody.service.attempts import end_attempt
from tigertally.custody.service.create import retire
from tigertally.custody.service.old_fragments import Watch, with_past
from tigertally.custody.service.release_epochs import send_again
from tigertally.custody.state.authority import (
    EpochId,
    EpochRecord,
    EpochStatus,
    KeyRecord,
    KeyState,
)
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import PROPOSALS, get_pending, put_pending
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import open_proposal
from tigertally.quorum.roster import Holder
from tigertally.quorum.tally import Tally, verify_tally


def relearn(desk: DomainDesk, report: ReportRequest, holder: Holder) -> None:
    """Take one holder's report. What does not verify changes nothing; one entry says why and what.

    A report may name thousands of epochs: the log gets one entry of it.
    """
    refused: list[str] = []
    for claim in report.claims:
        with desk.apart():  # a row of ours that cannot be read is no fault of the claim
            try:
                with desk.plain.nested():
                    _take(desk, claim, holder)
            except Corrupt:
                raise
            except TigertallyError as error:
                refused.append(str(error))
    if refused:
        many = "an epoch that does not" if len(refused) == 1 else f"{len(refused)} that do not"
        desk.record(
            "custody.claim-refused",
            actor=holder.name,
            summary=f"{holder.name} reports {many} count: {refused[0]}"[:400],
        )


def _take(desk: DomainDesk, claim: EpochClaim, holder: Holder) -> None:
    statement = decode(Statement, claim.statement)
    roster = desk.known_chain.at(statement.roster)
    check_terms(statement, roster)
    ack = open_acknowledgement(claim.acknowledgement, roster)
    if ack.holder != holder.index or ack.epoch != statement.hash:
        raise PeerFault("its acknowledgement is of something else", culprits=(holder.name,))
    if holder.index not in statement.holders or len(claim.terms) != len(statement.keys):
        raise MalformedMessage("the claim does not fit its epoch")
    if claim.certificate and len(claim.certificate.acknowledgements) > len(statement.holders):
        raise MalformedMessage("a certificate with more acknowledgements than holders")
    for ref, terms in zip(statement.keys, claim.terms, strict=True):
        _note_terms(desk, ref, terms, holder.index)
        if terms.making is not None:
            _note_making(desk, ref, terms.making)
    known = rows.find_epoch(desk.sealed, statement.hash)
    if known is not None and known.status is EpochStatus.ABORTED:
        return
    counted = known is not None and holder.index in known.acknowledged
    if counted and known is not None and known.status is EpochStatus.CERTIFIED:
        return
    rows.CLAIMS.put(desk.sealed, statement.hash + bytes([holder.index]), claim)
    certificate = _certificate(desk, statement, claim, known)
    if len(certificate.acknowledgements) < statement.acks:
        return
    verify_certificate(certificate, roster)
    _certified(desk, statement, certificate, known, by=holder)


def _certificate(
    desk: DomainDesk, statement: Statement, claim: EpochClaim, known: EpochRecord | None
) -> Certificate:
    """All acknowledgements of an epoch that are known by now, one a holder."""
    roster = desk.known_chain.at(statement.roster)
    envelopes = list(known.acknowledgements if known is not None else ())
    envelopes += claim.certificate.acknowledgements if claim.certificate else ()
    claims = rows.CLAIMS.values(desk.sealed, prefix=statement.hash)
    envelopes += [claim.acknowledgement for claim in claims]
    found: dict[HolderIndex, Envelope] = {}
    for envelope in envelopes:
        ack = open_acknowledgement(envelope, roster)
        if ack.epoch == statement.hash and ack.holder in statement.holders:
            found.setdefault(ack.holder, envelope)
    return Certificate(
        statement=encode(statement),
        acknowledgements=tuple(found[holder] for holder in sorted(found)),
    )


def _certified(
    desk: DomainDesk,
    statement: Statement,
    certificate: Certificate,
    known: EpochRecord | None,
    *,
    by: Holder,
) -> None:
    """Store a certified epoch, and let its keys live in it where it is newer than what we have."""
    record = _record(desk, statement, certificate, known)
    if known is None:
        record = _in_place(desk, record)
    rows.put_epoch(desk.sealed, record)
    for place in list(rows.CLAIMS.keys(desk.sealed, prefix=statement.hash)):
        rows.CLAIMS.drop(desk.sealed, place)
    watch = Watch(desk)
    for ref in statement.keys:
        key = rows.KEYS.get(desk.sealed, ref)
        if key is None:
            key = _lost_key(desk, statement, ref)
        elif key.live is not None:
            live = rows.get_epoch(desk.sealed, key.live)
            if live.parsed_statement().order >= statement.order:
                continue
            retire(desk, live)
            key = with_past(watch, key, live.parsed_statement().hash, live)
        if key.state is KeyState.DESTROYED:
            continue
        if key.coming is not None:
            _end(desk, key.coming, rows.epoch_id(record))
        rows.put_key(desk.sealed, key.in_epoch(rows.epoch_id(record), statement.hash))
        desk.record(
            "custody.relearned",
            actor=by.name,
            summary=f"{ref} is active in an epoch that {by.name} reported after the restore",
            detail=statement.hash,
        )
    send_again(desk, statement.keys)
    desk.wake_holders()  # who waits for one of these keys looks again


def _record(
    desk: DomainDesk, statement: Statement, certificate: Certificate, known: EpochRecord | None
) -> EpochRecord:
    roster = desk.known_chain.at(statement.roster)
    acknowledged = tuple(
        sorted(open_acknowledgement(one, roster).holder for one in certificate.acknowledgements)
    )
    if known is not None:
        return replace(
            known,
            status=EpochStatus.CERTIFIED,
            acknowledgements=certificate.acknowledgements,
            acknowledged=acknowledged,
        )
    dealers = tuple(one.dealer for one in statement.dealers)
    return EpochRecord(
        tally=None,
        proposal=statement.proposal,
        attempt=statement.attempt,
        roster=statement.roster,
        roster_version=statement.roster_version,
        suite=statement.suite,
        threshold=statement.threshold,
        acks=statement.acks,
        keys=statement.keys,
        base=(),
        holders=statement.holders,
        needed=len(dealers),
        dealers=dealers,
        dealings=(None,) * len(dealers),
        status=EpochStatus.CERTIFIED,
        statement=certificate.statement,
        acknowledgements=certificate.acknowledgements,
        acknowledged=acknowledged,
    )


def _in_place(desk: DomainDesk, record: EpochRecord) -> EpochRecord:
    """The back-up may know this attempt, half dealt: nobody owes anything for it any more."""
    half = rows.EPOCHS.get(desk.sealed, rows.epoch_id(record))
    if half is None:
        return record
    if half.status in (EpochStatus.DEALING, EpochStatus.OPEN):
        end_attempt(desk, half, "holders have it already")
    return replace(record, tally=half.tally)


def _end(desk: DomainDesk, coming: EpochId, certified: EpochId) -> None:
    """What was coming for these keys is overtaken."""
    record = rows.get_epoch(desk.sealed, coming)
    if coming != certified and record.status in (EpochStatus.DEALING, EpochStatus.OPEN):
        end_attempt(desk, record, "holders have a newer epoch")
    for ref in record.keys:
        key = rows.KEYS.get(desk.sealed, ref)
        if key is not None and key.coming == coming and key.live is not None:
            rows.put_key(desk.sealed, replace(key, coming=None, state=KeyState.ACTIVE))


def _lost_key(desk: DomainDesk, statement: Statement, ref: KeyRef) -> KeyRecord:
    terms = _terms(desk, ref)
    record = KeyRecord(
        ref=ref,
        made_by=statement.proposal,
        suite=statement.suite,
        options=terms.options,
        created=desk.now,
    )
    made_by = rows.MAKINGS.get(desk.sealed, ref)
    return record if made_by is None else _made(desk, record, made_by)


def _made(desk: DomainDesk, record: KeyRecord, by: ProposalId) -> KeyRecord:
    """A lost key with what the tally that made it says: proven, whoever reported it."""
    proposal = open_proposal(get_pending(desk.sealed, by).proposal)
    body = parse_making(proposal)
    return replace(
        record,
        made_by=by,
        options=body.options,
        created=proposal.created,
        imported=isinstance(body, Create) and body.imported,
    )


def _note_making(desk: DomainDesk, ref: KeyRef, tally: Tally) -> None:
    """Keep the tally that made a lost key: it is spent, whatever the back-up says of it."""
    proposal = open_proposal(tally.proposal)
    verified = verify_tally(tally, desk.known_chain.for_proposal(proposal))
    if parse_making(proposal).ref != ref:
        raise MalformedMessage("the tally made another key")
    key = rows.KEYS.get(desk.sealed, ref)
    if key is not None and _knows_making(desk, key):
        return
    known = rows.MAKINGS.get(desk.sealed, ref)
    if known is not None:  # a name is given again only after what was made before was given up
        before = open_proposal(get_pending(desk.sealed, known).proposal)
        if before.created >= proposal.created:
            return
    put_pending(
        desk.sealed,
        Pending(proposal=tally.proposal, approvals=tally.approvals, status=Status.COMPLETE),
    )
    rows.MAKINGS.put(desk.sealed, ref, verified.id)
    if key is not None:
        rows.put_key(desk.sealed, _made(desk, key, verified.id))


def _note_terms(desk: DomainDesk, ref: KeyRef, terms: KeyTerms, holder: HolderIndex) -> None:
    """Remember what this holder says of a key; without its tally a lost key has what most say."""
    key = rows.KEYS.get(desk.sealed, ref)
    if key is not None and _knows_making(desk, key):
        return
    said = replace(terms, making=None)
    rows.TERMS.put(desk.sealed, ref.to_bytes() + bytes([holder]), said)
    if key is not None and not rows.MAKINGS.has(desk.sealed, ref):
        most = _terms(desk, ref)
        rows.put_key(desk.sealed, replace(key, options=most.options))


def _knows_making(desk: DomainDesk, key: KeyRecord) -> bool:
    """Was the key made here, before the back-up or since the restore? Then nobody tells us how."""
    if rows.MAKINGS.get(desk.sealed, key.ref) == key.made_by:
        return False  # a holder brought the tally; another may bring a later one
    if not PROPOSALS.has(desk.sealed, key.made_by):
        return False
    pending = get_pending(desk.sealed, key.made_by)
    kind = open_proposal(pending.proposal).kind
    return pending.status is Status.COMPLETE and kind in MAKING


def _said(desk: DomainDesk, ref: KeyRef) -> list[KeyTerms]:
    prefix = ref.to_bytes()
    found = rows.TERMS.rows(desk.sealed, prefix=prefix)
    return [terms for key, terms in found if len(key) == len(prefix) + 1]


def _terms(desk: DomainDesk, ref: KeyRef) -> KeyTerms:
    said = Counter(_said(desk, ref))
    if not said:
        raise Refused(f"nobody has said who may ask for {ref}")
    return said.most_common(1)[0][0]
