"""A key of which the authority cannot read a row is damaged, never absent."""

from __future__ import annotations

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Damaged, Refused
from tigertally.base.ids import Name
from tigertally.custody.client.keys import KeyProposals, ask_keys
from tigertally.custody.messages.kinds import KeyRef
from tigertally.custody.service import rows

pytestmark = pytest.mark.requirement("C9")

PAY, WAGES = (KeyRef(name=Name(name), version=1) for name in ("pay", "wages"))


def lived() -> DomainRig:
    rig = DomainRig()

    async def day() -> None:
        await rig.form(2)
        await rig.requester("app")
        await rig.create("pay")
        await rig.create("wages")

    rig.run(day())
    return rig


def damage(rig: DomainRig, table: str, place: bytes) -> None:
    raw = rig.disk._tables[table][place]
    with rig.disk.transaction() as tx:
        tx.put(table, place, bytes(len(raw)))


def live_epoch(rig: DomainRig) -> bytes:
    def look(desk):
        return rows.get_key(desk.sealed, PAY).live.to_bytes()

    return rig.run(rig.authority.run(look))


@pytest.mark.parametrize("table", [rows.KEYS, rows.EPOCHS])
def test_whoever_asks_for_it_is_told_so(table):
    rig = lived()
    if table == rows.KEYS:
        damage(rig, table, PAY.to_bytes())
    else:
        place = live_epoch(rig)
        damage(rig, rows.VIEWS, place)
        damage(rig, table, place)

    async def day() -> None:
        client = rig.asker("app")
        with pytest.raises(Damaged):
            await client.keys(PAY.name)
        with pytest.raises(Damaged):
            await client.newest_version(PAY.name)
        holder = KeyProposals(rig.holder("h1"))
        before = rig.authority_rows()
        with pytest.raises(Damaged):
            await holder.rotate_or_resume(PAY.name, None, (await holder.holder.sync())[0])
        after = rig.authority_rows()
        assert {t: r for t, r in after.items() if t.startswith("custody-key")} == {
            t: r for t, r in before.items() if t.startswith("custody-key")
        }
        assert after["proposal"] == before["proposal"]
        with pytest.raises(Refused, match="there is no key other"):  # the positive control
            await client.newest_version(Name("other"))
        assert [info.ref for info in await client.keys(WAGES.name)] == [WAGES]

    rig.run(day())


def test_a_list_says_how_many_are_missing_from_it():
    rig = lived()

    async def listed():
        reply = await ask_keys(rig.devices["app"].party)
        return [info.ref for info in reply.keys], reply.unreadable

    assert rig.run(listed()) == ([PAY, WAGES], 0)
    damage(rig, rows.KEYS, PAY.to_bytes())
    assert rig.run(listed()) == ([WAGES], 1)
