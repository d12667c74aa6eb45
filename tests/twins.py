"""Two releases by one requester whose ids begin alike: a birthday over nonces.

2^16 nonces for each of the two make 2^32 pairs, and eight digits have 2^32 values: a second's work,
whatever the two ask for. So an attacker has it for any harmless request.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace

from tigertally.algebra import tags
from tigertally.algebra.transcript import framed
from tigertally.base.codec import encode
from tigertally.base.ids import Name, Nonce, Text
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages.kinds import RELEASE, Form, Release
from tigertally.quorum.proposal import Proposal, proposal_id, sign_proposal
from tigertally.quorum.roster import Roster

DIGITS = 8
_BATCH = 1 << 16


def release_of(
    key: SigningKey,
    wrapping_key: PrivateKey,
    roster: Roster,
    *,
    now: int,
    lifetime: int = 3600,
    form: Form = Form.FINAL,
    reason: str = "restore test",
) -> Proposal:
    """A release of `payroll`, not yet signed."""
    body = Release(
        key=Name("payroll"),
        version=1,
        reason=Text(reason),
        form=form,
        wrapping_key=wrapping_key.public,
    )
    return Proposal(
        kind=RELEASE,
        body=body.to_body(),
        domain=roster.domain,
        electorate=roster.electorate,
        predecessor=None,
        nonce=Nonce(bytes(32)),
        proposer=key.public,
        created=now,
        expires=now + lifetime,
    )


def twins(
    key: SigningKey, one: Proposal, other: Proposal, *, seed: int = 7
) -> tuple[Envelope, Envelope]:
    """Both signed, with nonces for which their ids share the first eight digits."""
    randomness = random.Random(seed)
    seen: dict[bytes, bytes] = {}
    while True:
        seen |= dict(_ids(one, randomness))
        for start, nonce in _ids(other, randomness):
            if start in seen:
                made = (
                    sign_proposal(key, replace(one, nonce=Nonce(seen[start]))),
                    sign_proposal(key, replace(other, nonce=Nonce(nonce))),
                )
                first, second = (str(proposal_id(envelope)) for envelope in made)
                assert first != second
                assert first[:DIGITS] == second[:DIGITS]
                return made


def _ids(proposal: Proposal, randomness: random.Random) -> Iterator[tuple[bytes, bytes]]:
    """How the ids of a batch begin, with the nonce of each."""
    mark = b"<- the thirty-two bytes of nonce"
    framing = tags.PROPOSAL_ID + framed(encode(replace(proposal, nonce=Nonce(mark))))
    before, _, behind = framing.partition(mark)
    begun = hashlib.sha256(before)
    for _ in range(_BATCH):
        nonce = randomness.randbytes(32)
        hashed = begun.copy()
        hashed.update(nonce + behind)
        yield hashed.digest()[: DIGITS // 2], nonce
