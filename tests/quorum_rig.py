"""Pure pieces of a domain for tests: cards, rosters, proposals, verdicts, tallies; no network.

Everything is drawn from names, so that the same name is the same key in every test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from tigertally.base.ids import Hash, HolderIndex, Name, Nonce, RosterHash, Text
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.quorum import changes
from tigertally.quorum.approval import Approval, Verdict, sign_approval
from tigertally.quorum.card import Role, open_card, sign_card
from tigertally.quorum.chain import Chain, first_roster, found, next_roster
from tigertally.quorum.enrolment import found_request, found_roster
from tigertally.quorum.proposal import Proposal, options_body, proposal_id, sign_proposal
from tigertally.quorum.roster import Holder, Requester, Roster, SignedRoster
from tigertally.quorum.tally import Tally

NOW = 1_800_000_000
LATER = NOW + 3600
PLAIN = Name("test.plain")  # a kind that changes no roster


@dataclass(frozen=True, kw_only=True)
class Who:
    """A party's name and keys."""

    name: str
    key: SigningKey
    wrapping_key: PrivateKey

    def card(self, role: Role = Role.HOLDER) -> Envelope:
        return sign_card(self.key, self.wrapping_key.public, name=Name(self.name), role=role)

    def as_holder(self, index: int) -> Holder:
        return Holder(
            index=HolderIndex(index),
            name=Name(self.name),
            signing_key=self.key.public,
            wrapping_key=self.wrapping_key.public,
        )

    def as_requester(self) -> Requester:
        return Requester(
            name=Name(self.name),
            signing_key=self.key.public,
            wrapping_key=self.wrapping_key.public,
        )


@cache
def who(name: str) -> Who:
    """The party of this name."""
    randomness = SeededRandomness(f"who/{name}")
    return Who(
        name=name,
        key=SigningKey.generate(randomness),
        wrapping_key=PrivateKey.generate(randomness),
    )


AUTHORITY = who("authority")
AUTHORITY_CARD = AUTHORITY.card(Role.AUTHORITY)


def founding(threshold: int = 2, unlock: int = 1) -> Roster:
    """Version 1, whose founder is h1."""
    return found_roster(
        AUTHORITY_CARD,
        open_card(who("h1").card()),
        threshold=threshold,
        unlock=unlock,
        created=NOW,
    )


def roster(holders: int = 3, threshold: int = 2, requesters: tuple[str, ...] = ("app",)) -> Roster:
    """Some version with h1 … h`holders`, as if they had come one by one."""
    return replace(
        founding(threshold),
        version=holders + 1,
        previous=RosterHash(bytes(32)),
        holders=tuple(who(f"h{i}").as_holder(i) for i in range(1, holders + 1)),
        requesters=tuple(who(name).as_requester() for name in requesters),
        next_index=holders + 1,
    )


def signed_founding(threshold: int = 2, *, key: SigningKey = AUTHORITY.key) -> SignedRoster:
    """Version 1, signed by both."""
    founder = who("h1")
    request = found_request(
        founder.key, founder.card(), founding(threshold), AUTHORITY_CARD, "a pin"
    )
    return first_roster(request.roster.body, request.roster, key)


def proposal(
    at: Roster,
    *,
    by: str = "h1",
    kind: str = PLAIN,
    body: bytes = b"\xa0",
    nonce: int = 0,
    created: int = NOW,
    expires: int = LATER,
) -> Proposal:
    """A proposal to the holders of this roster."""
    return Proposal(
        kind=Name(kind),
        body=body,
        domain=at.domain,
        electorate=at.electorate,
        predecessor=at.hash if kind in changes.KINDS else None,
        nonce=Nonce(nonce.to_bytes(32, "big")),
        proposer=who(by).key.public,
        created=created,
        expires=expires,
    )


def proposed(at: Roster, *, by: str = "h1", **rest: object) -> Envelope:
    """A signed proposal."""
    return sign_proposal(who(by).key, proposal(at, by=by, **rest))  # type: ignore[arg-type]


def join(at: Roster, name: str, *, nonce: int = 0, role: Role = Role.HOLDER) -> Envelope:
    """A signed proposal of a joiner."""
    kind = changes.JOIN if role is Role.HOLDER else changes.REQUESTER_JOIN
    body = changes.join_body(who(name).card(role))
    return proposed(at, by=name, kind=kind, body=body, nonce=nonce)


def remove(at: Roster, name: str, *, by: str = "h1", kind: str = changes.REMOVE) -> Envelope:
    """A signed proposal to remove a member."""
    return proposed(at, by=by, kind=kind, body=options_body(name=name))


def set_quorum(at: Roster, threshold: int, unlock: int = 1) -> Envelope:
    """A signed proposal to change the quorum."""
    body = options_body(threshold=threshold, unlock=unlock)
    return proposed(at, kind=changes.QUORUM, body=body)


def verdict(
    envelope: Envelope,
    at: Roster,
    index: int,
    *,
    says: Verdict = Verdict.APPROVE,
    time: int = NOW + 1,
    key: SigningKey | None = None,
    checkpoint: str = "",
    attachment: Hash | None = None,
    reason: str = "",
) -> Envelope:
    """A signed verdict of holder h`index`."""
    approval = Approval(
        proposal=proposal_id(envelope),
        verdict=says,
        roster=at.hash,
        holder=HolderIndex(index),
        checkpoint=checkpoint,
        attachment=attachment,
        reason=Text(reason),
        time=time,
    )
    return sign_approval(key or who(f"h{index}").key, approval)


def no(envelope: Envelope, at: Roster, index: int) -> Envelope:
    """A signed rejection."""
    return verdict(envelope, at, index, says=Verdict.REJECT)


def tally(envelope: Envelope, at: Roster, *indices: int) -> Tally:
    """A proposal with these holders' approvals."""
    approvals = tuple(verdict(envelope, at, index) for index in indices)
    return Tally(proposal=envelope, approvals=approvals)


def grown(
    chain: Chain,
    envelope: Envelope,
    *indices: int,
    created: int = NOW + 2,
    key: SigningKey = AUTHORITY.key,
) -> Chain:
    """The chain after an approved change."""
    counted = tally(envelope, chain.current, *indices)
    return chain.extended((next_roster(chain.current, counted, key, now=created),))


def chain_of(holders: int, threshold: int = 2) -> Chain:
    """A verified chain with h1 … h`holders`."""
    chain = found(signed_founding(threshold), AUTHORITY.key.public)
    for index in range(2, holders + 1):
        want = range(1, min(index - 1, threshold) + 1)
        chain = grown(chain, join(chain.current, f"h{index}"), *want)
    return chain


def flipped(raw: bytes, at: int = -1) -> bytes:
    """The bytes with one bit changed."""
    out = bytearray(raw)
    out[at] ^= 1
    return bytes(out)
