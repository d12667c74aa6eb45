"""The authority's door for strangers: who it is, the first holder, terms to join."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tigertally.audit.log import AuditLog
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Corrupt, MalformedMessage, Refused, WrongTime
from tigertally.base.limits import CLOCK_SKEW
from tigertally.base.randomness import Randomness
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.host.desk import KeepChanges
from tigertally.quorum import enrolment
from tigertally.quorum.authority import restore
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import ROSTERS, put_roster
from tigertally.quorum.card import domain_of, open_card
from tigertally.quorum.chain import first_roster, found
from tigertally.quorum.messages import DomainInfo, FoundReply, FoundRequest, JoinTerms, Nothing
from tigertally.quorum.roster import Roster
from tigertally.storage.store import Reader, Transaction

SETTINGS = "authority"  # plain: one row of settings, one of the PIN's state
_SETTINGS_ROW = b"settings"
_PIN_ROW = b"pin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `tally authority init` decided."""

    card: Envelope
    threshold: int
    unlock: int
    url: str


def put_settings(tx: Transaction, settings: Settings, pin: enrolment.PinState) -> None:
    """Store what init decided, and the PIN's MAC key."""
    tx.put(SETTINGS, _SETTINGS_ROW, encode(settings))
    tx.put(SETTINGS, _PIN_ROW, encode(pin))


def get_settings(reader: Reader) -> Settings:
    """What init decided; `Corrupt` if it is gone or damaged."""
    row = reader.get(SETTINGS, _SETTINGS_ROW)
    if row is None:
        raise Corrupt("this profile has lost its settings")
    try:
        return decode(Settings, row)
    except MalformedMessage as error:
        why = "the settings of this profile are damaged"
        raise Corrupt.of_row(SETTINGS, _SETTINGS_ROW, why) from error


def mend_settings(tx: Transaction, settings: Settings) -> list[tuple[str, bytes]]:
    """Write the settings right, which never change; table and key if they were wrong."""
    right = encode(settings)
    if tx.get(SETTINGS, _SETTINGS_ROW) == right:
        return []
    tx.put(SETTINGS, _SETTINGS_ROW, right)
    return [(SETTINGS, _SETTINGS_ROW)]


def get_pin(reader: Reader) -> enrolment.PinState:
    """How the first holder's PIN stands.

    Raises:
        Corrupt: that cannot be read. It is not a PIN with tries left, nor a used one.
    """
    try:
        return decode(enrolment.PinState, reader.get(SETTINGS, _PIN_ROW) or b"")
    except MalformedMessage as error:
        why = "the state of the PIN is damaged: make a new domain"
        raise Corrupt.of_row(SETTINGS, _PIN_ROW, why) from error


def renew_pin(tx: Transaction, key: SigningKey, *, now: int, randomness: Randomness) -> str:
    """Put a fresh PIN in place of the one that was printed before; the log says so.

    The authority may run meanwhile: it reads the PIN anew at each try.

    Raises:
        Refused: the domain has its first holder, and needs no PIN any more.
    """
    if any(True for _ in tx.scan(ROSTERS, limit=1)):
        raise Refused("this domain has its first holder: others enrol without a PIN")
    settings = get_settings(tx)
    pin = enrolment.make_pin(randomness)
    tx.put(SETTINGS, _PIN_ROW, encode(enrolment.new_pin_state(pin)))
    log = AuditLog(restore.current_origin(tx, domain_of(settings.card)), key)
    log.append(
        tx,
        time=now,
        kind="pin.renewed",
        actor="authority",
        summary="a fresh PIN for the first holder; the one before opens nothing any more",
    )
    return pin


