"""Audit entries as files: they prove what they say, and no changed byte goes through."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from domain_rig import DomainRig
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import Fingerprint
from tigertally.quorum.proof import AuditProof, verify_proof

pytestmark = pytest.mark.requirement("X5")


def formed() -> tuple[DomainRig, Fingerprint]:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll")
        await rig.release("app", "payroll", by=["h3", "h2"])

    rig.run(day())
    return rig, rig.key.public.fingerprint


def proof_of(rig: DomainRig, first: int, count: int = 1) -> bytes:
    async def prove() -> bytes:
        return await rig.audit("h1").prove(first, count)

    return rig.run(prove())


def test_every_entry_is_proven_with_the_holders_that_vouch_for_it() -> None:
    rig, authority = formed()
    whole = verify_proof(proof_of(rig, 0, 1000), authority)
    assert [one.entry.index for one in whole.entries] == list(range(whole.checkpoint.size))
    assert whole.entries[1].cosigned_by == ("h1", "h2", "h3")
    assert whole.entries[-1].cosigned_by == (), "nobody has been shown that yet"
    vouchers = [len(one.cosigned_by) for one in whole.entries]
    assert vouchers == sorted(vouchers, reverse=True)
    one = verify_proof(proof_of(rig, 5), authority)
    assert [v.entry for v in one.entries] == [whole.entries[5].entry]
    assert one.entries[0].cosigned_by == whole.entries[5].cosigned_by
    with pytest.raises(Refused, match="entries 0 to"):
        proof_of(rig, whole.checkpoint.size + 10)


def test_a_locked_authority_proves_without_its_holders() -> None:
    rig, authority = formed()
    rig.start_authority()
    proven = verify_proof(proof_of(rig, 3), authority)
    assert proven.entries[0].cosigned_by == ()


def test_no_changed_byte_and_no_changed_part_goes_through() -> None:
    rig, authority = formed()
    raw = proof_of(rig, 7, 2)
    chance = random.Random(7)
    for place in {*chance.sample(range(len(raw)), 120), 0, len(raw) - 1}:
        changed = bytearray(raw)
        changed[place] ^= 1 << chance.randrange(8)
        with pytest.raises((MalformedMessage, PeerFault)):
            verify_proof(bytes(changed), authority)
    for cut in (raw[:-1], raw + b"\x00", b""):
        with pytest.raises(MalformedMessage):
            verify_proof(cut, authority)
    with pytest.raises(InvalidSignature, match="another authority"):
        verify_proof(raw, Fingerprint(bytes(32)))

    proof = decode(AuditProof, raw)
    one, two = proof.entries
    stranger = SignedCheckpoint.from_text(proof.checkpoint)
    wrong = (
        replace(proof, entries=(two, one)),
        replace(proof, entries=(one, one)),
        replace(proof, entries=()),
        replace(proof, entries=(replace(one, path=two.path), two)),
        replace(proof, rosters=proof.rosters[1:]),
        replace(proof, rosters=proof.rosters[:2]),
        replace(proof, rosters=()),
        replace(proof, rosters=(*proof.rosters, proof.rosters[-1])),
        replace(proof, cosigned=(proof.cosigned[0], proof.cosigned[0])),
        replace(proof, cosigned=(replace(proof.cosigned[0], path=()),)),
        replace(
            proof,
            checkpoint=replace(
                stranger, checkpoint=replace(stranger.checkpoint, origin="tigertally/00")
            ).to_text(),
        ),
    )
    for number, changed_proof in enumerate(wrong):
        with pytest.raises((MalformedMessage, PeerFault)):
            verify_proof(encode(changed_proof), authority)
            raise AssertionError(number)
