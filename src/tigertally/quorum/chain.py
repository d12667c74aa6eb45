"""The chain of rosters: every version proven by the one before. No I/O.

Whoever holds a verified chain can verify any tally of any of its versions offline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    MalformedMessage,
    NewerVersion,
    PeerFault,
    Refused,
    Unavailable,
    UsageError,
)
from tigertally.base.ids import Hash, RosterHash
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import SigningKey, VerifyKey
from tigertally.quorum.approval import Approval
from tigertally.quorum.changes import apply_change, check_known
from tigertally.quorum.proposal import Proposal, open_proposal
from tigertally.quorum.roster import Roster, SignedRoster, verify_founding
from tigertally.quorum.tally import Tally, check_live, verify_any_tally, verify_tally
from tigertally.quorum.words import quoted


class UnknownRoster(Refused):
    """Something is of a roster that this chain has not: a newer one, or one of another chain."""


@dataclass(frozen=True)  # no slots: the names are kept once computed
class Chain:
    """Verified rosters, oldest first. Make one with `found`, lengthen it with `extended`."""

    rosters: tuple[Roster, ...]
    signed: tuple[SignedRoster, ...]

    @property
    def current(self) -> Roster:
        """The newest roster."""
        return self.rosters[-1]

    @cached_property
    def names(self) -> Mapping[VerifyKey, str]:
        """The name of every key that any version lists, those of removed members too."""
        return {one.signing_key: str(one.name) for old in self.rosters for one in old.members}

    def at(self, wanted: RosterHash) -> Roster:
        """The roster with this hash; `UnknownRoster` if it is not in the chain."""
        for roster in reversed(self.rosters):
            if roster.hash == wanted:
                return roster
        raise UnknownRoster("that roster is not in the chain we know")

    def with_electorate(self, electorate: Hash) -> Roster:
        """The newest roster put to these holders; `UnknownRoster` if there is none."""
        for roster in reversed(self.rosters):
            if roster.electorate == electorate:
                return roster
        raise UnknownRoster("no roster we know has these holders and this quorum")

    def changed_since(self, electorate: Hash) -> bool:
        """Have these holders or their quorum ever changed, be it for a while only?"""
        known = False
        for roster in self.rosters:
            if known and roster.electorate != electorate:
                return True
            known = known or roster.electorate == electorate
        return False

    def for_proposal(self, proposal: Proposal) -> Roster:
        """The roster a proposal was put to, for checking it as history."""
        if proposal.predecessor is not None:
            return self.at(proposal.predecessor)
        return self.with_electorate(proposal.electorate)

    def check_cast(self, approval: Approval, proposal: Proposal) -> None:
        """Was this verdict given by somebody who saw a roster that we know?

        A holder that was shown another chain names a roster that is not in ours.

        Raises:
            Refused: the roster it names is not one that this proposal was put to.
        """
        if self.at(approval.roster).electorate != proposal.electorate:
            raise Refused("the verdict was given under other holders or another quorum")
        if proposal.predecessor not in (None, approval.roster):
            raise Refused("the verdict was given under another roster than the change follows")

    def check_names(self, new: Roster) -> None:
        """A requester's name stays its own: what was approved for it passes to nobody else.

        Raises:
            Refused: the roster gives the name of an earlier requester to another device.
        """
        owners = {r.name: r.signing_key for old in self.rosters for r in old.requesters}
        for requester in new.requesters:
            if owners.get(requester.name, requester.signing_key) != requester.signing_key:
                raise Refused(
                    f"another requester was called {requester.name} before, and keys may have been "
                    "made for it: choose another name"
                )

    def check_new_names(self, new: Roster) -> None:
        """A change that is asked for today gives nobody a name that was ever another's.

        The log, old tallies and people's memories name members by it. Rosters of before may have
        done so, and stay valid: this is for new proposals, `check_names` for all history.

        Raises:
            Refused: a member of the new roster has the name of an earlier one with another key.
        """
        self.check_names(new)
        owners = {m.name: m.signing_key for old in self.rosters for m in old.members}
        now = {member.name for member in self.current.members}
        for member in new.members:
            if member.name not in now and owners.get(member.name) not in (None, member.signing_key):
                raise Refused(
                    f"another member was called {member.name} before: choose another name"
                )

    def after(self, version: int) -> tuple[SignedRoster, ...]:
        """The signed rosters that somebody at `version` lacks."""
        return self.signed[version:]

    def extended(self, newer: Iterable[SignedRoster]) -> Chain:
        """The chain with later versions added, each verified.

        Versions we already have must be the very bytes we have: two rosters of one version
        signed by the authority convict it.

        Raises:
            MalformedMessage, InvalidSignature, Refused
            PeerFault: the authority forked the chain (sure), or a version does not follow.
        """
        chain = self
        for signed in newer:
            version = signed.parse().version
            if version <= len(chain.rosters):
                chain._check_same(signed, version)
                continue
            roster = verify_successor(chain.current, signed)
            chain.check_names(roster)
            chain = Chain((*chain.rosters, roster), (*chain.signed, signed))
        return chain

    def _check_same(self, signed: SignedRoster, version: int) -> None:
        if version < 1 or signed.body == self.signed[version - 1].body:
            return
        authority = self.rosters[version - 1].authority.signing_key
        authority.verify(tags.ROSTER, signed.body, signed.authority_signature, signer="authority")
        raise PeerFault(
            f"the authority signed two different rosters of version {version}",
            culprits=("authority",),
            sure=True,
        )

    def to_bytes(self) -> bytes:
        """The signed rosters: what `tally roster export` writes."""
        return encode(RosterFile(rosters=self.signed))


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterFile:
    """A chain as a file: anyone can verify it from the authority's fingerprint on."""

    rosters: tuple[SignedRoster, ...]


