"""The authority's parts, put together: what answers each path, and what executes each kind.

A device's parts are put together in `node/connect.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from tigertally.base.errors import TigertallyError
from tigertally.base.ids import ProposalId
from tigertally.custody.messages import destroy, imports, kinds, lock, sync, v1
from tigertally.custody.messages.reports import HELD
from tigertally.custody.service import child, old_fragments, reshare, rows, watch
from tigertally.custody.service.barrier import BarrierKey
from tigertally.custody.service.create import MakeKey
from tigertally.custody.service.destroy import DestroyKey, ErasureService
from tigertally.custody.service.epochs import EpochService
from tigertally.custody.service.imports import ImportService
from tigertally.custody.service.jobs import (
    deal_job,
    finish_reshare,
    rebuild_job,
    reshare_job,
    signed_package,
)
from tigertally.custody.service.lock import LockService
from tigertally.custody.service.release import ReleaseKey, ReleaseService
from tigertally.custody.service.sync import SyncService
from tigertally.host.chores import Pauses
from tigertally.host.routes import Route, served
from tigertally.node.kinds import all_kinds, known_to_v1
from tigertally.quorum import changes, messages
from tigertally.quorum.authority import rows as quorum_rows
from tigertally.quorum.authority.admission import AdmissionService
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.proposals import ChangeRoster, Executor, QuorumService
from tigertally.quorum.authority.relay import RelayService
from tigertally.quorum.authority.strangers import Counted
from tigertally.transport.door import Door

if TYPE_CHECKING:
    from tigertally.node.authority import Authority

RunChild = Callable[[child.Job], Awaitable[child.Result]]


def at_child(job: rows.Job) -> str:
    """Name the one-shot child's work of one sort, for `/metrics` and the log."""
    return f"the one-shot child at {job.name}"


