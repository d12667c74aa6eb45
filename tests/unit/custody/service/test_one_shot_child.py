"""The one-shot child, inside this process; as a process of its own: integration."""

from __future__ import annotations

from dataclasses import replace

import pytest

from custody_small import KEY, NOW, small
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, Unavailable
from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.envelope import sign_message
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import AUTHORITY, Certificate, DealingPackage
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.protocol.dealing import dealing_of
from tigertally.custody.protocol.receiver import Stored, receive_opening
from tigertally.custody.protocol.release import wrap_fragment
from tigertally.custody.service import child
from tigertally.quorum.proposal import proposal_id

SMALL = small()


def bundles() -> tuple[object, ...]:
    found = []
    for name in SMALL.rig.holders():
        with SMALL.rig.devices[name].store.reading() as reader:
            newest = device_rows.newest_bundle(reader)
        assert newest is not None
        found.append(newest[0])
    return tuple(found)


@pytest.mark.requirement("C4")
def test_what_the_child_deals_it_can_rebuild_for_the_requester() -> None:
    tally, verified, body = SMALL.create(suite=Suite.SHAMIR_GF256)
    what = SMALL.occasion(verified, body)
    job = child.DealJob(occasion=what, receive_keys=bundles(), roster=SMALL.roster)
    dealt = child._deal(job)
    dealing = dealing_of(what, AUTHORITY, dealt.commitments, dealt.slots)
    package = DealingPackage(
        dealing=sign_message(SMALL.rig.key, tags.DEALING, dealing), pieces=dealt.pieces
    )
    request, release = SMALL.release()
    id_ = proposal_id(request.proposal)
    fresh = PrivateKey.generate(SeededRandomness("fresh"))
    fragments = []
    for holder in (1, 2, 4):
        outcome = receive_opening(
            SMALL.opening(tally, [package], holder),
            SMALL.chain,
            HolderIndex(holder),
            seed_for=SMALL.seed_for(holder),
            known=lambda ref: (),
            key=SMALL.key(holder),
            now=NOW,
        )
        assert isinstance(outcome, Stored)
        held = replace(
            outcome.held,
            certificate=Certificate(statement=outcome.held.statement, acknowledgements=()),
        )
        fragments.append(
            wrap_fragment(
                held,
                release,
                id_,
                target=fresh.public,
                me=HolderIndex(holder),
                key=SMALL.key(holder),
            )
        )
    rebuild = child.RebuildJob(
        seed=fresh.seed.to_secret_bytes(),
        fragments=tuple(fragments),
        statement=held.statement,
        key=KEY,
        proposal=id_,
        roster=SMALL.roster,
        requester=release.wrapping_key,
    )
    assert decode(child.RebuildJob, encode(rebuild)) == rebuild
    assert repr(rebuild) == f"RebuildJob({KEY})"
    assert repr(decode(child._Packed, child.packed(rebuild))) == "_Packed(sort='RebuildJob')"
    done = child._rebuild(rebuild)
    assert done.wrapped is not None
    assert done.faulty == ()
    junk = replace(rebuild, fragments=tuple(fragments[:2]))
    assert child._rebuild(junk) == child.RebuiltKey(wrapped=None, faulty=())
    wrong = replace(rebuild, seed=PrivateKey.generate(SeededRandomness("x")).seed.to_secret_bytes())
    assert child._rebuild(wrong).wrapped is None


def test_a_holder_without_receive_keys_stops_the_dealing() -> None:
    _, verified, body = SMALL.create(suite=Suite.SHAMIR_GF256)
    what = SMALL.occasion(verified, body)
    job = child.DealJob(occasion=what, receive_keys=bundles()[:3], roster=SMALL.roster)
    with pytest.raises(Unavailable):
        child._deal(job)


def test_jobs_are_messages_that_say_their_sort() -> None:
    _, verified, body = SMALL.create(suite=Suite.SHAMIR_GF256)
    what = SMALL.occasion(verified, body)
    job = child.DealJob(occasion=what, receive_keys=bundles(), roster=SMALL.roster)
    assert child.unpacked(child.packed(job)) == job
    for raw in (b"rubbish", encode(job), child.packed(job).replace(b"DealJob", b"NoneJob")):
        with pytest.raises(MalformedMessage):
            child.unpacked(raw)
