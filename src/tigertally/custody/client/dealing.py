"""How fragments come to a holder's device: receive keys, dealings, openings, certificates.

What is dealt is stored before it leaves and sent again byte for byte, so a crash never makes two
dealings of one attempt.
"""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, Unavailable
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.custody.client import rows
from tigertally.custody.client.admissible import (
    check_may_make,
    check_not_made,
    check_terms,
    terms_of_base,
    terms_of_opening,
)
from tigertally.custody.client.approvers import first_approval
from tigertally.custody.client.report import HeldUp, Report
from tigertally.custody.messages import sync
from tigertally.custody.messages.base_key import BaseKey
from tigertally.custody.messages.dealing import (
    Certificate,
    Dealing,
    DealingPackage,
    Opening,
    Statement,
)
from tigertally.custody.messages.kinds import CREATE, ROTATE, KeyRef, Making, Rotate, parse_making
from tigertally.custody.messages.release import Contribution
from tigertally.custody.policy import some_of
from tigertally.custody.protocol.dealing import (
    NotPublished,
    Occasion,
    dealer_name,
    draw_sharing,
    make_dealing,
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
    occasion_of_making,
    receive_opening,
)
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.custody.protocol.release import open_authority_key, wrap_held
from tigertally.custody.protocol.reshare import check_not_behind, check_reshare_request, share_again
from tigertally.custody.state.holder import HeldEpoch, Terms
from tigertally.quorum.approval import Verdict
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.member.memory import SeenProposal
from tigertally.quorum.messages import ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, proposal_id
from tigertally.quorum.receive_keys import (
    PublishedKeys,
    draw_receive_keys,
    newest_by_holder,
    next_number,
)
from tigertally.quorum.tally import check_electorate
from tigertally.storage.erasure import owe
from tigertally.storage.store import Reader


