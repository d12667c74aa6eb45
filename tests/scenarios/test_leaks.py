"""What a thief of devices and disks gets: fewer than m fragments, old deliveries, nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from change_rig import remove
from custody_thief import (
    Tap,
    all_keys,
    audit_kinds,
    barrier_sealer,
    epoch_records,
    held_by,
    opening_keys,
    recorded_packages,
    seeds_of,
    strings,
)
from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage, PeerFault, TigertallyError, UsageError
from tigertally.base.ids import Hash, HolderIndex, Name
from tigertally.base.secret import Secret
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.sync import CUSTODY_SYNC, CustodySyncReply
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.service import rows
from tigertally.custody.state.authority import EpochStatus
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedReader, SealedTransaction

DAY = 24 * 3600


# --- forward secrecy ------------------------------------------------------------------------


async def approved(rig: DomainRig, *, holders: int = 3, acks: int | None = None) -> None:
    await rig.form(holders)
    state = await rig.propose_key("payroll", acks=acks)
    await rig.approve("h2", proposal_id(state.proposal).hex())


@pytest.mark.requirement("X4")
@pytest.mark.requirement("C11")
def test_recorded_deliveries_stay_shut_when_every_key_leaks_after_the_next_sync() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        tap = Tap(rig)
        state = await rig.propose_key("payroll")
        await rig.approve("h2", proposal_id(state.proposal).hex())
        packages = recorded_packages(tap)
        assert len(packages) == 2
        assert opening_keys(packages, all_keys(rig)) == 6  # the control: on their way, they open
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        assert [r.status for r in epoch_records(rig)] == [EpochStatus.CERTIFIED]
        assert opening_keys(packages, all_keys(rig)) == 0
        for name in rig.holders():
            assert len(seeds_of(rig, name)) == 1

    rig.run(day())


@pytest.mark.requirement("X4")
def test_keys_that_a_delivery_waits_for_are_kept_and_then_erased() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        (used,) = seeds_of(rig, "h3")
        state = await rig.propose_key("payroll")
        for _ in range(3):  # pending: a dealing to the old keys is on its way
            await rig.sync("h3")
            assert used in seeds_of(rig, "h3")
            assert len(seeds_of(rig, "h3")) == 2
        await rig.approve("h2", proposal_id(state.proposal).hex())
        await rig.sync("h3")  # takes its fragment
        assert len(held_by(rig, "h3")) == 1
        await rig.sync("h3")
        assert used not in seeds_of(rig, "h3")
        assert len(seeds_of(rig, "h3")) == 1

    rig.run(day())


@pytest.mark.requirement("X4")
def test_an_authority_cannot_make_devices_keep_old_keys_for_ever() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(2)

        def all_in_use(caller: str, path: str, answer: bytes) -> bytes:
            if path != CUSTODY_SYNC:
                return answer
            known = tuple(sorted(seeds_of(rig, caller)))
            reply = decode(CustodySyncReply, answer)
            return encode(replace(reply, open_bundles=tuple(Hash(k) for k in known)))

        rig.network.equivocate("authority", all_in_use)
        first = set(seeds_of(rig, "h1"))
        for _ in range(3):
            await rig.sync("h1")
        assert first < set(seeds_of(rig, "h1"))  # they are believed for a while
        rig.clock.time += 31 * DAY
        await rig.sync("h1")
        assert len(seeds_of(rig, "h1")) == 1

    rig.run(day())


def lose_seeds(rig: DomainRig, name: str) -> None:
    """A device that has lost its receive keys (restored from an old back-up)."""
    with rig.devices[name].store.transaction() as tx:
        for key, _ in list(tx.scan(device_rows.SEEDS)):
            tx.delete(device_rows.SEEDS, key)


@pytest.mark.requirement("X3")
def test_a_delivery_to_an_erased_key_is_dealt_again_and_blames_nobody() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await approved(rig)
        lose_seeds(rig, "h3")
        for _ in range(4):
            for name in rig.holders():
                report = await rig.sync(name)
                assert (report.culprits, report.problems) == ([], [])
        first, second = epoch_records(rig)
        assert (first.status, second.status) == (EpochStatus.ABORTED, EpochStatus.CERTIFIED)
        assert first.dealers == second.dealers == (1, 2)
        assert "custody.convicted" not in [kind for kind, _ in audit_kinds(rig)]
        for name in rig.holders():  # the ended attempt's fragments went with the certificate
            (held,) = held_by(rig, name)
            assert held.parsed().attempt == 2

    rig.run(day())


def test_where_enough_others_have_it_a_lost_key_costs_only_this_holders_fragment() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await approved(rig, acks=2)
        for name in ("h1", "h2"):
            await rig.sync(name)
        lose_seeds(rig, "h3")
        first = await rig.sync("h3")
        assert (first.sent, first.problems, first.culprits) == (1, [], [])
        again = await rig.sync("h3")  # it is not asked over and over
        assert (again.sent, again.received) == (0, 0)
        (record,) = epoch_records(rig)
        assert record.status is EpochStatus.CERTIFIED
        assert record.acknowledged == (1, 2)

    rig.run(day())


# --- fewer than m ---------------------------------------------------------------------------


def open_rows(rig: DomainRig) -> dict[str, list[bytes]]:
    """All the authority has, opened with its barrier key: keys and values by table."""
    found: dict[str, list[bytes]] = {}
    with rig.disk.reading() as reader:
        sealed = SealedReader(reader, barrier_sealer(rig.authority))
        for table, table_rows in rig.disk._tables.items():
            for key, raw in table_rows.items():
                try:
                    value = sealed.get(table, key)
                except TigertallyError:
                    value = raw  # a plain row
                found.setdefault(table, []).append(key + (value or b""))
                found[table] += [value or b"", raw]
    return found


def candidates(rig: DomainRig, sizes: set[int]) -> set[bytes]:
    """Every byte string of these sizes in anything the authority has, in any nesting."""
    blobs = [blob for values in open_rows(rig).values() for blob in values]
    blobs += [rig.key.seed.to_secret_bytes(), rig.wrapping_key.seed.to_secret_bytes()]
    return {one for blob in blobs for one in strings(blob) if len(one) in sizes}


def payloads_of(rig: DomainRig, names: Iterable[str]) -> Mapping[HolderIndex, Secret]:
    """The fragments on these devices (their disks, opened with their passphrases)."""
    return {HolderIndex(int(name[1:])): Secret(held_by(rig, name)[0].payloads[0]) for name in names}


@pytest.mark.requirement("C12")
@pytest.mark.requirement("C3")
@pytest.mark.parametrize("suite", list(Suite))
def test_two_of_three_devices_and_the_authoritys_whole_disk_give_no_key(suite: Suite) -> None:
    rig = DomainRig(threshold=3)

    async def day() -> None:
        await rig.form(5)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        released = await rig.release("app", "payroll", by=["h1", "h2", "h3"])
        key = released.secret
        (record,) = epoch_records(rig)
        commitments = record.parsed_statement().commitments[0]
        rules = SUITES[suite]

        assert rules.rebuild(commitments, payloads_of(rig, ("h1", "h4", "h5"))).matches(key)
        stolen = payloads_of(rig, ("h4", "h5"))
        with pytest.raises((UsageError, PeerFault)):
            rules.rebuild(commitments, stolen)
        tried = 0
        for guess in candidates(rig, {rules.payload_bytes}) | {bytes(rules.payload_bytes)}:
            for index in (1, 2, 3):
                tried += 1
                with pytest.raises((PeerFault, MalformedMessage)):
                    rules.check(
                        commitments, threshold=3, index=HolderIndex(index), payload=Secret(guess)
                    )
        assert tried >= 3

        assert stands_in(rig, key.to_secret_bytes()) == []
        with rig.disk.transaction() as tx:
            sealed = SealedTransaction(tx, barrier_sealer(rig.authority))
            sealed.put("control", b"key", b"before" + key.to_secret_bytes())
        assert stands_in(rig, key.to_secret_bytes()) == ["control"]

    rig.run(day())


def stands_in(rig: DomainRig, needle: bytes) -> list[str]:
    return [t for t, blobs in open_rows(rig).items() if any(needle in blob for blob in blobs)]


@pytest.mark.requirement("C12")
@pytest.mark.parametrize("suite", list(Suite))
def test_no_device_and_no_disk_holds_the_key_or_another_ones_fragment(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=suite)
        key = (await rig.release("app", "payroll", by=["h1", "h3"])).secret.to_secret_bytes()
        fragments = {n: held_by(rig, n)[0].payloads[0] for n in rig.holders()}
        for owner, fragment in fragments.items():
            assert stands_in(rig, fragment[:32]) == []
            for name in rig.devices:
                dump = b"".join(device_dump(rig, name))
                assert key not in dump
                assert (fragment in dump) == (name == owner)  # with its own positive control
                raw = b"".join(
                    v for t in rig.devices[name].disk._tables.values() for v in t.values()
                )
                assert fragment[:32] not in raw  # C11: at rest only under the person's seal

    rig.run(day())


def device_dump(rig: DomainRig, name: str) -> list[bytes]:
    store = rig.devices[name].store
    with store.reading() as reader:
        return [
            value for table in rig.devices[name].disk._tables for _, value in reader.scan(table)
        ]


@pytest.mark.requirement("C4")
def test_a_rebuilt_key_leaves_nothing_to_rebuild_it_again() -> None:
    """One holder's envelope opens the authority's disk: what lies there must not be the key."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        await rig.requester("app")
        await rig.create("payroll", suite=Suite.SHAMIR_GF256)
        client = rig.asker("app")
        synced = await client.member.sync()
        ref = KeyRef(name=Name("payroll"), version=1)
        request, state = await client.ask(ref, "why", Form.PRIVATE, synced)
        for name in ("h1", "h2"):
            await rig.approve(name, proposal_id(state.proposal).hex())
            await rig.sync(name)
        await rig.sync("h1")
        assert rows_in(rig, rows.FRESH) == 1  # the control: until it is rebuilt they are there
        assert rows_in(rig, rows.FRAGMENTS) == 2
        await rig.child_work()
        assert (rows_in(rig, rows.FRESH), rows_in(rig, rows.FRAGMENTS)) == (0, 0)
        secret = rig.devices["app"].device_secret
        assert await client.collect(request, ref, Form.PRIVATE, synced, secret) is not None

    rig.run(day())


