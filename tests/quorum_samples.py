"""One sample of every message of the quorum layer, always of the same bytes."""

from __future__ import annotations

from quorum_rig import (
    AUTHORITY,
    AUTHORITY_CARD,
    LATER,
    NOW,
    chain_of,
    founding,
    no,
    proposal,
    proposed,
    tally,
    verdict,
    who,
)
from tigertally.audit.entry import AuditEntry
from tigertally.audit.log import AuditLog
from tigertally.base.ids import Hash, HolderIndex, Name, Nonce, Text
from tigertally.quorum import messages
from tigertally.quorum.approval import open_approval
from tigertally.quorum.authority.admission import Settings
from tigertally.quorum.authority.proposals import state_of
from tigertally.quorum.card import open_card
from tigertally.quorum.chain import RosterFile
from tigertally.quorum.enrolment import found_request, new_pin_state, pin_key, reply_proof
from tigertally.quorum.member.conviction import Conviction
from tigertally.quorum.member.join import Invitation, sign_invitation
from tigertally.quorum.member.memory import Vote
from tigertally.quorum.pending import Pending, Status
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.restoration import (
    Acceptance,
    Restoration,
    RestorationRecord,
    log_origin,
    sign_acceptance,
    sign_restoration,
)
from tigertally.storage.memory import MemoryStore

CHAIN = chain_of(3)
ROSTER = CHAIN.current
PIN = "aaaa-bbbb-cccc-dddd"


def _log() -> tuple[AuditEntry, str]:
    log = AuditLog(log_origin(ROSTER.domain), AUTHORITY.key)
    with MemoryStore().transaction() as tx:
        entry = log.append(tx, time=NOW, kind="test.entry", actor="h1", summary="one entry")
        return entry, log.checkpoint(tx).to_text()


def samples() -> dict[str, object]:
    """Name by name, a message."""
    entry, checkpoint = _log()
    asked = proposed(ROSTER)
    yes = verdict(asked, ROSTER, 1, checkpoint=checkpoint, attachment=Hash(bytes(32)))
    pending = Pending(
        proposal=asked,
        approvals=(yes,),
        rejections=(no(asked, ROSTER, 2),),
        late=(verdict(asked, ROSTER, 3),),
        status=Status.VOID,
        why=Text("holders have changed"),
    )
    invitation = Invitation(
        url="https://authority",
        authority=AUTHORITY.key.public.fingerprint,
        roster=ROSTER.hash,
        inviter=HolderIndex(1),
        inviter_name=Name("h1"),
        expires=LATER,
    )
    request = found_request(who("h1").key, who("h1").card(), founding(), AUTHORITY_CARD, PIN)
    proof = messages.CheckpointProof(size=1, proof=(Hash(bytes(32)),))
    restoration = Restoration(
        domain=ROSTER.domain,
        base=checkpoint,
        number=1,
        nonce=Nonce(bytes(32)),
        made=NOW,
        restored=LATER,
    )
    acceptance = Acceptance(
        domain=ROSTER.domain,
        restoration=restoration.hash,
        holder=HolderIndex(1),
        roster=ROSTER.hash,
        seen=checkpoint,
        time=LATER,
    )
    record = RestorationRecord(
        restoration=sign_restoration(AUTHORITY.key, restoration),
        acceptances=(sign_acceptance(who("h1").key, acceptance),),
    )
    everything = (
        open_card(AUTHORITY_CARD),
        ROSTER,
        CHAIN.signed[0],
        CHAIN.signed[-1],
        RosterFile(rosters=CHAIN.signed),
        proposal(ROSTER),
        asked,
        open_approval(yes, ROSTER),
        tally(asked, ROSTER, 1, 2),
        pending,
        invitation,
        sign_invitation(who("h1").key, invitation),
        new_pin_state(PIN),
        Settings(card=AUTHORITY_CARD, threshold=2, unlock=1, url="https://authority"),
        Vote(proposal=proposal_id(asked), expires=LATER),
        Conviction(why="two rosters of version 2", shown=b"evidence"),
        messages.Nothing(),
        messages.DomainInfo(
            card=AUTHORITY_CARD,
            state="ready",
            roster_version=3,
            roster_hash=ROSTER.hash,
            holders=3,
            threshold=2,
            unlock=1,
            unlock_have=1,
            unlock_need=1,
            restored=False,
            checkpoint=checkpoint,
        ),
        messages.JoinTerms(domain=ROSTER.domain, electorate=ROSTER.electorate, roster=ROSTER.hash),
        request,
        messages.FoundReply(
            roster=CHAIN.signed[0], proof=reply_proof(pin_key(PIN), CHAIN.signed[0])
        ),
        messages.ProposeRequest(proposal=asked, approval=yes, attachment=b"beside it"),
        messages.VoteRequest(verdict=yes, attachment=b""),
        messages.ProposalRequest(id=proposal_id(asked)),
        state_of(pending),
        messages.SyncRequest(roster_version=3, checkpoint_size=1),
        proof,
        messages.SyncReply(
            rosters=CHAIN.signed[2:],
            checkpoint=checkpoint,
            proofs=(proof,),
            proposals=(state_of(pending),),
        ),
        messages.NewsRequest(seen=1, wait=25),
        messages.NewsReply(seen=2),
        messages.RostersRequest(after=2),
        messages.RostersReply(rosters=CHAIN.signed[2:]),
        messages.TalliesRequest(since=NOW, limit=10),
        messages.TalliesReply(proposals=(state_of(pending),)),
        messages.AuditRequest(since=0, limit=10, prove=(1,)),
        messages.AuditReply(entries=(entry.to_bytes(),), checkpoint=checkpoint, proofs=(proof,)),
        restoration,
        acceptance,
        record,
        messages.RestorationsReply(records=(record,)),
    )
    named: dict[str, object] = {}
    for message in everything:
        kind = type(message).__name__
        count = sum(name.split("/")[0] == kind for name in named)
        named[f"{kind}/{count + 1}"] = message
    return named


KINDS = tuple(sorted({type(one) for one in samples().values()}, key=lambda kind: kind.__name__))
