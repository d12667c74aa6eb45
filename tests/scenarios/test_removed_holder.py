"""What a removed holder's whole disk is worth, to whom it may, with all that was ever recorded.

The thief has h4's profile and passphrase: its keys, its store, and the program. Each attack is
tried first while it must still work, so that its failure later says something.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from custody_thief import (
    Tap,
    all_keys,
    epoch_records,
    fragment_infos,
    held_by,
    opened_fragments,
    opening_keys,
    recorded_packages,
    thief_keys,
)
from domain_rig import DomainRig
from evil import lead, twin
from tigertally.base.codec import decode
from tigertally.base.errors import Corrupt, PeerFault, Refused
from tigertally.base.ids import HolderIndex, Name
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.hpke import PrivateKey
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.lock import Envelopes
from tigertally.custody.messages.sync import CONTRIBUTE
from tigertally.custody.protocol.lock import _envelope_info
from tigertally.custody.protocol.suites import SUITES
from tigertally.custody.service.barrier import ENVELOPES
from tigertally.custody.service.rows import SEALED
from tigertally.custody.state.authority import EpochStatus
from tigertally.custody.state.holder import HeldEpoch
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.member.roster_changes import RosterChanges
from tigertally.quorum.proposal import proposal_id
from tigertally.storage.sealed import RowSealer

REF = KeyRef(name=Name("payroll"), version=1)
LEFT = ("h1", "h2", "h3")
OLD = "old"  # a copy of the authority, as it was


async def domain(rig: DomainRig, suite: Suite) -> bytes:
    """2-of-4 with one key, which is returned; everybody has synced since."""
    await rig.form(4)
    await rig.requester("app")
    await rig.create("payroll", suite=suite)
    released = await rig.release("app", "payroll", by=["h1", "h2"])
    for name in rig.holders():
        await rig.sync(name)
    return released.secret.to_secret_bytes()


async def vote_out(rig: DomainRig) -> None:
    """h4 is removed; from here on it is out, and nobody has synced yet."""
    holder = rig.holder("h1")
    synced, _ = await holder.sync()
    id_ = await RosterChanges(holder.member).propose_or_resume(
        REMOVE, remove_body(Name("h4")), synced
    )
    await rig.approve("h2", id_.hex())
    assert len(rig.authority.chain.current.holders) == 3


async def contacts(rig: DomainRig, names: Sequence[str] = LEFT) -> None:
    for _ in range(4):
        for name in names:
            await rig.sync(name)
        await rig.child_work()


def combined(epochs: Sequence[tuple[int, HeldEpoch]]) -> bytes | None:
    """The key from these fragments, as the first one's commitments would check it."""
    statement = epochs[0][1].parsed()
    rules = SUITES[statement.suite]
    payloads = {
        HolderIndex(index): Secret(held.payloads[held.parsed().keys.index(REF)])
        for index, held in epochs
    }
    try:
        return rules.rebuild(statement.commitments_of(REF), payloads).to_secret_bytes()
    except PeerFault:
        return None


def stolen(rig: DomainRig, *names: str) -> bytes | None:
    """What the disks of these holders make together, however their epochs are mixed."""
    found = [[(int(name[1:]), held) for held in held_by(rig, name)] for name in names]
    for first in found[0]:
        for second in found[1]:
            for pair in ([first, second], [second, first]):
                key = combined(pair)
                if key is not None:
                    return key
    return None


@pytest.mark.requirement("C10")
@pytest.mark.requirement("C9")
@pytest.mark.parametrize("suite", list(Suite))
def test_its_fragment_dies_when_fewer_than_m_old_ones_remain(suite: Suite) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        key = await domain(rig, suite)
        assert stolen(rig, "h4", "h3") == key  # the control: m disks are the key
        await vote_out(rig)
        assert stolen(rig, "h4", "h3") == key, "removed, but nothing is shared anew yet"
        await contacts(rig, ("h1", "h2"))
        assert EpochStatus.OPEN in [record.status for record in epoch_records(rig)]
        assert stolen(rig, "h4", "h1") == key, "the new epoch is not certified: h3 is away"
        await rig.sync("h3")
        for name in ("h1", "h2"):
            await rig.sync(name)
            assert stolen(rig, "h4", name) is None, "it has erased its old fragment"
        await contacts(rig)
        assert [stolen(rig, "h4", name) for name in LEFT] == [None] * 3
        assert stolen(rig, "h1", "h3") == key  # the control: the key itself lives on

    rig.run(day())


@pytest.mark.requirement("C10")
@pytest.mark.requirement("C7")
def test_its_approvals_are_worthless_from_the_change_of_the_roster() -> None:
    rig = DomainRig(threshold=2)

    async def asked(reason: str) -> str:
        client = rig.asker("app")
        _, state = await client.ask(REF, reason, Form.PRIVATE, await client.member.sync())
        return proposal_id(state.proposal).hex()

    async def day() -> None:
        await domain(rig, Suite.PEDERSEN_ED25519)
        before = await asked("before")
        state = await rig.approve("h4", before)
        assert len(state.approvals) == 1  # the control: as a holder it counts
        await vote_out(rig)
        tables = rig.disk._tables["proposal"]
        after = await asked("after")
        for id_ in (before, after):
            with pytest.raises(Refused):
                await rig.approve("h4", id_)
        with pytest.raises(Refused):
            await rig.approve("h2", before)  # with h4's yes it would be complete
        assert tables.keys() < rig.disk._tables["proposal"].keys()
        state = await rig.approve("h2", after)
        assert len(state.approvals) == 1, "one of two, whatever h4 has signed"

    rig.run(day())