def rows_in(rig: DomainRig, table: str) -> int:
    return len(rig.disk._tables.get(table, {}))


@dataclass
class ScrubbedRig(DomainRig):
    """A domain whose disks say how often they were scrubbed."""

    scrubbed: Counter[str] = field(default_factory=Counter)

    def disk_for(self, name: str) -> MemoryStore:
        counts = self.scrubbed

        class Disk(MemoryStore):
            def scrub(self) -> bool:
                counts[name] += 1
                return super().scrub()

        return Disk()


@pytest.mark.requirement("C9")
def test_what_a_device_erases_is_scrubbed_from_its_disk_at_once() -> None:
    """What scrubbing does to a real file: `unit/storage/test_sql.py`."""
    rig = ScrubbedRig(threshold=2)

    async def scrubs(name: str) -> int:
        before = rig.scrubbed[name]
        await rig.holder(name).sync(renew=False)
        return rig.scrubbed[name] - before

    async def day() -> None:
        await rig.form(3)
        await rig.create("payroll")
        assert await scrubs("h1") == 0, "the control: nothing was erased"
        await remove(rig, "h3", by=["h1", "h2"])
        for name in ("h1", "h2", "h1"):  # deal, deal and take, take: h2's certificate is there
            await rig.sync(name)
        assert len(held_by(rig, "h2")) == 2
        assert await scrubs("h2") == 1
        assert len(held_by(rig, "h2")) == 1, "the old fragment is erased"
        await rig.destroy("payroll", by=["h1", "h2"])
        assert len(held_by(rig, "h1")) == 1
        assert await scrubs("h1") == 1
        assert held_by(rig, "h1") == []

    rig.run(day())
