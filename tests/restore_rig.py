"""An authority that goes on from a back-up of its disk, and holders that accept it."""

from __future__ import annotations

from domain_rig import DomainRig
from tigertally.base.ids import Name, Nonce
from tigertally.custody.client.unlocking import UnlockingClient
from tigertally.quorum.conviction import CONVICTION
from tigertally.quorum.following import notices
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.restoring import mark_restored


def backup(rig: DomainRig) -> object:
    """Committed tables are never changed."""
    return rig.disk._tables


def restore(rig: DomainRig, kept: object) -> None:
    rig.authority.close()
    rig.disk = rig.disk_for("authority")
    rig.disk._tables = kept
    with rig.disk.transaction() as tx:
        mark_restored(
            tx,
            rig.key,
            domain=rig.authority.chain.current.domain,
            made=rig.clock.now(),
            now=rig.clock.now(),
            nonce=Nonce(rig.randomness.bytes(32)),
        )
    rig.start_authority()


async def accept(rig: DomainRig, name: str, *, back: bool = True):
    client = UnlockingClient(rig.devices[name].party)
    return await client.unlock(wrong_passphrases=0, accept_rollback=back)


def told(rig: DomainRig, name: str) -> list[str]:
    with rig.devices[name].store.reading() as reader:
        return notices(reader)


def convicted(rig: DomainRig, name: str) -> bool:
    with rig.devices[name].store.reading() as reader:
        return any(True for _ in reader.scan(CONVICTION))


async def rounds(rig: DomainRig, names: list[str], count: int = 3) -> None:
    for _ in range(count):
        for name in names:
            report = await rig.sync(name)
            assert not report.problems, report.problems
        await rig.child_work()


async def changed(rig: DomainRig, kind: Name, body: bytes, by: list[str]) -> None:
    first, *others = by
    client = rig.holder(first)
    synced, _ = await client.sync_all()
    proposal = client.new_proposal(kind, body, synced.roster)
    state = await client.propose_with_yes(proposal, synced)
    for name in others:
        state = await rig.approve(name, proposal_id(state.proposal).hex())
    assert state.status.value == "complete"
