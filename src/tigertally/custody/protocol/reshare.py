"""Sharing keys anew after a change of the roster, without assembling them (X3). No I/O.

The change's tally and signed roster come first; then donors, who hold the live epoch, deal their
own fragments to the new holders. As many dealings as the old threshold open the new epoch,
whichever come first. Steps numbered as in `docs/protocols/custody-reshare.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tigertally.base.codec import decode
from tigertally.base.errors import MalformedMessage, PeerFault, Refused
from tigertally.base.ids import HolderIndex, ProposalId, RosterHash
from tigertally.base.randomness import Randomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.custody.messages.base_key import BaseKey, base_hash
from tigertally.custody.messages.dealing import AUTHORITY, Dealing, Opening, Statement
from tigertally.custody.messages.kinds import KeyRef, Suite
from tigertally.custody.messages.sync import DealRequest
from tigertally.custody.protocol.dealing import (
    Occasion,
    Sharing,
    check_shown,
    dealer_name,
    join_sharings,
)
from tigertally.custody.protocol.epochs import statement_shown
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.chain import Chain
from tigertally.quorum.changes import acks_of_change
from tigertally.quorum.proposal import Proposal, proposal_id
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally

LiveEpoch = Callable[[KeyRef], HeldEpoch | None]
"""A key -> the newest certified epoch of it on this device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the roster, as the verified chain has it."""

    old: Roster
    new: Roster
    tally: Tally
    id: ProposalId
    acks: int


def change_at(chain: Chain, roster: RosterHash) -> Change:
    """(1) Return the change that made this roster; its tally was verified when the chain was.

    Raises:
        Refused: no such roster, or no change of the holders or the quorum made it.
    """
    new = chain.at(roster)
    if new.previous is None:
        raise Refused("the first roster changes nothing")
    old = chain.at(new.previous)
    if old.electorate == new.electorate:
        raise Refused("that roster has the same holders and quorum as the one before")
    tally = decode(Tally, chain.signed[new.version - 1].tally)
    proposal = decode(Proposal, tally.proposal.body)
    return Change(
        old=old,
        new=new,
        tally=tally,
        id=proposal_id(tally.proposal),
        acks=acks_of_change(proposal, new),
    )


def latest_change(chain: Chain) -> Change:
    """Return the change that made the present holders and quorum.

    Raises:
        Refused: they are still the founder alone.
    """
    roster = chain.current
    while roster.previous is not None:
        before = chain.at(roster.previous)
        if before.electorate != roster.electorate:
            return change_at(chain, roster.hash)
        roster = before
    raise Refused("nothing has changed since the domain was founded")


def occasion_of_reshare(
    change: Change, base: tuple[BaseKey, ...], suite: Suite, attempt: int
) -> Occasion:
    """(2) Return what a dealing must be for."""
    refs = tuple(one.ref for one in base)
    if not refs or list(refs) != sorted(set(refs)):
        raise MalformedMessage("the keys of a reshare are distinct and in order")
    return Occasion(
        domain=change.new.domain,
        proposal=change.id,
        attempt=attempt,
        suite=suite,
        threshold=change.new.threshold,
        base=base_hash(base),
        keys=refs,
        receivers=tuple(holder.index for holder in change.new.holders),
    )


def donors_needed(base: tuple[BaseKey, ...], suite: Suite) -> int:
    """Return how many donors: the old threshold, which all keys of one reshare have in common."""
    thresholds = {SUITES[suite].threshold_of(one.commitments) for one in base}
    if len(thresholds) != 1:
        raise MalformedMessage("the keys of one reshare have one threshold")
    return thresholds.pop()


def check_reshare_request(
    asked: DealRequest, chain: Chain, me: HolderIndex, live: LiveEpoch
) -> Occasion:
    """(3) Check what a donor is asked: the roster is signed, lists it, and it holds these epochs.

    Raises:
        MalformedMessage
        Refused: it is nothing that this device can or may share.
        PeerFault: the authority names other commitments or terms than this device holds.
    """
    change = change_at(chain, asked.roster)
    if chain.current.electorate != change.new.electorate:
        raise Refused("the roster has changed again since")
    suites = set()
    for one in asked.base:
        held = live(one.ref)
        statement = None if held is None else held.parsed()
        if statement is None or statement.hash != one.epoch:
            raise Refused(f"this device does not hold the live epoch of {one.ref}")
        if statement.roster_version >= change.new.version:
            raise Refused(f"{one.ref} is shared among these holders already")
        if statement.commitments_of(one.ref) != one.commitments:
            raise PeerFault(
                "the authority names other commitments than holders have", culprits=("authority",)
            )
        suites.add(statement.suite)
    if len(suites) != 1:
        raise MalformedMessage("the keys of one reshare are of one suite")
    suite = suites.pop()
    if not _eligible(change, me):
        raise Refused("this device is not a donor of that change")
    return occasion_of_reshare(change, asked.base, suite, asked.attempt)


def share_again(
    occasion: Occasion,
    base: tuple[BaseKey, ...],
    me: HolderIndex,
    live: LiveEpoch,
    randomness: Randomness,
) -> Sharing:
    """(4) Deal a donor's own fragments to the new holders, with fresh polynomials."""
    rules = SUITES[occasion.suite]

    def one_key(one: BaseKey) -> tuple[bytes, dict[HolderIndex, Secret]]:
        held = live(one.ref)
        if held is None:
            raise Refused(f"this device does not hold {one.ref}")
        with Secret(held.payload_of(one.ref)) as payload:
            return rules.deal_again(
                payload,
                index=me,
                commitments=one.commitments,
                threshold=occasion.threshold,
                receivers=occasion.receivers,
                randomness=randomness,
            )

    return join_sharings(occasion, (one_key(one) for one in base))


