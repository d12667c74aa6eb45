"""A holder's device without a person: it approves what its rules allow, and counts it first.

Steps as in `docs/protocols/unattended.md`. What a rule has allowed is stored before the approval
leaves, one row a proposal: after a crash the same proposal is decided again and counts once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tigertally.base.errors import Corrupt, InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Hash, ProposalId
from tigertally.custody.client import rows
from tigertally.custody.client.holder import Holder
from tigertally.custody.client.report import Report
from tigertally.custody.messages.kinds import RELEASE, parse_release
from tigertally.custody.protocol.release import requester_name
from tigertally.custody.rules import Decision, Rules, decide
from tigertally.custody.state.holder import Terms
from tigertally.quorum.member.client import Party, Synced
from tigertally.quorum.member.memory import SeenProposal
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import parsed_body
from tigertally.quorum.tally import THIS_DEVICE, check_open
from tigertally.storage.store import Reader, Transaction
from tigertally.storage.table import TIME, Table, fixed, from_time, joined

_ID, _RULE = fixed(ProposalId), fixed(Hash)
GRANTED = Table("holder-granted", _ID, joined(TIME, _RULE))  # when, and by which rule
GRANTED_BY_TIME = Table("holder-granted-time", joined(TIME, _ID), _RULE)

# Of one step. `Corrupt`: a row of one key; what the whole sync rests on is read outside of steps.
_FAULTS = (PeerFault, MalformedMessage, InvalidSignature, Refused, Corrupt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of one proposal: the decision, and whether the approval has left."""

    proposal: SeenProposal
    decision: Decision
    approved: bool


async def answer_by_rules(
    holder: Holder, synced: Synced, rules: Rules, report: Report
) -> list[Answered]:
    """Decide on every open proposal that this holder has not answered; approve what may be.

    A fault in one holds up no other: it is in the report.
    """
    me = holder.member.me(synced.roster).index
    answered = []
    for seen in synced.proposals:
        if seen.voted(me) or seen.state.status is not Status.PENDING:
            continue
        decision = _decided(holder.party, seen, synced, rules)
        approved = False
        if decision.allowed:
            try:
                await holder.approve(seen, synced)
                approved = True
            except _FAULTS as error:
                report.blame(error)
        answered.append(Answered(proposal=seen, decision=decision, approved=approved))
    return answered


def _decided(party: Party, seen: SeenProposal, synced: Synced, rules: Rules) -> Decision:
    """Decide; what is allowed is counted in the same transaction, before anything is sent."""
    now = party.clock.now()
    try:
        check_open(seen.proposal, now=now, clock=THIS_DEVICE)
        requester = (
            requester_name(synced.roster, seen.proposal)
            if seen.proposal.kind == RELEASE
            else seen.proposer
        )
    except Refused as error:
        return Decision(rule=None, why=str(error))
    with party.store.transaction() as tx:
        decision = decide(
            rules,
            seen.proposal,
            _terms(tx, seen),
            requester=requester,
            now=now,
            counts=granted_since(tx, rules.day_start(now), but=seen.id),
        )
        if decision.rule is not None:
            grant(tx, seen.id, decision.rule.name, now)
    return decision


def _terms(reader: Reader, seen: SeenProposal) -> Terms | None:
    if seen.proposal.kind != RELEASE:
        return None
    return rows.TERMS.get(reader, parsed_body(parse_release, seen.proposal).ref)


def grant(tx: Transaction, id_: ProposalId, rule: Hash, now: int) -> None:
    """Count a proposal for a rule, once; decided again, it counts for the later rule and time."""
    before = GRANTED.get(tx, id_)
    if before is not None:
        now = max(now, before[0])
        GRANTED_BY_TIME.drop(tx, (before[0], id_))
    GRANTED.put(tx, id_, (now, rule))
    GRANTED_BY_TIME.put(tx, (now, id_), rule)


def granted_since(reader: Reader, start: int, *, but: ProposalId) -> Counter[Hash]:
    """How much each rule has allowed since `start` (Unix seconds), one proposal left out.

    What is dated after now counts too: a clock that is set back gives nothing a second time.
    """
    found = GRANTED_BY_TIME.rows(reader, after=from_time(start))
    return Counter(rule for (_, id_), rule in found if id_ != but)
