"""A damaged row of the authority, whichever it is, stops nothing but what it says.

A life is lived once, and at the last moment in which a table has rows the disks are kept. Each
case damages one row in such a moment: the row is named once, keys are released, a holder is removed
(all that is sealed is sealed anew), and after a restart a holder unlocks and a key is released
again. Some cases by the seed here, all of them in `make walk`.
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from domain_rig import DomainRig, put_memory
from tigertally.audit.nodes import ENTRIES, HEAD
from tigertally.base.codec import dumps
from tigertally.base.errors import Corrupt, Damaged, Refused, Unavailable
from tigertally.base.ids import Name
from tigertally.base.secret import Secret
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.service import rows
from tigertally.host.writer import MARKS
from tigertally.node.damage import DAMAGED
from tigertally.quorum.authority.admission import SETTINGS
from tigertally.quorum.authority.desk import barrier_of
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.erasure import OWED
from walks import SEED, sampled

pytestmark = pytest.mark.walk

# Written by a restore and by what holders report after it (tests/scenarios/test_restore.py).
AFTER_A_RESTORE = {rows.CLAIMS, rows.MAKINGS, rows.TERMS}
# Rows that say nothing which is lost with them: what they are is written anew with the next commit.
NOT_NAMED = {MARKS, OWED}
# Nobody needs them any more: the first holder has long enrolled.
OF_THE_FIRST_DAY = {(SETTINGS, b"pin"), (SETTINGS, b"found-reply")}


def flipped(row: bytes) -> bytes:
    changed = bytearray(row or b"\x00")
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "flipped": lambda row, _: (
        row[: len(row) // 2] + bytes([row[len(row) // 2] ^ 1]) + row[len(row) // 2 + 1 :]
    ),
    "cut": lambda row, _: row[: len(row) // 2],
    "of another shape": lambda row, _: dumps([1, "two"]),
    "another row's": lambda row, other: other,
}


class Life:
    """A domain in which everything has happened, and the moments in which a table had rows."""

    def __init__(self) -> None:
        self.rig = DomainRig(threshold=2)
        self.moments: dict[str, dict[str, Mapping[str, Any]]] = {}
        transact = self.rig.authority.writer._transact

        def watched(batch: Any) -> Any:
            done = transact(batch)
            if "app" in self.rig.devices:
                self._keep()
            return done

        self.rig.authority.writer._transact = watched  # type: ignore[method-assign]
        self.rig.run(self._lived())
        self.rig.authority.writer._transact = transact  # type: ignore[method-assign]
        self._never_happened()

    def _keep(self) -> None:
        moment = self.rig.snapshot()
        self.moments |= {table: moment for table, held in self.rig.disk._tables.items() if held}

    async def _lived(self) -> None:
        rig = self.rig
        await rig.form(4)
        await rig.requester("app")
        await rig.requester("imports")
        await rig.create("pay")
        await rig.create("spare")
        await rig.create("old")
        await rig.create("dealt", suite=Suite.SHAMIR_GF256)
        await rig.import_secret("imports", "brought", b"a secret from elsewhere")
        await rig.release("app", "dealt", by=["h1", "h2"])
        await rig.release("app", "pay", by=["h1", "h2"])
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("pay"), version=1)
        _, state = await client.ask(ref, "it is going on", Form.PRIVATE, synced)
        await rig.approve("h1", proposal_id(state.proposal).hex())
        await rig.propose_key("begun")
        await rig.destroy("old", by=["h1", "h2"])
        for name in ("h1", "h2"):
            await rig.sync(name)
        await rig.admit(rig.joining(rig.device("h5", Role.HOLDER)), by=["h1", "h2"])
        for name in (*rig.holders(), *rig.holders()):
            await rig.sync(name)
            await rig.child_work()

    def _never_happened(self) -> None:
        """Rows of a fault that nobody commits here: as a requester and a receiver report it."""
        end, barrier = self.rig.snapshot(), self.rig.authority.writer.memory.barrier
        assert barrier is not None
        for table in (rows.FAULTY, rows.JUDGED):
            self.rig.restore(end)
            key = next(iter(self.rig.disk._tables[rows.ENDS]))[8:] + bytes([3])
            with self.rig.disk.transaction() as tx:
                tx.put(table, key, barrier.sealer.seal(table, key, b""))
            self.moments[table] = self.rig.snapshot()
        with barrier.key.exposed() as raw:
            self.key = bytes(raw)
        self.devices = dict(self.rig.devices)

    def begin(self, table: str) -> DomainRig:
        """The domain at the first moment in which this table had rows."""
        rig = self.rig
        rig.start_authority()  # what the case before has left in memory
        rig.devices = dict(self.devices)
        rig.restore(self.moments[table])
        put_memory(rig.authority, barrier=barrier_of(Secret(self.key)), damaged=frozenset())
        return rig


@cache
def life() -> Life:
    return Life()


def tables() -> list[str]:
    return sorted({*life().rig.services.lock.barrier.sealed, *life().moments} - AFTER_A_RESTORE)


def cases() -> list[tuple[str, str]]:
    return sampled(((table, kind) for table in tables() for kind in DAMAGES), 14, "damaged rows")


def damage(rig: DomainRig, table: str, kind: str) -> bytes:
    """Damage one row, drawn by the seed; its key."""
    draw = random.Random(f"{SEED} {table} {kind}")
    held = rig.disk._tables[table]
    key = draw.choice(sorted(held))
    others = [row for found in rig.disk._tables.values() for row in found.values() if row]
    before = held[key]
    with rig.disk.transaction() as tx:
        tx.put(table, key, DAMAGES[kind](before, draw.choice([o for o in others if o != before])))
    assert rig.disk._tables[table][key] != before
    return key


def named(rig: DomainRig, table: str, key: bytes) -> Counter[str]:
    """How often the audit log names this row."""
    place = table.encode() + b"\x00" + key
    with rig.disk.reading() as reader:
        size = rig.authority._log.size(reader)
        found: list[Any] = []
        for index in range(size):  # one by one: an entry may be the damaged row
            with contextlib.suppress(Corrupt):
                found += rig.authority._log.entries(reader, index, 1)
    return Counter(entry.kind for entry in found if entry.detail == place)


async def inspect(rig: DomainRig) -> None:
    """The whole store, as the chore does in time; it says what everything rests on and is lost."""
    for _ in range(4):
        with contextlib.suppress(Corrupt):
            await rig.authority._inspect()


async def go_on(rig: DomainRig, *, by: list[str]) -> int:
    """How many of two keys are released; nobody breaks down, whatever is refused."""
    for name in 3 * rig.holders():  # also one who is no holder any more
        with contextlib.suppress(Refused, Unavailable):
            await rig.sync(name)
        await rig.child_work()
    done = 0
    for key in ("pay", "spare"):
        with contextlib.suppress(Refused, Unavailable, Damaged):
            await rig.release("app", key, by=by, reason=f"{key} by {by}")
            done += 1
    return done


@pytest.mark.requirement("C6")
@pytest.mark.requirement("C9")
@pytest.mark.requirement("X3")
@pytest.mark.parametrize(("table", "kind"), cases())
def test_a_damaged_row_stops_nothing_but_what_it_says(table: str, kind: str) -> None:
    rig = life().begin(table)
    key = damage(rig, table, kind)

    async def day() -> None:
        await inspect(rig)
        told = named(rig, table, key)
        if table not in NOT_NAMED and (table, key) not in OF_THE_FIRST_DAY:
            assert told["store.damaged"] + told["store.mended"] >= 1, "nobody was told"
        assert await go_on(rig, by=["h1", "h2"]) >= 1
        proposer = rig.holder("h1")
        synced, _ = await proposer.sync()
        removal = proposer.member.new_proposal(Name(REMOVE), remove_body(Name("h4")), synced.roster)
        await proposer.member.propose_with_yes(removal, synced)
        await rig.approve("h2", proposal_id(removal).hex())
        assert await go_on(rig, by=["h1", "h3"]) >= 1
        rig.start_authority()
        assert await rig.unlock_by("h1") == "ready"
        assert await go_on(rig, by=["h2", "h3"]) >= 1
        await inspect(rig)
        assert named(rig, table, key)["store.damaged"] <= 1, "named again"

    rig.run(day())


def test_every_table_is_walked() -> None:
    assert [table for table in tables() if table not in life().moments] == []
    assert {ENTRIES, HEAD, DAMAGED} - set(tables()) == {DAMAGED}