def found(first: SignedRoster, authority: VerifyKey) -> Chain:
    """Begin a chain at version 1, under the authority's pinned key."""
    return Chain((verify_founding(first, authority),), (first,))


def verify_chain(rosters: Iterable[SignedRoster], authority: VerifyKey) -> Chain:
    """Verify a whole chain from version 1.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault, Refused
    """
    first, *rest = rosters or (None,)
    if first is None:
        raise UsageError("an empty roster chain proves nothing")
    return found(first, authority).extended(rest)


def parse_chain(raw: bytes, authority: VerifyKey | None = None) -> Chain:
    """Read an exported chain; with no key given, under the authority it names itself."""
    rosters = decode(RosterFile, raw).rosters
    if not rosters:
        raise MalformedMessage("an empty roster chain proves nothing")
    return verify_chain(rosters, authority or rosters[0].parse().authority.signing_key)


def verify_successor(old: Roster, signed: SignedRoster) -> Roster:
    """Check that a roster follows from `old` by a tally of its holders.

    Raises:
        MalformedMessage, InvalidSignature
        PeerFault: the roster does not follow; sure where the authority signed another past.
        Unavailable: it follows by a change that only a newer version of the program knows.
    """
    new = signed.parse()
    authority = old.authority.signing_key
    if new.version != old.version + 1:
        raise PeerFault("a roster version is missing", culprits=("authority",))
    authority.verify(tags.ROSTER, signed.body, signed.authority_signature, signer="authority")
    if new.previous != old.hash:
        raise PeerFault(
            f"the authority signed a roster that follows another version {old.version}",
            culprits=("authority",),
            sure=True,
        )
    try:
        follows = _followed_by(old, decode(Tally, signed.tally), created=new.created)
    except NewerVersion as error:  # nobody's fault: a newer program can follow it
        raise Unavailable(
            f"roster version {new.version} was made by a newer version of the program: upgrade "
            f"this device; not understood: {quoted(str(error))}"
        ) from error
    except Refused as error:
        raise PeerFault(
            f"the tally beside roster version {new.version} does not prove it: {error}",
            culprits=("authority",),
        ) from error
    if follows != new:
        # Not sure: the tally is not under the authority's signature, so somebody who passed the
        # roster on may have put another one beside it.
        raise PeerFault(
            "the roster is not what the tally beside it approved", culprits=("authority",)
        )
    return new


def _followed_by(old: Roster, tally: Tally, *, created: int) -> Roster:
    """The roster that a tally makes of the one before.

    Raises:
        MalformedMessage, InvalidSignature
        Refused: the tally is no quorum of `old`, or its change is not possible.
        NewerVersion: it is a quorum's, as far as can be seen, for a change that is not known here.
    """
    try:
        check_known(open_proposal(tally.proposal))
        verified = verify_tally(tally, old)
    except NewerVersion:  # no excuse for what no quorum has approved: that, every version knows
        check_live(verify_any_tally(tally, old), now=created)
        raise
    check_live(verified, now=created)
    return apply_change(old, verified.proposal, created=created)


def next_roster(old: Roster, tally: Tally, key: SigningKey, *, now: int) -> SignedRoster:
    """The authority's part: carry out an approved change and sign the result.

    Raises:
        Refused: the tally is no quorum of `old`, it has expired, or the change is not possible.
    """
    verified = verify_tally(tally, old)
    check_live(verified, now=now)
    body = encode(apply_change(old, verified.proposal, created=now))
    return SignedRoster(
        body=body,
        authority_signature=key.sign(tags.ROSTER, body),
        founder_signature=None,
        tally=encode(tally),
    )


def first_roster(body: bytes, founder: Envelope, key: SigningKey) -> SignedRoster:
    """The authority's part of version 1: countersign what the founder signed."""
    return SignedRoster(
        body=body,
        authority_signature=key.sign(tags.ROSTER, body),
        founder_signature=founder.signature,
        tally=b"",
    )
