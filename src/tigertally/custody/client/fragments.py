"""How fragments come to a holder's device, are certified, and replace those of before."""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.base.codec import encode
from tigertally.base.errors import PeerFault
from tigertally.base.ids import HolderIndex
from tigertally.crypto.envelope import parse_message
from tigertally.custody.client import rows
from tigertally.custody.client.admissible import check_not_made, check_terms, terms_of_opening
from tigertally.custody.client.report import Report
from tigertally.custody.messages.dealing import Certificate, Opening, Statement
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.messages.sync import ACKNOWLEDGE, COMPLAIN, ERASED
from tigertally.custody.protocol.epochs import verify_certificate
from tigertally.custody.protocol.receiver import (
    Complained,
    KeyGone,
    Outcome,
    Stored,
    acknowledge_again,
    check_any_opening,
    check_certifiable,
    receive_opening,
)
from tigertally.custody.protocol.reshare import check_not_behind
from tigertally.custody.state.holder import HeldEpoch, Terms
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.erasure import owe


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
        await self.party.call(ACKNOWLEDGE, encode(ack))

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
            await self.party.call(ACKNOWLEDGE, encode(outcome.acknowledgement))
            report.acknowledged += 1
        elif isinstance(outcome, Complained):
            fault = f"{outcome.culprit} sent this device a wrong fragment: it complains"
            report.blame(PeerFault(fault, culprits=(outcome.culprit,), sure=True))
            await self.party.call(COMPLAIN, encode(outcome.complaint))
        elif isinstance(outcome, KeyGone):
            await self.party.call(ERASED, encode(outcome.notice))
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