class AdmissionService:
    """Answers those who are not (yet) members."""

    def __init__(
        self,
        found_hook: Callable[[DomainDesk], None],
        progress: Callable[[DomainDesk], tuple[int, int]],
    ) -> None:
        self._found_hook = found_hook
        self._progress = progress

    def domain(self, desk: DomainDesk, _: Nothing, peer: VerifyKey) -> DomainInfo:
        """Tell anybody who the authority is and how it stands."""
        settings = get_settings(desk.plain)
        roster = None if desk.chain is None else desk.chain.current
        have, need = self._progress(desk)
        locked = roster is not None and desk.barrier is None
        forming = roster is None or roster.forming
        return DomainInfo(
            card=settings.card,
            state="locked" if locked else "forming" if forming else "ready",
            roster_version=0 if roster is None else roster.version,
            roster_hash=None if roster is None else roster.hash,
            holders=0 if roster is None else len(roster.holders),
            threshold=settings.threshold if roster is None else roster.threshold,
            unlock=settings.unlock if roster is None else roster.unlock,
            unlock_have=have,
            unlock_need=need,
            restored=restore.pending(desk.plain) is not None,
            checkpoint=desk.log.checkpoint(desk.plain).to_text(),
        )

    def terms(self, desk: DomainDesk, _: Nothing, peer: VerifyKey) -> JoinTerms:
        """What a join must name. Hashes only: strangers learn nothing about the members."""
        roster = desk.roster
        if desk.barrier is None:
            desk.sealed  # noqa: B018  raises Locked, so that nobody asks in vain
        return JoinTerms(domain=roster.domain, electorate=roster.electorate, roster=roster.hash)

    def found(self, desk: DomainDesk, request: FoundRequest, peer: VerifyKey) -> FoundReply:
        """The first holder enrols with the PIN.

        Raises:
            Refused: a wrong PIN (counted and audited), a void one, or there is a founder already.
        """
        if desk.chain is not None:
            return self._again(desk, peer)
        state = get_pin(desk.plain)
        settings = get_settings(desk.plain)
        # Once void, nothing is written any more.
        after = enrolment.check_pin(state, request, settings.card)
        desk.plain.put(SETTINGS, _PIN_ROW, encode(after))
        if after.tries_left < state.tries_left:
            raise self._wrong_pin(desk, peer, after.tries_left)
        self._check(desk, request, settings, peer)
        signed = first_roster(request.roster.body, request.roster, desk.key)
        put_roster(desk.plain, signed)
        desk.chain = found(signed, desk.key.public)
        self._found_hook(desk)
        founder = desk.roster.holders[0]
        desk.record(
            "roster.founded",
            actor=founder.name,
            summary=f"{founder.name} founded the domain with the PIN",
            detail=desk.roster.hash,
        )
        reply = FoundReply(roster=signed, proof=enrolment.reply_proof(state.key, signed))
        desk.plain.put(SETTINGS, b"found-reply", encode(reply))
        return reply

    def _check(
        self, desk: DomainDesk, request: FoundRequest, settings: Settings, peer: VerifyKey
    ) -> None:
        created = decode(Roster, request.roster.body).created
        if abs(created - desk.now) > CLOCK_SKEW:
            raise WrongTime("this device's clock is more than five minutes off the authority's")
        expected = enrolment.found_roster(
            settings.card,
            open_card(request.card),
            threshold=settings.threshold,
            unlock=settings.unlock,
            created=created,
        )
        enrolment.check_founding(request, settings.card, expected)
        if expected.holders[0].signing_key != peer:
            raise Refused("the founder's request came over another device's connection")

    def _again(self, desk: DomainDesk, peer: VerifyKey) -> FoundReply:
        """The founder did not get the answer and asks again: the same answer."""
        stored = desk.plain.get(SETTINGS, b"found-reply")
        if stored is None or desk.roster.holder_of(peer) is None:
            raise Refused("this domain has its first holder: enrol without a PIN")
        return decode(FoundReply, stored)

    def _wrong_pin(self, desk: DomainDesk, peer: VerifyKey, left: int) -> KeepChanges:
        said = f"wrong PIN, {left} tries left" if left else "wrong PIN, the PIN is now void"
        desk.record("pin.wrong", actor=f"stranger {str(peer.fingerprint)[:9]}", summary=said)
        void = f"; the PIN is now void: {enrolment.FRESH_PIN}"
        return KeepChanges(Refused(f"wrong PIN, {left} tries left{'' if left else void}"))
