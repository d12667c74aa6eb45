"""After a restore: attempts that the back-up shows as half dealt begin again, under other numbers.

Devices may have dealt in them, or hold fragments of them, in a way that died with the disk. Dealt
once more under the same number they would be two epochs of one attempt, for which every honest
device blames the authority.
"""

from __future__ import annotations

from tigertally.custody.messages.dealing import AUTHORITY
from tigertally.custody.protocol.epochs import next_attempt
from tigertally.custody.service import rows
from tigertally.custody.service.create import announce, set_coming
from tigertally.custody.service.numbering import attempt_after, attempts_left_out
from tigertally.custody.service.reshare import end_attempt, retry
from tigertally.custody.state.authority import EpochId, EpochStatus
from tigertally.quorum.authority.desk import DomainDesk


def restart_dealing(desk: DomainDesk) -> None:
    """End and begin again what was being dealt when the back-up was made."""
    left_out = attempts_left_out(desk, since=0)
    for id_, view in list(rows.all_views(desk.sealed)):
        if view.status is EpochStatus.DEALING and id_.attempt <= left_out:
            with desk.apart(), desk.plain.nested():
                _restart(desk, id_)


def _restart(desk: DomainDesk, id_: EpochId) -> None:
    record = rows.get_epoch(desk.sealed, id_)
    end_attempt(desk, record, "the authority was restored from a back-up")
    if record.base:
        retry(desk, record)
        return
    number = attempt_after(desk, record.proposal)
    following = next_attempt(record, number=number, without=frozenset())
    rows.put_epoch(desk.sealed, following)
    set_coming(desk, following)
    if following.dealers == (AUTHORITY,):
        rows.put_job(desk.sealed, rows.Job.DEAL, rows.epoch_id(following).to_bytes())
    announce(desk, following)