class ReceiveKeys:
    """Keys to which others wrap what is meant for one device, and only for a short time."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member

    async def fetch(
        self, synced: Synced, proposal: ProposalId | None = None
    ) -> tuple[Mapping[HolderIndex, PublishedKeys], Envelope | None]:
        """Fetch everybody's receive keys, verified, and the authority's own for a proposal."""
        request = sync.ReceiveKeysRequest(proposal=proposal)
        reply = decode(
            sync.ReceiveKeysReply, await self.member.party.call(sync.RECEIVE_KEYS, encode(request))
        )
        with shown_by_authority():
            roster = synced.roster
            return newest_by_holder(reply.keys, roster.domain, roster.signer), reply.fresh

    def to_publish(self, synced: Synced, me: HolderIndex, *, renew: bool) -> Envelope | None:
        """Return what to publish, if anything: new keys if it is time, stored before they leave."""
        party = self.member.party
        senders = possible_senders(synced.roster)
        with party.store.transaction() as tx:
            newest = rows.newest_bundle(tx)
            if newest is not None:
                envelope, seeds = newest
                if not renew and set(senders) <= {who for who, _ in seeds.seeds}:
                    return envelope if not seeds.published else None
            now = party.clock.now()
            fresh, envelope = draw_receive_keys(
                synced.roster.domain,
                me,
                senders,
                number=next_number(rows.newest_number(tx), now=now),
                key=party.key,
                now=now,
                randomness=party.randomness,
            )
            rows.put_seeds(tx, fresh, envelope)
        return envelope

    def forget(self, in_use: tuple[Hash, ...]) -> None:
        """Erase replaced receive keys that no open delivery needs, and expired wraps."""
        with self.member.party.store.transaction() as tx:
            now = self.member.party.clock.now()
            too_old = now - MAX_PROPOSAL_LIFETIME
            erased = rows.forget_old_seeds(tx, in_use=in_use, made_before=too_old)
            erased += rows.forget_expired(tx, now)
            if erased:
                owe(tx, now=now)
        if erased:
            self.member.scrub()


_TRIES = 4  # receive keys may be replaced while we deal


class Dealings:
    """What this device deals.

    The first attempt to make a key is dealt for by whoever says yes: `create_key` of one's own, or
    `approve`. Later attempts, and reshares, are dealt for when the authority asks: `deal_again`.
    """

    def __init__(self, member: MemberClient, receive_keys: ReceiveKeys) -> None:
        self.member = member
        self.party = member.party
        self.receive_keys = receive_keys

    async def create_key(
        self, body: Making, synced: Synced, *, proposal: Envelope | None = None
    ) -> ProposalState:
        """Propose a key (as `proposal`, if it is made); our approval and dealing go with it."""
        if proposal is None:
            kind = ROTATE if isinstance(body, Rotate) else CREATE
            proposal = self.member.new_proposal(kind, body.to_body(), synced.roster)
        for _ in range(_TRIES):
            dealing = await self._first_dealing(proposal, body, synced)
            verdict = self.member.new_verdict(proposal, synced, Verdict.APPROVE, attachment=dealing)
            try:
                return await self.member.propose(proposal, approval=verdict, attachment=dealing)
            except Unavailable as error:
                await self._dealt_in_vain(proposal, dealing, synced, error)
        raise Unavailable("receive keys change faster than we can deal", advice="try again")

    async def approve(self, seen: SeenProposal, synced: Synced) -> ProposalState:
        """Say yes to a key that is made; our dealing goes with it."""
        proposal = seen.state.proposal
        with self.party.store.reading() as reader:
            said = rows.APPROVED.get(reader, seen.id)
            dealt = rows.has_dealt(reader, seen.id)
        if said is not None and not dealt:  # it is in the epoch that opened: nothing to deal
            return await self.member.vote(seen.state, said)
        if seen.state.status is Status.COMPLETE:  # others were enough, and have dealt
            return seen.state
        body = parse_making(seen.proposal)
        for _ in range(_TRIES):
            dealing = await self._first_dealing(proposal, body, synced)
            verdict = first_approval(self.member, proposal, synced, attachment=dealing)
            try:
                return await self.member.vote(seen.state, verdict, attachment=dealing)
            except Unavailable as error:
                await self._dealt_in_vain(proposal, dealing, synced, error)
        raise Unavailable("receive keys change faster than we can deal", advice="try again")

    async def _first_dealing(self, proposal: Envelope, body: Making, synced: Synced) -> bytes:
        """The dealing that travels with our approval; kept, so that it is the same next time."""
        with self.party.store.reading() as reader:
            check_may_make(reader, body, synced.roster)
        if body.suite.authority_deals:
            return b""
        key = rows.attempt_key(proposal_id(proposal), 1)
        with self.party.store.reading() as reader:
            row = rows.DEALT.get(reader, key)
        if row is not None:
            return row
        roster = synced.roster
        check_electorate(roster, open_proposal(proposal))
        published, _ = await self.receive_keys.fetch(synced)
        package = make_dealing(
            occasion_of_making(proposal_id(proposal), body, roster, 1),
            dealer=self.member.me(roster).index,
            receive_keys=published,
            key=self.party.key,
            randomness=self.party.randomness,
        )
        ends = self.party.clock.now() + MAX_PROPOSAL_LIFETIME
        with self.party.store.transaction() as tx:
            ends = min(open_proposal(proposal).expires, ends)
            rows.put_dealt(tx, key, encode(package), ends)
        return encode(package)

    async def _dealt_in_vain(
        self, proposal: Envelope, package: bytes, synced: Synced, error: Unavailable
    ) -> None:
        """Was our dealing refused because of replaced keys? Then deal anew; else give up."""
        await self._check_in_vain(package, synced, error)
        with self.party.store.transaction() as tx:  # together: an approval signs its dealing
            rows.DEALT.drop(tx, rows.attempt_key(proposal_id(proposal), 1))
            rows.APPROVED.drop(tx, proposal_id(proposal))

    async def _check_in_vain(self, package: bytes, synced: Synced, error: Unavailable) -> None:
        """Was a dealing refused because a receiver has replaced its keys? Raises `error` if not.

        The keys say so, whatever the error says: an authority of any version replaces no dealing
        whose keys are still the newest.
        """
        if not package:  # the authority deals
            raise error
        try:
            published, _ = await self.receive_keys.fetch(synced)
        except Unavailable:
            raise error from None
        slots = decode(Dealing, decode(DealingPackage, package).dealing.body).slots
        newest = {index: keys.bundle for index, keys in published.items()}
        if all(newest.get(slot.receiver) == slot.bundle for slot in slots):
            raise error

    async def deal_again(
        self, synced: Synced, asked: sync.DealRequest, me: HolderIndex, report: Report
    ) -> None:
        """Deal because we are asked: the same bytes if we have dealt for this attempt before."""
        occasion = self._occasion(synced, asked, me)
        if occasion.suite.authority_deals:
            await self._contribute(synced, asked, occasion.proposal, report)
            return
        key = rows.attempt_key(occasion.proposal, asked.attempt)
        for _ in range(_TRIES):
            with self.party.store.reading() as reader:
                row = rows.DEALT.get(reader, key)
            if row is None:
                row = await self._dealt(occasion, asked, me, synced)
                with self.party.store.transaction() as tx:
                    rows.DEALT.put(tx, key, row)
            try:
                await self.party.call(sync.DEAL, row)
            except Unavailable as error:
                await self._check_in_vain(row, synced, error)
                self._drop(key)
                continue
            self._drop(key)
            report.sent += 1
            return
        raise Refused("receive keys change faster than we can deal", advice="sync again")

    def _drop(self, key: bytes) -> None:
        with self.party.store.transaction() as tx:
            rows.DEALT.drop(tx, key)

    async def _dealt(
        self, occasion: Occasion, asked: sync.DealRequest, me: HolderIndex, synced: Synced
    ) -> bytes:
        published, _ = await self.receive_keys.fetch(synced)
        try:
            return encode(self._deal(occasion, asked.base, me, published))
        except NotPublished as error:  # its next sync wakes us: the authority sees to that
            receiver = dealer_name(synced.roster, error.receiver)
            raise HeldUp(f"{some_of(occasion.keys)}: {receiver} to sync first") from error

    def _occasion(self, synced: Synced, asked: sync.DealRequest, me: HolderIndex) -> Occasion:
        """What we are asked to deal for: keys that are made, or shared anew."""
        with self.party.store.reading() as reader:
            if asked.base:
                check_terms(reader, terms_of_base(asked.base))
                live = self._held(reader).live
                return check_reshare_request(asked, synced.chain, me, live)
            occasion = check_deal_request(asked, synced.chain, me)
            check_not_made(
                reader,
                occasion.keys,
                occasion.proposal,
                occasion.attempt,
                roster_version=synced.chain.at(asked.roster).version,
            )
        return occasion

    async def _contribute(
        self, synced: Synced, asked: sync.DealRequest, id_: ProposalId, report: Report
    ) -> None:
        """Where the authority deals: our fragments go to its child, under a fresh key."""
        me = self.member.me(synced.roster).index
        _, fresh = await self.receive_keys.fetch(synced, id_)
        if fresh is None:  # forgotten since we were asked: others have sent enough
            return
        target = open_authority_key(fresh, synced.roster, id_)
        fragments = []
        with self.party.store.reading() as reader:
            epochs = self._held(reader)
            for one in asked.base:
                held = epochs.live(one.ref)
                if held is None:
                    raise Refused(f"this device holds no active fragment of {one.ref}")
                fragments.append(
                    wrap_held(held, one.ref, id_, target=target, me=me, key=self.party.key)
                )
        sent = Contribution(proposal=id_, attempt=asked.attempt, fragments=tuple(fragments))
        await self.party.call(sync.CONTRIBUTE, encode(sent))
        report.sent += 1

    def _held(self, reader: Reader) -> rows.Held:
        return rows.Held(reader)

    def _deal(
        self,
        occasion: Occasion,
        base: tuple[BaseKey, ...],
        me: HolderIndex,
        published: Mapping[HolderIndex, PublishedKeys],
    ) -> DealingPackage:
        randomness = self.party.randomness
        if base:
            with self.party.store.reading() as reader:
                sharing = share_again(occasion, base, me, self._held(reader).live, randomness)
        else:
            sharing = draw_sharing(occasion, randomness)
        return sign_sharing(
            occasion, sharing, dealer=me, receive_keys=published, key=self.party.key
        )


class Fragments:
    """The fragments of this device.

    `open` takes them; `check_certificate`, then `certify`, puts them in the place of older ones.
    """

    def __init__(self, member: MemberClient) -> None:
        self.member = member
        self.party = member.party

    async def open(self, synced: Synced, opening: Opening, me: HolderIndex, report: Report) -> None:
        """Take our fragments of an epoch, store them, then acknowledge; or complain."""
        id_ = proposal_id(opening.tally.proposal)
        terms = terms_of_opening(opening)
        key = rows.attempt_key(id_, opening.attempt)
        with self.party.store.reading() as reader:
            check_terms(reader, terms)
            epoch = rows.ANSWERED.get(reader, key)
            known = None if epoch is None else rows.EPOCHS.get(reader, epoch)
        if known is not None:  # our acknowledgement was lost
            await self._acknowledge_again(known, opening, synced, me)
            return
        version = synced.chain.at(opening.roster).version
        with self.party.store.reading() as reader:
            held = rows.Held(reader)
            if opening.base:
                check_not_behind(terms, (version, opening.attempt), held.live)
            else:
                check_not_made(reader, tuple(terms), id_, opening.attempt, roster_version=version)
            outcome = receive_opening(
                opening,
                synced.chain,
                me,
                seed_for=lambda bundle, sender: rows.seed_of(reader, bundle, sender),
                known=held.of,
                key=self.party.key,
                now=self.party.clock.now(),
            )
        await self._answer(outcome, key, terms, opening, report)

    async def _acknowledge_again(
        self, known: HeldEpoch, opening: Opening, synced: Synced, me: HolderIndex
    ) -> None:
        with self.party.store.reading() as reader:
            statement, _, _ = check_any_opening(opening, synced.chain, rows.Held(reader).of)
        if statement.hash != known.epoch:
            raise PeerFault("the authority made two epochs of one attempt", culprits=("authority",))
        ack = acknowledge_again(known, me, key=self.party.key, now=self.party.clock.now())
        await self.party.call(sync.ACKNOWLEDGE, encode(ack))

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
                    rows.TERMS.put(tx, ref, said)
                rows.ANSWERED.put(tx, key, outcome.held.epoch)
                if statement.base is None:  # the epoch is open: nobody asks for our dealing again
                    rows.drop_dealt(tx, statement.proposal)
                    rows.MAKINGS.put(tx, statement.keys[0], opening.tally)
                else:  # other keys of the same change may still wait for theirs
                    rows.DEALT.drop(tx, key)
            report.received += len(statement.keys)
            await self.party.call(sync.ACKNOWLEDGE, encode(outcome.acknowledgement))
            report.acknowledged += 1
        elif isinstance(outcome, Complained):
            fault = f"{outcome.culprit} sent this device a wrong fragment: it complains"
            report.blame(PeerFault(fault, culprits=(outcome.culprit,), sure=True))
            await self.party.call(sync.COMPLAIN, encode(outcome.complaint))
        elif isinstance(outcome, KeyGone):
            await self.party.call(sync.ERASED, encode(outcome.notice))
            report.sent += 1

    def check_certificate(self, certificate: Certificate, synced: Synced) -> None:
        """Check that this certificate may count on this device.

        Raises:
            UnknownRoster: it is of a roster that we have not fetched yet.
            MalformedMessage, InvalidSignature, PeerFault
        """
        statement = parse_message(Statement, certificate.statement)
        verify_certificate(certificate, synced.chain.at(statement.roster))
        key = rows.attempt_key(statement.proposal, statement.attempt)
        with self.party.store.reading() as reader:
            answered = rows.ANSWERED.get(reader, key)
            held = rows.Held(reader).of_any(statement.keys)
        check_certifiable(statement, answered, held)

    def certify(self, certificate: Certificate) -> None:
        """Take a certificate; then erase lower epochs of the same keys, and their wraps."""
        with self.party.store.transaction() as tx:
            changed = rows.certify(tx, certificate)
            if changed:
                owe(tx, now=self.party.clock.now())
        if changed:
            self.member.scrub()
