"""A holder's device: it deals, holds fragments, approves, and lets a fragment go after a tally.

What a step decides is in `custody/protocol`; here is the order of storing and sending. Whatever
leaves the device is stored first and re-sent byte for byte, so a crash never makes two versions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tigertally.base.codec import encode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.custody.client import rows
from tigertally.custody.client.erasures import StillOnDisk
from tigertally.custody.client.held import ReportingClient
from tigertally.custody.client.report import HeldUp, Report
from tigertally.custody.client.restored import tell_if_restored
from tigertally.custody.client.terms import terms_of_base, terms_of_opening
from tigertally.custody.client.voting import DEAL_TRIES
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import DealingPackage, Opening, Statement
from tigertally.custody.messages.kinds import KeyRef, known_here
from tigertally.custody.messages.release import Contribution
from tigertally.custody.messages.sync import (
    ACKNOWLEDGE,
    COMPLAIN,
    CONTRIBUTE,
    CUSTODY_SYNC,
    DEAL,
    ERASED,
    MOST_OWED,
    CustodySyncReply,
    CustodySyncRequest,
    DealRequest,
)
from tigertally.custody.messages.v1 import (
    CUSTODY_SYNC_V1,
    CustodySyncReplyV1,
    CustodySyncRequestV1,
)
from tigertally.custody.policy import some_of
from tigertally.custody.protocol.dealing import (
    NotPublished,
    Occasion,
    dealer_name,
    draw_sharing,
    possible_senders,
    sign_sharing,
)
from tigertally.custody.protocol.epochs import verify_certificate
from tigertally.custody.protocol.receiver import (
    Complained,
    KeyGone,
    Outcome,
    Stored,
    acknowledge_again,
    check_any_opening,
    check_certifiable,
    check_deal_request,
    check_made_once,
    receive_opening,
)
from tigertally.custody.protocol.release import open_authority_key, wrap_held
from tigertally.custody.protocol.reshare import (
    check_not_behind,
    check_reshare_request,
    share_again,
)
from tigertally.custody.state.holder import HeldEpoch, Terms
from tigertally.quorum.chain import UnknownRoster
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.versions import Before
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.receive_keys import (
    PublishedKeys,
    bundle_hash,
    draw_receive_keys,
    next_number,
)
from tigertally.storage.erasure import owe

_ROUNDS = 20  # a sync that is not done after so many rounds tells what it waits for
_SYNC_BEFORE: Before[CustodySyncRequest, CustodySyncReply] = Before(
    door=CUSTODY_SYNC_V1, question=CustodySyncRequestV1.of, answer=CustodySyncReplyV1.today
)
# Of one step. `Corrupt`: a row of one key; what the whole sync rests on is read outside of steps.
_FAULTS = (PeerFault, MalformedMessage, InvalidSignature, Refused, Corrupt, StillOnDisk)


class HolderClient(ReportingClient):
    """Everything a holder does once it has enrolled."""

    async def sync_all(self, *, renew: bool = True) -> tuple[Synced, Report]:
        """Do all that this device owes and fetch all it is owed, until nothing is left to do now.

        Args:
            renew: publish fresh receive keys first (a daemon does it only now and then).
        """
        report = Report()
        for _ in range(_ROUNDS):
            synced = await self.sync()
            await tell_if_restored(self.party, self.me(synced.roster).index)
            if not await self._round(synced, report, renew=renew):
                break
            renew = False
        for error in report.overtaken:  # the authority goes on speaking of what it does not show
            report.blame(error)
        self.scrub()  # what an earlier one could not
        await self._guarded(report, self.report_held(synced))
        return synced, report

    async def _round(self, synced: Synced, report: Report, *, renew: bool) -> bool:
        """One exchange; True if something was done, so that more may follow."""
        me = self.me(synced.roster).index
        bundle = self._receive_keys(synced, me, renew=renew)
        with self.party.store.reading() as reader:
            uncertified = rows.uncertified(reader)
        request = CustodySyncRequest(
            receive_keys=bundle,
            uncertified=uncertified,
            options=known_here(),
        )
        reply, _ = await self.party.ask(CUSTODY_SYNC, request, _SYNC_BEFORE, call=self._call)
        report.waiting_for, report.overtaken = reply.waiting_for, []
        if bundle is not None:
            with self.party.store.transaction() as tx:
                rows.mark_published(tx, bundle_hash(bundle))
        done = self._certified(synced, reply, report)
        done |= await self._owed_by_us(synced, reply, me, report)
        self._forget(reply.open_bundles)
        return done

    async def _owed_by_us(
        self, synced: Synced, reply: CustodySyncReply, me: HolderIndex, report: Report
    ) -> bool:
        done = False
        for destroyed in reply.erasures:
            done |= await self._guarded(report, self._erase(synced, destroyed, me, report))
        for opening in reply.openings:
            done |= await self._guarded(report, self._open(synced, opening, me, report))
        for asked in reply.deals:
            done |= await self._guarded(report, self._deal_again(synced, asked, me, report))
        sending = [self.send_fragment(synced, due.state, report) for due in reply.releases]
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

    def _receive_keys(self, synced: Synced, me: HolderIndex, *, renew: bool) -> Envelope | None:
        """Our receive keys to publish: new ones if it is time, stored before they are sent."""
        senders = possible_senders(synced.roster)
        with self.party.store.transaction() as tx:
            newest = rows.newest_bundle(tx)
            if newest is not None:
                envelope, seeds = newest
                if not renew and set(senders) <= {who for who, _ in seeds.seeds}:
                    return envelope if not seeds.published else None
            now = self.party.clock.now()
            fresh, envelope = draw_receive_keys(
                synced.roster.domain,
                me,
                senders,
                number=next_number(rows.newest_number(tx), now=now),
                key=self.party.key,
                now=now,
                randomness=self.party.randomness,
            )
            rows.put_seeds(tx, fresh, envelope)
        return envelope

    def _forget(self, in_use: tuple[Hash, ...]) -> None:
        """Erase replaced receive keys that no open delivery needs, and expired wraps."""
        with self.party.store.transaction() as tx:
            now = self.party.clock.now()
            too_old = now - MAX_PROPOSAL_LIFETIME
            erased = rows.forget_old_seeds(tx, in_use=in_use, made_before=too_old)
            erased += rows.forget_expired(tx, now)
            if erased:
                owe(tx, now=now)
        if erased:
            self.scrub()

    async def _open(
        self, synced: Synced, opening: Opening, me: HolderIndex, report: Report
    ) -> None:
        """Take our fragments of an epoch, store them, then acknowledge; or complain."""
        id_ = proposal_id(opening.tally.proposal)
        terms = terms_of_opening(opening)
        self._check_terms(terms)
        key = rows.attempt_key(id_, opening.attempt)
        known = self._already_held(key)
        if known is not None:  # our acknowledgement was lost
            with self._holding() as holding:
                statement, _, _ = check_any_opening(opening, synced.chain, holding.of)
            if statement.hash != known.epoch:
                raise PeerFault(
                    "the authority made two epochs of one attempt", culprits=("authority",)
                )
            ack = acknowledge_again(known, me, key=self.party.key, now=self.party.clock.now())
            await self._call(ACKNOWLEDGE, encode(ack))
            return
        version = synced.chain.at(opening.roster).version
        if opening.base:
            with self._holding() as holding:
                check_not_behind(terms, (version, opening.attempt), holding.live)
        else:
            self._check_not_destroyed(tuple(terms))
            held = self._held(tuple(terms))
            check_made_once(tuple(terms), id_, opening.attempt, held, roster_version=version)
        with self.party.store.reading() as reader:
            outcome = receive_opening(
                opening,
                synced.chain,
                me,
                seed_for=lambda bundle, sender: rows.seed_of(reader, bundle, sender),
                known=rows.Held(reader).of,
                key=self.party.key,
                now=self.party.clock.now(),
            )
        await self._answer(outcome, key, terms, opening, report)

    def _held(self, keys: Sequence[KeyRef]) -> list[HeldEpoch]:
        """Every epoch of these keys on this device, each once."""
        with self._holding() as holding:
            return holding.of_any(keys)

    @contextmanager
    def _holding(self) -> Iterator[rows.Held]:
        with self.party.store.reading() as reader:
            yield rows.Held(reader)

    def _check_not_destroyed(self, keys: Sequence[KeyRef]) -> None:
        with self.party.store.reading() as reader:
            for ref in keys:
                rows.check_not_destroyed(reader, ref)

    def _already_held(self, key: bytes) -> HeldEpoch | None:
        with self.party.store.reading() as reader:
            row = reader.get(rows.ANSWERED, key)
            if row is None:
                return None
            return rows.find_held(reader, row)

    async def _answer(
        self,
        outcome: Outcome,
        key: bytes,
        terms: Mapping[KeyRef, Terms],
        opening: Opening,
        report: Report,
    ) -> None:
        if isinstance(outcome, Stored):
            statement = outcome.held.parsed()
            with self.party.store.transaction() as tx:
                rows.put_held(tx, outcome.held)
                for ref, said in terms.items():
                    rows.put_terms(tx, ref, said)
                tx.put(rows.ANSWERED, key, outcome.held.epoch)
                if statement.base is None:  # the epoch is open: nobody asks for our dealing again
                    rows.drop_dealt(tx, statement.proposal)
                    rows.put_making(tx, statement.keys[0], opening.tally)
                else:  # other keys of the same change may still wait for theirs
                    tx.delete(rows.DEALT, key)
            report.received += len(statement.keys)
            await self._call(ACKNOWLEDGE, encode(outcome.acknowledgement))
            report.acknowledged += 1
        elif isinstance(outcome, Complained):
            fault = f"{outcome.culprit} sent this device a wrong fragment: it complains"
            report.blame(PeerFault(fault, culprits=(outcome.culprit,), sure=True))
            await self._call(COMPLAIN, encode(outcome.complaint))
        elif isinstance(outcome, KeyGone):
            await self._call(ERASED, encode(outcome.notice))
            report.sent += 1

    async def _deal_again(
        self, synced: Synced, asked: DealRequest, me: HolderIndex, report: Report
    ) -> None:
        """Deal because we are asked: the same bytes if we have dealt for this attempt before."""
        occasion = self._occasion(synced, asked, me)
        if occasion.suite.authority_deals:
            await self._contribute(synced, asked, occasion.proposal, report)
            return
        key = rows.attempt_key(occasion.proposal, asked.attempt)
        for _ in range(DEAL_TRIES):
            with self.party.store.reading() as reader:
                row = reader.get(rows.DEALT, key)
            if row is None:
                published, _ = await self.receive_keys(synced)
                try:
                    row = encode(self._deal(occasion, asked.base, me, published))
                except NotPublished as error:  # its next sync wakes us: the authority sees to that
                    receiver = dealer_name(synced.roster, error.receiver)
                    raise HeldUp(f"{some_of(occasion.keys)}: {receiver} to sync first") from error
                self._keep(rows.DEALT, key, row)
            try:
                await self._call(DEAL, row)
            except Unavailable as error:
                await self.check_in_vain(row, synced, error)
                self._drop(rows.DEALT, key)
                continue
            self._drop(rows.DEALT, key)
            report.sent += 1
            return
        raise Refused("receive keys change faster than we can deal: sync again")

    def _occasion(self, synced: Synced, asked: DealRequest, me: HolderIndex) -> Occasion:
        """What we are asked to deal for: keys that are made, or shared anew."""
        if asked.base:
            self._check_terms(terms_of_base(asked.base))
            with self._holding() as holding:
                return check_reshare_request(asked, synced.chain, me, holding.live)
        occasion = check_deal_request(asked, synced.chain, me)
        self._check_not_destroyed(occasion.keys)
        check_made_once(
            occasion.keys,
            occasion.proposal,
            occasion.attempt,
            self._held(occasion.keys),
            roster_version=synced.chain.at(asked.roster).version,
        )
        return occasion

    def _check_terms(self, terms: Mapping[KeyRef, Terms]) -> None:
        """Is what the authority says of these keys what their holders approved?

        An attempt to make a key that was never certified binds nobody: its name may be free again.
        """
        with self.party.store.reading() as reader:
            for ref, said in terms.items():
                known = rows.terms_of(reader, ref)
                if known not in (None, said) and rows.live_name(reader, ref) is not None:
                    raise PeerFault(
                        f"the authority changed who may ask for {ref}", culprits=("authority",)
                    )

    async def _contribute(
        self, synced: Synced, asked: DealRequest, id_: ProposalId, report: Report
    ) -> None:
        """Where the authority deals: our fragments go to its child, under a fresh key."""
        me = self.me(synced.roster).index
        _, fresh = await self.receive_keys(synced, id_)
        if fresh is None:  # forgotten since we were asked: others have sent enough
            return
        target = open_authority_key(fresh, synced.roster, id_)
        fragments = []
        with self._holding() as holding:
            for one in asked.base:
                held = holding.live(one.ref)
                if held is None:
                    raise Refused(f"this device holds no active fragment of {one.ref}")
                fragments.append(
                    wrap_held(held, one.ref, id_, target=target, me=me, key=self.party.key)
                )
        sent = Contribution(proposal=id_, attempt=asked.attempt, fragments=tuple(fragments))
        await self._call(CONTRIBUTE, encode(sent))
        report.sent += 1

    def _deal(
        self,
        occasion: Occasion,
        base: tuple[BaseKey, ...],
        me: HolderIndex,
        published: Mapping[HolderIndex, PublishedKeys],
    ) -> DealingPackage:
        randomness = self.party.randomness
        if base:
            with self._holding() as holding:
                sharing = share_again(occasion, base, me, holding.live, randomness)
        else:
            sharing = draw_sharing(occasion, randomness)
        return sign_sharing(
            occasion, sharing, dealer=me, receive_keys=published, key=self.party.key
        )

    def _certified(self, synced: Synced, reply: CustodySyncReply, report: Report) -> bool:
        """Take certificates; then erase lower epochs of the same keys, and their wraps."""
        taken = False
        for certificate in reply.certificates:
            try:
                statement = parse_message(Statement, certificate.statement)
                verify_certificate(certificate, synced.chain.at(statement.roster))
                self._check_certifiable(statement)
            except UnknownRoster as error:
                report.overtaken.append(error)
                taken = True
                continue
            except _FAULTS as error:
                report.blame(error)
                continue
            with self.party.store.transaction() as tx:
                changed = rows.certify(tx, certificate)
                if changed:
                    owe(tx, now=self.party.clock.now())
            taken = True
            if changed:
                self.scrub()
        return taken

    def _check_certifiable(self, statement: Statement) -> None:
        key = rows.attempt_key(statement.proposal, statement.attempt)
        with self.party.store.reading() as reader:
            answered = reader.get(rows.ANSWERED, key)
        check_certifiable(
            statement, None if answered is None else Hash(answered), self._held(statement.keys)
        )