def check_donation(dealing: Dealing, base: tuple[BaseKey, ...], roster: Roster) -> None:
    """(5) Check that a donor dealt the very fragments that the live epochs gave it. Anyone can.

    A receiver asks only when what the donors dealt does not add up to the key: errors that cancel
    each other out have changed nothing.

    Raises:
        PeerFault: it dealt something else (named, sure: it signed base and commitments).
    """
    rules = SUITES[dealing.suite]
    name = dealer_name(roster, dealing.dealer)
    for one, dealt in zip(base, dealing.commitments, strict=True):
        try:
            rules.check_donor(one.commitments, dealing.dealer, dealt)
        except PeerFault as error:
            raise PeerFault(
                f"{name} dealt another fragment of {one.ref} than it holds",
                culprits=(name,),
                sure=True,
            ) from error


def check_reshare_opening(
    opening: Opening, chain: Chain, known: Callable[[KeyRef], Sequence[HeldEpoch]]
) -> tuple[Statement, Occasion, list[Dealing]]:
    """(6) Check, as a receiver, all of the new epoch that does not need our own pieces.

    A joiner takes the old commitments because each of m donors has signed them (in the hash
    `base`); whoever holds an epoch of a key also checks that it is still the same key. But an
    attempt to make the key that was never certified binds nobody: a later one may have come of it.

    Args:
        known: every epoch of a key on this device.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: this device has replaced that epoch already.
        PeerFault: a donor or the authority put together something else.
    """
    change = change_at(chain, opening.roster)
    suite = _suite_of(opening.dealings)
    occasion = occasion_of_reshare(change, opening.base, suite, opening.attempt)
    pairs = [(e, check_shown(e, occasion, change.new)) for e in opening.dealings]
    dealings = [dealing for _, dealing in pairs]
    _check_donors(change, opening.base, suite, [dealing.dealer for dealing in dealings])
    statement = statement_shown(occasion, pairs, roster=change.new, acks=change.acks)
    key_of = SUITES[suite].key_of
    for one, commitments in zip(opening.base, statement.commitments, strict=True):
        if key_of(one.commitments) != key_of(commitments):  # the sum is wrong: who lied?
            for dealing in dealings:
                check_donation(dealing, opening.base, change.new)
        for held in known(one.ref):
            # Made in an attempt that was never certified: no epoch has to be the same key as that.
            made = held.certificate is None and held.parsed().base is None
            if not made and not same_key(held.parsed(), statement, one.ref):
                raise PeerFault(f"the reshare would change {one.ref}", culprits=("authority",))
    return statement, occasion, dealings


def check_not_behind(keys: Iterable[KeyRef], order: tuple[int, int], held: LiveEpoch) -> None:
    """Check that these keys have no certified epoch on this device that is as new as this one.

    The device has erased its fragments of earlier epochs; a relay that shows their openings again
    must bring none of them back.

    Raises:
        Refused: this epoch is not newer than the certified one on this device.
    """
    for ref in keys:
        live = held(ref)
        if live is not None and live.parsed().order >= order:
            raise Refused(f"this device holds a newer epoch of {ref} already")


def same_key(one: Statement, other: Statement, ref: KeyRef) -> bool:
    """Say whether two epochs of one name are epochs of one key."""
    rules = SUITES[one.suite]
    return one.suite is other.suite and (
        rules.key_of(one.commitments_of(ref)) == rules.key_of(other.commitments_of(ref))
    )


def _suite_of(dealings: Sequence[Envelope]) -> Suite:
    return decode(Dealing, dealings[0].body).suite


def _check_donors(
    change: Change, base: tuple[BaseKey, ...], suite: Suite, donors: list[int]
) -> None:
    if suite.authority_deals:
        right = donors == [AUTHORITY]
    else:
        right = (
            donors == sorted(set(donors))
            and len(donors) == donors_needed(base, suite)
            and all(_eligible(change, donor) for donor in donors)
        )
    if not right:
        raise PeerFault(
            "the authority opened an epoch with the wrong donors", culprits=("authority",)
        )


def _eligible(change: Change, donor: int) -> bool:
    """Say whether this donor was a holder before the change and still is."""
    before = {holder.index for holder in change.old.holders}
    return donor in before and any(holder.index == donor for holder in change.new.holders)
