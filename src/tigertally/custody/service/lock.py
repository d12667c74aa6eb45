"""Unlocking at the authority: holders give the barrier key back to it after every start.

Steps as in `docs/protocols/lock-and-unlock.md`. Failures are audited like everything else, also
while locked: rosters, envelopes and the audit log are outside the barrier.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    Corrupt,
    PeerFault,
    Refused,
    TigertallyError,
)
from tigertally.base.ids import Hash, HolderIndex, Nonce
from tigertally.base.limits import UNLOCK_LIFETIME
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages import lock
from tigertally.custody.messages.v1 import ReportRequestV1
from tigertally.custody.protocol import lock as protocol
from tigertally.custody.service.attempts import restart_dealing
from tigertally.custody.service.barrier import BarrierKey
from tigertally.custody.service.old_rows import bring_up_to_date
from tigertally.custody.service.restore import relearn
from tigertally.host.desk import KeepChanges
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk, barrier_of
from tigertally.quorum.authority.rows import put_roster
from tigertally.quorum.authority.strangers import STRANGERS, Counted
from tigertally.quorum.messages import CheckpointProof, Nothing
from tigertally.quorum.restoration import restored_needs
from tigertally.quorum.roster import Holder
from tigertally.quorum.words import Quote, in_one_line

_MOST_REPORTED = 32 * 1024 * 1024  # bytes of one holder: the epochs of 10,000 keys


@dataclass(slots=True)
class _Asked:
    """A challenge that waits for its holder."""

    private: PrivateKey
    holder: HolderIndex
    expires: int


@dataclass(slots=True)
class _Given:
    """What holders have given to one unlocking. All of it counts until `until` (Unix seconds)."""

    parts: dict[HolderIndex, Secret] = field(default_factory=dict)  # of the barrier key
    accepted: dict[HolderIndex, Envelope] = field(default_factory=dict)  # of a restored state
    until: int = 0

    def forget_parts(self) -> None:
        """Wipe the parts of the barrier key."""
        parts, self.parts = self.parts, {}
        for part in parts.values():
            part.wipe()


@dataclass(slots=True)
class LockService:
    """Gives the barrier key back to an authority that has started, from what holders give to it.

    Each holder calls `challenge`, then `answer`; of a restored authority it may `report` besides.
    The authority calls `unlocked` once an unlocking is committed, and `progress` at any time.
    All this is in memory, and lost at a restart on purpose: a challenge until it is answered or
    expires, what was given until it is used or expires, reports until the unlocking is committed.
    """

    barrier: BarrierKey
    counted: Counted
    failures: int = 0  # since the start, for `/metrics`
    _asked: dict[Hash, _Asked] = field(default_factory=dict)
    _given: _Given = field(default_factory=_Given)
    _reports: dict[HolderIndex, list[bytes]] = field(default_factory=dict)

    def progress(self, desk: DomainDesk) -> tuple[int, int]:
        """Return (have, need) of the unlocking that is under way."""
        if desk.chain is None:
            return 0, 0
        need = protocol.unlock_needs(desk.chain.current)
        if desk.barrier is not None:
            return need, need
        given = self._given if desk.now < self._given.until else _Given()
        if restore.pending(desk.plain) is None:
            return len(given.parts), need
        # A restored state needs acceptances. Some may come without a part of the key, from holders
        # that joined after the back-up: parts that are still missing count as acceptances to come.
        have = len(given.accepted)
        missing = max(0, self.barrier.envelopes(desk).unlock - len(given.parts))
        return have, max(restored_needs(desk.roster), have + missing)

    def challenge(
        self, desk: DomainDesk, request: lock.ChallengeRequest, peer: VerifyKey
    ) -> lock.ChallengeReply:
        """(1) Ask a holder that offers to unlock for its envelope."""
        holder = self._holder(desk, peer, "asked to unlock")
        # The device counts while it is offline: the log hears of guesses at the next unlocking.
        if request.wrong_passphrases:
            self.failures += request.wrong_passphrases
            desk.record(
                "unlock.failed",
                actor=holder.name,
                summary=f"{holder.name}'s device was tried with {request.wrong_passphrases} wrong "
                "passphrases since it last unlocked",
            )
        envelopes = self.barrier.envelopes(desk)
        sealed = self._envelope(desk, envelopes, holder)
        restored = restore.records(desk.plain)
        sizes = {request.checkpoint_size}
        # The holder compares the log with the one it knows, and with the back-up's.
        sizes |= {restore.opened(one).checkpoint.checkpoint.size for one in restored[-1:]}
        checkpoint = desk.log.checkpoint(desk.plain)
        private, public = protocol.fresh_key(desk.randomness)
        challenge = lock.Challenge(
            domain=desk.roster.domain,
            nonce=Nonce(desk.randomness.bytes(32)),
            wrapping_key=public,
            roster=desk.roster.hash,
            checkpoint=checkpoint.to_text(),
            expires=desk.now + UNLOCK_LIFETIME,
        )
        envelope = protocol.sign_challenge(desk.key, challenge)
        self._remember(envelope, private, holder.index, challenge.expires)
        return lock.ChallengeReply(
            challenge=envelope,
            rosters=desk.known_chain.after(request.roster_version),
            proofs=self._proofs(desk, sizes, checkpoint),
            electorate=envelopes.electorate,
            unlock=envelopes.unlock,
            sealed=sealed,
        )

    def _envelope(self, desk: DomainDesk, envelopes: lock.Envelopes, holder: Holder) -> bytes:
        try:
            return protocol.envelope_for(envelopes, holder.index).sealed
        except Refused as error:
            if restore.pending(desk.plain) is not None:
                return b""  # it joined after the back-up: it has nothing but its acceptance to give
            raise self._failed(desk, holder.name, error) from error

    def _remember(
        self, envelope: Envelope, private: PrivateKey, holder: HolderIndex, expires: int
    ) -> None:
        """Keep one open challenge per holder: a new one replaces the last."""
        self._asked = {name: asked for name, asked in self._asked.items() if asked.holder != holder}
        self._asked[protocol.challenge_hash(envelope)] = _Asked(private, holder, expires)

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

    def answer(
        self, desk: DomainDesk, request: lock.AnswerRequest, peer: VerifyKey
    ) -> lock.AnswerReply:
        """(6)-(8) Take a holder's answer; with enough answers the authority is ready."""
        holder = self._holder(desk, peer, "answered an unlock challenge")
        said = decode(lock.Answer, request.answer.body)
        name = said.challenge
        try:
            if said.holder != holder.index:
                raise Refused("an answer is handed in by its holder")
            asked = self._asked.get(name)
            if asked is None or asked.holder != holder.index or desk.now >= asked.expires:
                raise Refused("no such challenge is open", advice="ask again")
            answer = protocol.open_answer(request.answer, name, desk.roster)
            del self._asked[name]  # each challenge is answered once
        except TigertallyError as error:
            raise self._failed(desk, holder.name, error) from error
        if answer.refusal:
            return self._refused(desk, request, answer, holder)
        # Unlocked by others meanwhile: its part is not needed, but its acceptance still counts.
        if desk.barrier is None:
            self._take(desk, request, answer, asked, holder)
        elif request.acceptance is not None:
            self._accept_late(desk, request.acceptance, holder)
        return self._reply(desk)

    def _take(
        self,
        desk: DomainDesk,
        request: lock.AnswerRequest,
        answer: lock.Answer,
        asked: _Asked,
        holder: Holder,
    ) -> None:
        envelopes = self.barrier.envelopes(desk)
        restored = restore.pending(desk.plain)
        if desk.now >= self._given.until:  # the last unlocking came to nothing: begin anew
            self._begin_anew()
        try:
            if answer.roster != desk.roster.hash:
                raise Refused("the answer is for another roster")
            accepted = request.acceptance
            if restored is not None:
                restore.check_acceptance(accepted, restored, holder.index, desk.roster)
            # Who joined after the back-up has no part of the key in it, only its acceptance.
            if restored is None or answer.wrapped:
                self._given.parts[holder.index] = protocol.unwrap_answer(
                    answer, asked.private, envelopes
                )
            if restored is not None and accepted is not None:
                self._given.accepted[holder.index] = accepted
            self._given.until = desk.now + UNLOCK_LIFETIME
            have, need = self.progress(desk)
            # The envelopes may be of an older roster than the newest: so is the number they take.
            if restored is None:
                have, need = len(self._given.parts), envelopes.unlock
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
            restore.add_acceptances(desk, tuple(self._given.accepted.values()))
            restore.done(desk.plain)
        self._relearn(desk)
        self.barrier.catch_up(desk, envelopes)
        if restored is not None:
            restart_dealing(desk)
        desk.wake_holders()

    def _combined(self, envelopes: lock.Envelopes) -> Secret:
        """Return the barrier key.

        The parts stay until it is committed: their holders were told that they count.

        Raises:
            Corrupt: the parts do not make it, and are of no use.
        """
        try:
            return protocol.combine_barrier(self._given.parts, envelopes)
        except Corrupt:
            self._given.forget_parts()
            raise

    def unlocked(self) -> None:
        """Forget what led to an unlocking, once it is committed."""
        self._begin_anew()
        self._reports = {}

    def _begin_anew(self) -> None:
        self._given.forget_parts()
        self._given = _Given()

    def _accept_late(self, desk: DomainDesk, acceptance: Envelope, holder: Holder) -> None:
        """Take the acceptance of one more holder of a restored state that works already."""
        found = restore.records(desk.plain)
        if not found:
            raise Refused("the authority was not restored: there is nothing to accept")
        restore.check_acceptance(acceptance, found[-1], holder.index, desk.roster)
        restore.add_acceptances(desk, (acceptance,))

    def report(self, desk: DomainDesk, report: lock.ReportRequest, peer: VerifyKey) -> Nothing:
        """Take what a holder holds, for a restored authority; kept in memory while it is locked."""
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
        """Take the same from a device that knows what version 1 knew."""
        return self.report(desk, report.today(), peer)

    def _relearn(self, desk: DomainDesk) -> None:
        """Learn what holders have reported while the authority was locked."""
        listed = {holder.index: holder for holder in desk.roster.holders}
        for index, pages in self._reports.items():
            for raw in pages if index in listed else ():
                relearn(desk, decode(lock.ReportRequest, raw), listed[index])

    def _refused(
        self, desk: DomainDesk, request: lock.AnswerRequest, answer: lock.Answer, holder: Holder
    ) -> lock.AnswerReply:
        """Audit why a holder does not unlock, and adopt a newer chain if it brings one."""
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
            self._begin_anew()  # the parts were given for an older roster
            if desk.barrier is not None:
                self.barrier.catch_up(desk, self.barrier.envelopes(desk))
        return self._reply(desk)

    def _reply(self, desk: DomainDesk) -> lock.AnswerReply:
        have, need = self.progress(desk)
        state = "locked" if desk.barrier is None else "ready"
        restored = restore.pending(desk.plain) is not None
        return lock.AnswerReply(state=state, have=have, need=need, restored=restored)

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