class AuthorityServices:
    """All of one authority's services, wired together.

    Args:
        run_child: how a job gets to a one-shot child; only tests in memory give another.
    """

    def __init__(self, run_child: RunChild = child.run_child) -> None:
        self._run_child = run_child
        self.counted = Counted()
        barrier = BarrierKey((*quorum_rows.SEALED, *rows.SEALED))
        self.lock = LockService(barrier, self.counted)
        self.epochs = EpochService()
        self.releases = ReleaseService()
        self.erasures = ErasureService()
        self.imports = ImportService()
        roster = ChangeRoster((barrier.roster_changed, reshare.roster_changed))
        executors: dict[str, Executor] = {str(kind): roster for kind in changes.KINDS}
        executors[kinds.CREATE] = executors[kinds.ROTATE] = MakeKey()
        executors[kinds.DESTROY] = DestroyKey()
        executors[kinds.RELEASE] = ReleaseKey()
        self.quorum = QuorumService(all_kinds(), executors, self.counted)
        self.relay = RelayService(self.quorum, known_to_v1)
        self.syncing = SyncService(self.epochs, self.releases, self.erasures)
        self.admission = AdmissionService(barrier.draw, self.lock.progress)

    def routes(self) -> Mapping[Door[Any, Any], Route[DomainDesk]]:
        """What answers at which door. The doors are the paths."""
        return dict(
            (
                served(messages.DOMAIN, self.admission.domain),
                served(messages.FOUND, self.admission.found),
                served(messages.TERMS, self.admission.terms),
                served(messages.PROPOSE, self.quorum.propose),
                served(messages.VOTE, self.quorum.vote),
                served(messages.PROPOSAL, self.quorum.proposal),
                served(messages.SYNC, self.relay.sync),
                served(messages.ROSTERS, self.relay.rosters),
                served(messages.TALLIES, self.relay.tallies),
                served(messages.SYNC_V1, self.relay.sync_v1),
                served(messages.TALLIES_V1, self.relay.tallies_v1),
                served(messages.AUDIT, self.relay.audit),
                served(messages.RESTORATIONS, self.relay.restorations),
                served(lock.UNLOCK_CHALLENGE, self.lock.challenge),
                served(lock.UNLOCK_ANSWER, self.lock.answer),
                served(lock.UNLOCK_REPORT, self.lock.report),
                served(v1.UNLOCK_REPORT_V1, self.lock.report_v1),
                served(sync.CUSTODY_SYNC, self.syncing.sync),
                served(v1.CUSTODY_SYNC_V1, self.syncing.sync_v1),
                served(sync.RECEIVE_KEYS, self.syncing.receive_keys),
                served(sync.KEYS, watch.keys),
                served(v1.KEYS_V1, watch.keys_v1),
                served(sync.HOLDERS, watch.holders),
                served(HELD, old_fragments.held),
                served(sync.KEY_EPOCH, self.syncing.epoch),
                served(sync.DEAL, self.epochs.deal),
                served(sync.CONTRIBUTE, reshare.contribute),
                served(sync.ACKNOWLEDGE, self.epochs.acknowledge),
                served(sync.COMPLAIN, self.epochs.complain),
                served(sync.ERASED, self.epochs.erased),
                served(sync.DELIVER, self.releases.deliver),
                served(sync.COLLECT, self.releases.collect),
                served(destroy.ERASURE, self.erasures.erasure),
                served(imports.IMPORT, self.imports.take),
                served(imports.CONTENT, self.imports.content),
            )
        )

    def doors(self) -> tuple[Door[Any, Any], ...]:
        """Every door of an authority, that of the long polls too."""
        return (*self.routes(), messages.NEWS)

    def has_jobs(self, desk: DomainDesk) -> bool:
        """Does anything wait for the one-shot child?"""
        return rows.has_jobs(desk.sealed)

    async def work(self, authority: Authority, pauses: Pauses | None = None) -> None:
        """Everything that waits for the one-shot child; one that fails holds up no other.

        Args:
            authority: whose work it is.
            pauses: what has failed before, and is tried again only after its own pause.

        Raises:
            Exception: a fault of this program, once all others have been tried.
        """
        pauses = pauses or Pauses()
        now = asyncio.get_running_loop().time
        jobs = await authority.run(lambda desk: rows.jobs(desk.sealed), background=True)
        pauses.keep_only(jobs)
        fault: Exception | None = None
        failing: set[rows.Job] = set()
        for job, id_ in jobs:
            if not pauses.due((job, id_), now=now()):
                failing.add(job)
                continue
            try:
                await self._do(authority, job, id_)
            except TigertallyError as error:
                failing.add(job)
                authority.alarms.put_off(at_child(job), error)
                pauses.failed((job, id_), now=now())
            except Exception as error:  # noqa: BLE001  raised below, after the others
                pauses.failed((job, id_), now=now())
                fault = fault or error
        for job in rows.Job:
            if job not in failing:  # its next failure is a new one, and is said
                authority.alarms.well(at_child(job))
        if fault is not None:
            raise fault

    async def tidy(self, authority: Authority) -> None:
        """Forget what expired releases left behind."""
        await authority.run(self.releases.tidy, background=True)

    async def _do(self, authority: Authority, job: rows.Job, id_: bytes) -> None:
        if job is rows.Job.DEAL:
            asked = await authority.run(lambda desk: deal_job(desk, id_), background=True)
            if asked is None:
                return
            dealt = await self._run_child(asked)
            if isinstance(dealt, child.Dealt):
                await authority.run(
                    lambda desk: self.epochs.deal_as_authority(
                        desk, signed_package(desk, asked.occasion, dealt)
                    ),
                    background=True,
                )
            return
        if job is rows.Job.RESHARE:
            await self._share_anew(authority, id_)
            return
        proposal = ProposalId(id_)
        wanted = await authority.run(lambda desk: rebuild_job(desk, proposal), background=True)
        if wanted is None:
            return
        rebuilt = await self._run_child(wanted)
        if isinstance(rebuilt, child.RebuiltKey):
            await authority.run(
                lambda desk: self.releases.rebuilt(
                    desk, proposal, wanted.epoch, rebuilt.wrapped, rebuilt.faulty
                ),
                background=True,
            )

    async def _share_anew(self, authority: Authority, id_: bytes) -> None:
        """Suite `shamir-gf256`, after a change of the holders."""
        wanted = await authority.run(lambda desk: reshare_job(desk, id_), background=True)
        if wanted is None:
            return
        dealt = await self._run_child(wanted)
        if isinstance(dealt, child.RebuiltKey):
            faulty = dealt.faulty
            await authority.run(lambda desk: self.epochs.contributions_faulty(desk, id_, faulty))
            return

        def done(desk: DomainDesk) -> None:
            package = signed_package(desk, wanted.occasion, dealt)
            self.epochs.deal_as_authority(desk, package)
            finish_reshare(desk, id_)

        await authority.run(done)
