"""What members read: all of it verifies, strangers get none of it (C13)."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Locked, Refused
from tigertally.base.ids import Name
from tigertally.crypto.merkle import verify_consistency
from tigertally.custody.messages.kinds import Form, KeyRef
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.chain import verify_chain
from tigertally.quorum.messages import (
    AuditReply,
    AuditRequest,
    RostersReply,
    RostersRequest,
    SyncReply,
    SyncRequest,
    TalliesReply,
    TalliesRequest,
)

pytestmark = [pytest.mark.requirement("C13"), pytest.mark.requirement("X5")]


@pytest.fixture
def rig():
    rig = DomainRig()

    async def day():
        await rig.form(3)
        await rig.requester("app")
        await rig.requester("web")
        rig.device("mallory", Role.REQUESTER)

    rig.run(day())
    return rig


def call(rig, name, path, request, kind):
    channel = rig.devices[name].party.channel
    return decode(kind, rig.run(channel.call(path, encode(request))))


def test_rosters_from_any_version_on(rig):
    for after in (0, 2, 5, 99):
        got = call(rig, "app", messages.ROSTERS, RostersRequest(after=after), RostersReply)
        assert len(got.rosters) == max(0, 5 - after)
    whole = call(rig, "h1", messages.ROSTERS, RostersRequest(after=0), RostersReply)
    assert verify_chain(whole.rosters, rig.key.public) == rig.authority.chain


READS = {
    messages.ROSTERS: RostersRequest(after=0),
    messages.SYNC: SyncRequest(roster_version=0, checkpoint_size=0),
    messages.TALLIES: TalliesRequest(since=0, limit=10),
    messages.AUDIT: AuditRequest(since=0, limit=10, prove=()),
}


@pytest.mark.parametrize("path", READS)
def test_strangers_read_nothing(rig, path):
    before = dump(rig.disk)
    with pytest.raises(Refused, match="not a member"):
        call(rig, "mallory", path, READS[path], object)
    assert dump(rig.disk) == before


@pytest.mark.requirement("C6")
def test_while_locked_the_rosters_and_the_log_can_be_read(rig):
    rig.start_authority()
    call(rig, "h1", messages.ROSTERS, READS[messages.ROSTERS], RostersReply)
    assert call(rig, "h1", messages.AUDIT, READS[messages.AUDIT], AuditReply).entries
    for path in (messages.SYNC, messages.TALLIES):
        with pytest.raises(Locked):
            call(rig, "h1", path, READS[path], object)
    for path, request in READS.items():
        with pytest.raises((Refused, Locked)):
            call(rig, "mallory", path, request, object)


def test_the_log_with_proofs_from_every_size(rig):
    whole = call(rig, "h1", messages.AUDIT, AuditRequest(since=0, limit=999, prove=()), AuditReply)
    size = len(whole.entries)
    sizes = (0, 1, 2, size - 1, size, size + 1, 2**63)
    page = call(rig, "h1", messages.AUDIT, AuditRequest(since=3, limit=2, prove=sizes), AuditReply)
    assert [AuditEntry.from_bytes(raw).index for raw in page.entries] == [3, 4]
    signed = SignedCheckpoint.from_text(page.checkpoint)
    newest = signed.verify(rig.key.public)
    assert newest.size == size
    assert [proof.size for proof in page.proofs] == [1, 2, size - 1, size]
    with rig.disk.reading() as reader:
        for proof in page.proofs:
            verify_consistency(
                old_size=proof.size,
                old_root=rig.authority._log.root(reader, proof.size),
                new_size=size,
                new_root=newest.root,
                proof=proof.proof,
            )


def test_nothing_behind_the_end(rig):
    request = AuditRequest(since=2**40, limit=10, prove=())
    assert call(rig, "h1", messages.AUDIT, request, AuditReply).entries == ()
    request = TalliesRequest(since=2**64 - 1, limit=2**64 - 1)
    assert call(rig, "h1", messages.TALLIES, request, TalliesReply).proposals == ()


def test_a_requester_sees_its_own_proposals_only(rig):
    async def day():
        await rig.create("payroll")
        for name in ("app", "web"):
            client = rig.asker(name)
            ref = KeyRef(name=Name("payroll"), version=1)
            await client.ask(ref, f"for {name}", Form.PRIVATE, await client.member.sync())

    rig.run(day())
    for name, count in (("h1", 2), ("app", 1), ("web", 1)):
        request = SyncRequest(roster_version=0, checkpoint_size=0)
        reply = call(rig, name, messages.SYNC, request, SyncReply)
        assert len(reply.proposals) == count
        tallies = call(rig, name, messages.TALLIES, READS[messages.TALLIES], TalliesReply)
        reasons = [state.proposal.body for state in tallies.proposals]
        others = {"app": b"for web", "web": b"for app"}.get(name, b"nobody says this")
        assert reasons
        assert not any(others in body for body in reasons)


def test_a_sync_brings_what_is_missing(rig):
    reply = call(
        rig, "h1", messages.SYNC, SyncRequest(roster_version=3, checkpoint_size=2), SyncReply
    )
    assert [signed.parse().version for signed in reply.rosters] == [4, 5]
    assert 2 in [proof.size for proof in reply.proofs]
