"""A holder's device: it deals, holds fragments, approves, and lets a fragment go after a tally.

What a step decides is in `custody/protocol`; here is the order of storing and sending. Whatever
leaves the device is stored first and re-sent byte for byte, so a crash never makes two versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace

from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
)
from tigertally.base.ids import HolderIndex, Name
from tigertally.custody.client import rows
from tigertally.custody.client.approvers import Approver, plain_approver
from tigertally.custody.client.dealing import Dealings, Fragments, ReceiveKeys
from tigertally.custody.client.erasures import Erasures, StillOnDisk
from tigertally.custody.client.release import Releases
from tigertally.custody.client.report import HeldUp, Report
from tigertally.custody.client.unlock import tell_if_restored
from tigertally.custody.messages.kinds import DESTROY, MAKING, RELEASE, known_here
from tigertally.custody.messages.sync import (
    CUSTODY_SYNC,
    MOST_OWED,
    CustodySyncReply,
    CustodySyncRequest,
)
from tigertally.custody.messages.v1 import (
    CUSTODY_SYNC_V1,
    CustodySyncReplyV1,
    CustodySyncRequestV1,
)
from tigertally.quorum.approval import Verdict
from tigertally.quorum.chain import UnknownRoster
from tigertally.quorum.member.client import MemberClient, Party, Synced
from tigertally.quorum.member.memory import Seen, UnknownProposal, see
from tigertally.quorum.member.versions import Before
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.receive_keys import bundle_hash
from tigertally.quorum.tally import THIS_DEVICE, check_open

_ROUNDS = 20  # a sync that is not done after so many rounds tells what it waits for
_SYNC_BEFORE: Before[CustodySyncRequest, CustodySyncReply] = Before(
    door=CUSTODY_SYNC_V1, question=CustodySyncRequestV1.of, answer=CustodySyncReplyV1.today
)
# Of one step. `Corrupt`: a row of one key; what the whole sync rests on is read outside of steps.
_FAULTS = (PeerFault, MalformedMessage, InvalidSignature, Refused, Corrupt, StillOnDisk)


class Holder:
    """A holder's device, once it has enrolled.

    Normal use: `sync()` often; `approve()` or `reject()` what a person has seen; nothing else.
    """

    def __init__(self, party: Party) -> None:
        self.party = party
        self.member = MemberClient(party)
        self.receive_keys = ReceiveKeys(self.member)
        self.dealings = Dealings(self.member, self.receive_keys)
        self.fragments = Fragments(self.member)
        self.releases = Releases(self.member, self.receive_keys)
        self.erasures = Erasures(self.member)

    def _approver(self, kind: Name) -> Approver:
        """Return how this device says yes to a kind of proposal."""
        plain = plain_approver(self.member)
        table = {
            **dict.fromkeys(MAKING, Approver(approve=self.dealings.approve)),
            RELEASE: Approver(approve=self.releases.approve, completed=self.releases.completed),
            DESTROY: replace(plain, completed=self.erasures.completed),
        }
        return table.get(kind, plain)

    async def approve(self, seen: Seen, synced: Synced) -> tuple[ProposalState, Report]:
        """Say yes to exactly this proposal, with what it needs from this device.

        The person has been authenticated (the profile is open) and has seen `seen.words`.

        Returns:
            The proposal's state afterwards, and what the device did besides.

        Raises:
            Refused: we have no vote, hold no fragment, or voted for another change of the roster;
                it has expired, is dated in the future, or cannot be carried out.
            NewerVersion: this program does not understand it.
        """
        if isinstance(seen, UnknownProposal):
            raise seen.refusal()
        check_open(seen.proposal, now=self.party.clock.now(), clock=THIS_DEVICE)
        approver = self._approver(seen.proposal.kind)
        state, report = await approver.approve(seen, synced), Report()
        if state.status is Status.COMPLETE:
            await approver.completed(state, synced, report)
        return state, report

    async def reject(self, seen: Seen, synced: Synced, reason: str) -> ProposalState:
        """Say no, with a reason that others read. One may say no to what one cannot understand."""
        verdict = self.member.new_verdict(
            seen.state.proposal, synced, Verdict.REJECT, reason=reason
        )
        state = await self.member.vote(seen.state, verdict)
        now = see(state, synced.chain, self.party.kinds)
        self.member.give_vote_back(now, synced.roster)
        return state

    async def sync(self, *, renew: bool = True) -> tuple[Synced, Report]:
        """Do all that this device owes and fetch all it is owed, until nothing is left to do now.

        Args:
            renew: publish fresh receive keys first (a daemon does it only now and then).
        """
        report = Report()
        for _ in range(_ROUNDS):
            synced = await self.member.sync()
            await tell_if_restored(self.party, self.member.me(synced.roster).index)
            if not await self._round(synced, report, renew=renew):
                break
            renew = False
        for error in report.overtaken:  # the authority goes on speaking of what it does not show
            report.blame(error)
        self.member.scrub()  # what an earlier one could not
        await self._guarded(report, self.erasures.report_held(synced))
        return synced, report

    async def _round(self, synced: Synced, report: Report, *, renew: bool) -> bool:
        """One exchange; True if something was done, so that more may follow."""
        me = self.member.me(synced.roster).index
        bundle = self.receive_keys.to_publish(synced, me, renew=renew)
        with self.party.store.reading() as reader:
            uncertified = rows.uncertified(reader)
        request = CustodySyncRequest(
            receive_keys=bundle,
            uncertified=uncertified,
            options=known_here(),
        )
        reply, _ = await self.party.ask(CUSTODY_SYNC, request, _SYNC_BEFORE, call=self.party.call)
        report.waiting_for, report.overtaken = reply.waiting_for, []
        if bundle is not None:
            with self.party.store.transaction() as tx:
                rows.mark_published(tx, bundle_hash(bundle))
        done = self._certified(synced, reply, report)
        done |= await self._owed_by_us(synced, reply, me, report)
        self.receive_keys.forget(reply.open_bundles)
        return done

    async def _owed_by_us(
        self, synced: Synced, reply: CustodySyncReply, me: HolderIndex, report: Report
    ) -> bool:
        done = False
        for destroyed in reply.erasures:
            done |= await self._guarded(report, self.erasures.erase(synced, destroyed, me, report))
        for opening in reply.openings:
            done |= await self._guarded(report, self.fragments.open(synced, opening, me, report))
        for asked in reply.deals:
            done |= await self._guarded(report, self.dealings.deal_again(synced, asked, me, report))
        sending = [self.releases.send(synced, due.state, report) for due in reply.releases]
        await asyncio.gather(*(self._guarded(report, one) for one in sending))
        return done or len(sending) == MOST_OWED  # fragments bring nothing new by themselves

    async def _guarded(self, report: Report, step: Awaitable[None]) -> bool:
        """One step; a fault in it, or a wait, is reported and holds up nothing else."""
        try:
            await step
        except HeldUp as wait:
            report.wait(wait)
            return False
        except UnknownRoster as error:  # it has changed since we fetched the rosters: once more
            report.overtaken.append(error)
            return True
        except _FAULTS as error:
            report.blame(error)
            return False
        return True

    def _certified(self, synced: Synced, reply: CustodySyncReply, report: Report) -> bool:
        taken = False
        for certificate in reply.certificates:
            try:
                self.fragments.check_certificate(certificate, synced)
            except UnknownRoster as error:
                report.overtaken.append(error)
                taken = True
                continue
            except _FAULTS as error:
                report.blame(error)
                continue
            self.fragments.certify(certificate)
            taken = True
        return taken
