"""The barrier at the authority: drawn at the first enrolment, in memory, given back by holders.

Steps as in `docs/protocols/lock-and-unlock.md`. Failures are audited like everything else, also
while locked: rosters, envelopes and the audit log are outside the barrier.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.base.ids import Hash, HolderIndex, Nonce
from tigertally.base.limits import UNLOCK_LIFETIME
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.lock import (
    Answer,
    AnswerReply,
    AnswerRequest,
    Challenge,
    ChallengeReply,
    ChallengeRequest,
    Envelopes,
    ReportRequest,
)
from tigertally.custody.messages.v1 import ReportRequestV1
from tigertally.custody.protocol.lock import (
    BARRIER_BYTES,
    challenge_hash,
    combine_barrier,
    envelope_for,
    fresh_key,
    open_answer,
    open_envelopes,
    seal_barrier,
    sign_challenge,
    sign_envelopes,
    unlock_needs,
    unwrap_answer,
)
from tigertally.custody.service import reshare
from tigertally.custody.service.attempts import restart_dealing
from tigertally.custody.service.old_rows import bring_up_to_date, note_form
from tigertally.custody.service.restore import relearn
from tigertally.host.desk import KeepChanges
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk, barrier_of
from tigertally.quorum.authority.rows import put_roster
from tigertally.quorum.authority.strangers import STRANGERS, Counted
from tigertally.quorum.messages import CheckpointProof, Nothing
from tigertally.quorum.restoration import restored_needs
from tigertally.quorum.roster import Holder, Roster
from tigertally.quorum.tally import VerifiedTally
from tigertally.quorum.words import Quote, in_one_line
from tigertally.storage.sealed import SealedTransaction

ENVELOPES = "envelopes"  # plain: one row
SET_ASIDE = "set-aside"  # sealed: table, 0, key -> the bytes of a row that did not open
_ROW = b"newest"
_MOST_REPORTED = 32 * 1024 * 1024  # bytes of one holder: the epochs of 10,000 keys


def _set_aside(desk: DomainDesk, after: SealedTransaction, table: str, key: bytes) -> None:
    """A row that does not open cannot be sealed anew: keep its bytes, and let it stay unreadable.

    **Security:** one wrong bit does not hide the others from whoever has the old key. So the bytes
    go under the new one as they are, elsewhere; what is left in their place is empty and never
    opens, since what is damaged must not become absent.
    """
    raw = desk.plain.get(table, key)
    if raw and table != SET_ASIDE:
        after.put(SET_ASIDE, table.encode() + b"\x00" + key, raw)
    desk.plain.put(table, key, b"")


@dataclass(slots=True)
class _Asked:
    """A challenge that waits for its holder."""

    private: PrivateKey
    holder: HolderIndex
    expires: int


@dataclass(slots=True)
class LockService:
    """Draws, seals and recovers the barrier key. Its own state is lost at a restart, on purpose.

    `sealed` are all tables behind the barrier, whoever's they are: one that is missing here is lost
    when a holder is removed, because its rows stay under the barrier key of before.
    `_parts`, `_accepted` and `_reports` are of the unlocking that is under way: parts of the
    barrier key, acceptances of a restored state, and what the holders hold.
    """

    sealed: tuple[str, ...]
    counted: Counted
    _asked: dict[Hash, _Asked] = field(default_factory=dict)
    _parts: dict[HolderIndex, Secret] = field(default_factory=dict)
    _parts_until: int = 0
    failures: int = 0  # since the start, for `/metrics`
    _accepted: dict[HolderIndex, Envelope] = field(default_factory=dict)
    _reports: dict[HolderIndex, list[bytes]] = field(default_factory=dict)

    def found(self, desk: DomainDesk) -> None:
        """Draw the barrier key once the first holder has enrolled; from now on rows are sealed."""
        key = Secret.random(desk.randomness, BARRIER_BYTES)
        desk.barrier = barrier_of(key)
        note_form(desk)
        self._put(desk, seal_barrier(key, desk.roster, desk.randomness))

    def roster_changed(self, desk: DomainDesk, old: Roster, tally: VerifiedTally) -> None:
        """Seal new envelopes, in the same transaction, if holders or unlock number changed."""
        new = desk.roster
        if (new.electorate, unlock_needs(new)) == (old.electorate, unlock_needs(old)):
            return
        if desk.barrier is None:
            raise Unavailable("a locked authority commits nothing")
        left = {holder.index for holder in new.holders}
        if any(holder.index not in left for holder in old.holders):
            self._draw_anew(desk)
        self._put(desk, seal_barrier(desk.barrier.key, new, desk.randomness))

    def _draw_anew(self, desk: DomainDesk) -> None:
        """Draw a new barrier key when a holder is removed, and seal every row under it at once.

        What the removed holder may have seen of the old key then opens nothing that is on the disk.
        """
        before = desk.sealed
        desk.barrier = barrier_of(Secret.random(desk.randomness, BARRIER_BYTES))
        after = desk.sealed
        count = 0
        # What was set aside before comes first: what is set aside now is under the new key already.
        for table in (SET_ASIDE, *self.sealed):
            for key, value in list(before.each(table)):
                if isinstance(value, Corrupt):
                    desk.damaged.append(value)
                    _set_aside(desk, after, table, key)
                else:
                    after.put(table, key, value)
                    count += 1
        desk.owe_erasure()
        desk.record("barrier.renewed", actor="authority", summary=f"{count} rows sealed anew")

    def _put(self, desk: DomainDesk, envelopes: Envelopes) -> None:
        desk.plain.put(ENVELOPES, _ROW, encode(sign_envelopes(desk.key, envelopes)))

    def envelopes(self, desk: DomainDesk) -> Envelopes:
        """Return the present envelopes; `Corrupt` if they are gone or not the ones we signed."""
        row = desk.plain.get(ENVELOPES, _ROW)
        if row is None:
            why = "the envelopes beside the roster are gone: restore a back-up"
            raise Corrupt.of_row(ENVELOPES, _ROW, why)
        try:
            return open_envelopes(decode(Envelope, row), desk.roster)
        except (MalformedMessage, InvalidSignature) as error:
            why = "the envelopes beside the roster have been changed"
            raise Corrupt.of_row(ENVELOPES, _ROW, why) from error

    def mend_envelopes(self, desk: DomainDesk) -> list[tuple[str, bytes]]:
        """Make the envelopes anew if they cannot be read: without them nobody unlocks again.

        Returns:
            Table and key, if they were wrong.

        Raises:
            Corrupt: they are, and while it is locked nothing can be done about it.
        """
        try:
            self.envelopes(desk)
        except Corrupt:
            if desk.barrier is None:
                raise
            self._put(desk, seal_barrier(desk.barrier.key, desk.roster, desk.randomness))
            return [(ENVELOPES, _ROW)]
        return []

    def progress(self, desk: DomainDesk) -> tuple[int, int]:
        """Return (have, need) of the unlocking that is under way."""
        if desk.chain is None:
            return 0, 0
        need = unlock_needs(desk.chain.current)
        if desk.barrier is not None:
            return need, need
        going_on = desk.now < self._parts_until
        if restore.pending(desk.plain) is None:
            return (len(self._parts) if going_on else 0), need
        have, parts = (len(self._accepted), len(self._parts)) if going_on else (0, 0)
        missing = max(0, self.envelopes(desk).unlock - parts)
        return have, max(restored_needs(desk.roster), have + missing)

    def challenge(
        self, desk: DomainDesk, request: ChallengeRequest, peer: VerifyKey
    ) -> ChallengeReply:
        """(1) Ask a holder that offers to unlock for its envelope."""
        holder = self._holder(desk, peer, "asked to unlock")
        if request.wrong_passphrases:
            self.failures += request.wrong_passphrases
            desk.record(
                "unlock.failed",
                actor=holder.name,
                summary=f"{holder.name}'s device was tried with {request.wrong_passphrases} wrong "
                "passphrases since it last unlocked",
            )
        envelopes = self.envelopes(desk)
        sealed = self._envelope(desk, envelopes, holder)
        restored = restore.records(desk.plain)
        sizes = {request.checkpoint_size}
        sizes |= {restore.opened(one).checkpoint.checkpoint.size for one in restored[-1:]}
        checkpoint = desk.log.checkpoint(desk.plain)
        private, public = fresh_key(desk.randomness)
        challenge = Challenge(
            domain=desk.roster.domain,
            nonce=Nonce(desk.randomness.bytes(32)),
            wrapping_key=public,
            roster=desk.roster.hash,
            checkpoint=checkpoint.to_text(),
            expires=desk.now + UNLOCK_LIFETIME,
        )
        envelope = sign_challenge(desk.key, challenge)
        self._remember(envelope, private, holder.index, challenge.expires)
        return ChallengeReply(
            challenge=envelope,
            rosters=desk.known_chain.after(request.roster_version),
            proofs=self._proofs(desk, sizes, checkpoint),
            electorate=envelopes.electorate,
            unlock=envelopes.unlock,
            sealed=sealed,
        )

    def _envelope(self, desk: DomainDesk, envelopes: Envelopes, holder: Holder) -> bytes:
        try:
            return envelope_for(envelopes, holder.index).sealed
        except Refused as error:
            if restore.pending(desk.plain) is not None:
                return b""  # it joined after the back-up: it has nothing but its acceptance to give
            raise self._failed(desk, holder.name, error) from error

    def _remember(
        self, envelope: Envelope, private: PrivateKey, holder: HolderIndex, expires: int
    ) -> None:
        """Keep one open challenge per holder: a new one replaces the last."""
        self._asked = {name: asked for name, asked in self._asked.items() if asked.holder != holder}
        self._asked[challenge_hash(envelope)] = _Asked(private, holder, expires)

    def _proofs(
        self, desk: DomainDesk, sizes: set[int], checkpoint: SignedCheckpoint
    ) -> tuple[CheckpointProof, ...]:
        newest = checkpoint.checkpoint.size
        return tuple(
            CheckpointProof(
                size=size, proof=tuple(desk.log.consistency_proof(desk.plain, size, newest))
            )
            for size in sorted(sizes)
            if 0 < size <= newest
        )

    def answer(self, desk: DomainDesk, request: AnswerRequest, peer: VerifyKey) -> AnswerReply:
        """(6)-(8) Take a holder's answer; with enough of them the authority is ready."""
        holder = self._holder(desk, peer, "answered an unlock challenge")
        said = decode(Answer, request.answer.body)
        name = said.challenge
        try:
            if said.holder != holder.index:
                raise Refused("an answer is handed in by its holder")
            asked = self._asked.get(name)
            if asked is None or asked.holder != holder.index or desk.now >= asked.expires:
                raise Refused("no such challenge is open", advice="ask again")
            answer = open_answer(request.answer, name, desk.roster)
            del self._asked[name]  # each challenge is answered once
        except TigertallyError as error:
            raise self._failed(desk, holder.name, error) from error
        if answer.refusal:
            return self._refused(desk, request, answer, holder)
        if desk.barrier is None:
            self._take(desk, request, answer, asked, holder)
        elif request.acceptance is not None:
            self._accept_late(desk, request.acceptance, holder)
        return self._reply(desk)

    def _take(
        self,
        desk: DomainDesk,
        request: AnswerRequest,
        answer: Answer,
        asked: _Asked,
        holder: Holder,
    ) -> None:
        envelopes = self.envelopes(desk)
        restored = restore.pending(desk.plain)
        if desk.now >= self._parts_until:  # those given before are too old to count
            self._parts, self._accepted = {}, {}
        try:
            if answer.roster != desk.roster.hash:
                raise Refused("the answer is for another roster")
            accepted = request.acceptance
            if restored is not None:
                restore.check_acceptance(accepted, restored, holder.index, desk.roster)
            if restored is None or answer.wrapped:
                self._parts[holder.index] = unwrap_answer(answer, asked.private, envelopes)
            if restored is not None and accepted is not None:
                self._accepted[holder.index] = accepted
            self._parts_until = desk.now + UNLOCK_LIFETIME
            have, need = self.progress(desk)
            if restored is None:
                have, need = len(self._parts), envelopes.unlock
            if have < need:
                desk.record(
                    "unlock.part", actor=holder.name, summary=f"{holder.name}: {have} of {need}"
                )
                return
            barrier = self._combined(envelopes)
        except TigertallyError as error:
            raise self._failed(desk, holder.name, error) from error
        desk.barrier = barrier_of(barrier)
        bring_up_to_date(desk)
        desk.record("unlock.done", actor=holder.name, summary=f"unlocked by {holder.name}")
        if restored is not None:
            restore.add_acceptances(desk, tuple(self._accepted.values()))
            restore.done(desk.plain)
        self._relearn(desk)
        self._catch_up(desk, envelopes)
        if restored is not None:
            restart_dealing(desk)
        desk.wake_holders()

    def _combined(self, envelopes: Envelopes) -> Secret:
        """Return the barrier key. The parts stay until it is committed: they were said to count.

        Raises:
            Corrupt: the parts do not make it, and are of no use.
        """
        try:
            return combine_barrier(self._parts, envelopes)
        except Corrupt:
            self._forget_parts()
            raise

    def unlocked(self) -> None:
        """Forget what led to an unlocking, once it is committed."""
        self._forget_parts()
        self._accepted, self._reports = {}, {}

    def _forget_parts(self) -> None:
        parts, self._parts = self._parts, {}
        for part in parts.values():
            part.wipe()

    def _accept_late(self, desk: DomainDesk, acceptance: Envelope, holder: Holder) -> None:
        """Take one more holder's acceptance of a restored state that works already."""
        found = restore.records(desk.plain)
        if not found:
            raise Refused("the authority was not restored: there is nothing to accept")
        restore.check_acceptance(acceptance, found[-1], holder.index, desk.roster)
        restore.add_acceptances(desk, (acceptance,))

    def report(self, desk: DomainDesk, report: ReportRequest, peer: VerifyKey) -> Nothing:
        """Take what a holder holds, for a restored authority; in memory while it is locked."""
        holder = desk.holder(peer)
        if not restore.records(desk.plain):
            return Nothing()
        if desk.barrier is not None:
            relearn(desk, report, holder)
            return Nothing()
        kept = self._reports.setdefault(holder.index, [])
        raw = encode(report)  # shorter than what it says
        if raw not in kept:
            if sum(map(len, kept)) + len(raw) > _MOST_REPORTED:
                raise Refused("this device has reported more than a device can hold")
            kept.append(raw)
        return Nothing()

    def report_v1(self, desk: DomainDesk, report: ReportRequestV1, peer: VerifyKey) -> Nothing:
        """Do the same for a device that knows what version 1 knew."""
        return self.report(desk, report.today(), peer)

    def _relearn(self, desk: DomainDesk) -> None:
        """Take in everything that holders have reported while the authority was locked."""
        listed = {holder.index: holder for holder in desk.roster.holders}
        for index, pages in self._reports.items():
            for raw in pages if index in listed else ():
                relearn(desk, decode(ReportRequest, raw), listed[index])

    def _catch_up(self, desk: DomainDesk, envelopes: Envelopes) -> None:
        """Do what roster changes would have done, if the chain is newer than the sealed rows.

        An envelope of somebody who is no holder any more must open nothing: a new barrier key.
        """
        roster = desk.roster
        if (envelopes.electorate, envelopes.unlock) == (roster.electorate, unlock_needs(roster)):
            return
        left = {holder.index for holder in roster.holders}
        if any(envelope.holder not in left for envelope in envelopes.envelopes):
            self._draw_anew(desk)
        if desk.barrier is not None:
            self._put(desk, seal_barrier(desk.barrier.key, roster, desk.randomness))
        reshare.catch_up(desk)

    def _refused(
        self, desk: DomainDesk, request: AnswerRequest, answer: Answer, holder: Holder
    ) -> AnswerReply:
        """Audit what a holder that knows better says; adopt a newer chain if it proves one."""
        said = Quote(by=str(holder.name), what="reason", text=answer.refusal)
        desk.record(
            "unlock.refused",
            actor=holder.name,
            summary=in_one_line(f"{holder.name} does not unlock", [said], most=400),
        )
        chain = desk.known_chain
        try:
            newer = chain.extended(request.rosters)
        except TigertallyError as error:  # what the holder said stays in the log
            raise KeepChanges(error) from error
        for signed in newer.signed[len(chain.signed) :]:
            put_roster(desk.plain, signed)
        if newer is not chain and len(newer.rosters) > len(chain.rosters):
            desk.chain = newer
            desk.record(
                "roster.adopted",
                actor=holder.name,
                summary=f"{holder.name} brought roster version {newer.current.version}",
                detail=newer.current.hash,
            )
            self._parts, self._accepted = {}, {}  # they were given for an older roster
            if desk.barrier is not None:
                self._catch_up(desk, self.envelopes(desk))
        return self._reply(desk)

    def _reply(self, desk: DomainDesk) -> AnswerReply:
        have, need = self.progress(desk)
        state = "locked" if desk.barrier is None else "ready"
        restored = restore.pending(desk.plain) is not None
        return AnswerReply(state=state, have=have, need=need, restored=restored)

    def _holder(self, desk: DomainDesk, peer: VerifyKey, did: str) -> Holder:
        holder = desk.roster.holder_of(peer)
        if holder is not None:
            return holder
        self.failures += 1
        error = Refused("only a holder of the domain can unlock it")
        who = desk.known_chain.names.get(peer, STRANGERS)  # a removed holder by its name
        did = did if who == STRANGERS else f"{did} and is no holder"
        if self.counted.add(desk, "unlock.failed", actor=who, did=did):
            raise KeepChanges(error)
        raise error

    def _failed(self, desk: DomainDesk, who: str, error: TigertallyError) -> KeepChanges:
        self.failures += 1
        desk.record("unlock.failed", actor=who, summary=f"{who}: {error}"[:400])
        if isinstance(error, PeerFault) and not error.culprits:
            error = PeerFault(str(error), culprits=(who,), sure=False)
        return KeepChanges(error)