@pytest.mark.requirement("C10")
@pytest.mark.requirement("C6")
def test_its_envelope_opens_nothing_from_the_change_of_the_roster() -> None:
    """With the authority's disk in the same hands; a copy from before still opens."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await domain(rig, Suite.PEDERSEN_ED25519)
        thief = rig.devices["h4"].wrapping_key
        old = dict(rig.disk._tables)
        barrier = barrier_from(old, thief)
        assert barrier is not None
        assert opened_rows(old, barrier) > 20  # the control
        await vote_out(rig)
        new = dict(rig.disk._tables)
        assert barrier_from(new, thief) is None
        assert opened_rows(new, barrier) == 0
        mine = barrier_from(new, rig.devices["h3"].wrapping_key)
        assert mine is not None
        assert opened_rows(new, mine) > 20  # the control: the code finds the way in for others
        rig.start_authority()
        with pytest.raises(Refused):
            await rig.unlock_by("h4")
        assert rig.authority.locked

    rig.run(day())


def barrier_from(tables: dict[str, dict[bytes, bytes]], key: PrivateKey) -> Secret | None:
    """The barrier key from any envelope on this disk that the key opens (unlock is 1)."""
    (row,) = tables[ENVELOPES].values()
    envelopes = decode(Envelopes, decode(Envelope, row).body)
    for index in range(1, 256):
        info = _envelope_info(envelopes.domain, envelopes.electorate, HolderIndex(index))
        for one in envelopes.envelopes:
            try:
                return key.open(one.sealed, info=info)
            except Exception:  # noqa: BLE001  tried with every index
                continue
    return None


def opened_rows(tables: dict[str, dict[bytes, bytes]], barrier: Secret) -> int:
    """How many rows of the disk open under this key."""
    sealer, count = RowSealer(Secret(barrier.to_secret_bytes())), 0
    for table in (*SEALED, "proposal"):
        for place, row in tables.get(table, {}).items():
            try:
                sealer.open(table, place, row)
            except Corrupt:
                continue
            count += 1
    return count


@pytest.mark.requirement("X4")
@pytest.mark.requirement("C10")
@pytest.mark.parametrize("suite", list(Suite))
def test_the_recording_of_a_reshare_opens_with_no_key_that_leaks_later(suite: Suite) -> None:
    """Every message ever sent, h4's whole disk, and later every key of everybody, on any disk."""
    rig = DomainRig(threshold=2)
    tap = Tap(rig)

    def contributions() -> list[bytes]:
        bodies = tap.bodies(path=CONTRIBUTE)
        changes = {record.proposal for record in epoch_records(rig)}
        return opened_fragments(bodies, thief_keys(rig), infos | set(infos_of(changes)))

    def infos_of(proposals: set[object]) -> list[bytes]:
        return fragment_infos(rig, proposals, "payroll")

    infos: set[bytes] = set()

    async def day() -> None:
        await domain(rig, suite)
        await vote_out(rig)
        infos.update(infos_of({record.proposal for record in epoch_records(rig)}))
        shown = 0
        for name in ("h1", "h2", "h1", "h2"):  # h3 is away: what goes to it must wait
            await rig.sync(name)
            shown = max(shown, len(contributions()))
            await rig.child_work()
        packages = recorded_packages(tap)
        if suite is Suite.PEDERSEN_ED25519:
            assert opening_keys(packages, all_keys(rig)) >= 2, "the control: h3's pieces open"
        else:
            assert shown >= 2, "the control: with its fresh key the authority opens them"
        await contacts(rig)
        await contacts(rig)
        assert opening_keys(recorded_packages(tap), all_keys(rig)) == 0
        assert contributions() == []
        assert stolen(rig, "h4", "h1") is None

    rig.run(day())


@pytest.mark.requirement("C10")
def test_a_holder_that_is_kept_from_the_new_roster_still_counts_the_removed_one() -> None:
    """The limit that the threat model states: an authority that hides a change, with h4's thief.

    h3 takes no part in the removal and is shown the old domain (a copy of the authority). Its
    person must still say yes. When h3 sees the other history, the authority is caught.
    """
    rig = DomainRig(threshold=2)

    async def day() -> None:
        key = await domain(rig, Suite.PEDERSEN_ED25519)
        twin(rig, OLD)
        await vote_out(rig)
        lead(rig, OLD, "h3", "h4", "app")
        released = await rig.release("app", "payroll", by=["h3", "h4"], reason="by the old roster")
        assert released.secret.to_secret_bytes() == key
        lead(rig, "authority", "h3")
        with pytest.raises(PeerFault, match="log was rewritten") as caught:
            await rig.sync("h3")
        assert caught.value.culprits == ("authority",)

    rig.run(day())
