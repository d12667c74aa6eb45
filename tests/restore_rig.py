"""The authority of a `DomainRig` loses its disk, and is restored from a back-up."""

from __future__ import annotations

from collections.abc import Mapping

from domain_rig import DomainRig
from tigertally.base.ids import Nonce
from tigertally.custody.client.unlock import Unlock
from tigertally.custody.messages.lock import AnswerReply
from tigertally.quorum.authority.restore import mark_restored
from tigertally.quorum.member.client import MemberClient
from tigertally.quorum.member.conviction import CONVICTION
from tigertally.quorum.member.witness import notices

Backup = Mapping[str, Mapping[bytes, bytes]]


def backup(rig: DomainRig) -> Backup:
    """Committed tables are never changed."""
    return rig.disk._tables


def restore(rig: DomainRig, kept: Backup) -> None:
    """A new disk with what the back-up has; the authority comes up locked."""
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


async def accept(rig: DomainRig, name: str, *, back: bool = True) -> AnswerReply:
    """A holder answers; `back`: its person accepts that the log goes back."""
    client = Unlock(MemberClient(rig.devices[name].party))
    return await client.answer(wrong_passphrases=0, accept_rollback=back)


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
