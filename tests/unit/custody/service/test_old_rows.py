"""An authority's rows of version 1, written anew at the first unlock after an upgrade."""

from __future__ import annotations

from dataclasses import dataclass, fields

import pytest

from domain_rig import DomainRig
from tigertally.base.codec import decode, encode
from tigertally.base.errors import MalformedMessage
from tigertally.base.ids import Name
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.base_key import BaseKeyV1
from tigertally.custody.messages.lock import EpochClaim, KeyTerms
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.v1 import EpochClaimV1, KeyTermsV1
from tigertally.custody.protocol.receiver import acknowledge_again
from tigertally.custody.service import old_rows, rows
from tigertally.custody.state.authority import EpochRecord, KeyRecord
from tigertally.custody.state.v1 import EpochRecordV1, KeyRecordV1
from tigertally.quorum.card import Role
from tigertally.quorum.tally import Tally

pytestmark = [pytest.mark.requirement("C6"), pytest.mark.requirement("C7")]

FORM = (rows.FORM, b"form")


def same_fields(old, record, **changed):
    names = {field.name for field in fields(old)} - changed.keys()
    return old(**{name: getattr(record, name) for name in names}, **changed)


def key_of_then(raw: bytes) -> bytes:
    record = decode(KeyRecord, raw)
    said = record.options
    old = same_fields(KeyRecordV1, record, requesters=said.requesters, unattended=said.unattended)
    return encode(old)


def epoch_of_then(raw: bytes) -> bytes:
    record = decode(EpochRecord, raw)
    return encode(same_fields(EpochRecordV1, record, base=tuple(map(BaseKeyV1.of, record.base))))


THEN = {
    rows.KEYS: key_of_then,
    rows.EPOCHS: epoch_of_then,
    rows.CLAIMS: lambda raw: encode(EpochClaimV1.of(decode(EpochClaim, raw))),
    rows.TERMS: lambda raw: encode(KeyTermsV1.of(decode(KeyTerms, raw))),
}


def lived() -> DomainRig:
    """A domain with every row that has a key's options in it."""
    rig = DomainRig()
    rig.run(_life(rig))
    return rig


async def _life(rig: DomainRig) -> None:
    await rig.form(3)
    await rig.requester("app")
    await rig.create("payroll")
    await rig.create("wages")
    await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
    for name in ("h4", *rig.holders(), *rig.holders()):
        await rig.sync(name)

    def left_by_a_restore(desk):
        with rig.devices["h1"].store.reading() as reader:
            held = next(iter(device_rows.all_held(reader)))
        me = desk.roster.holders[0].index
        terms = KeyTerms(options=KeyOptions.of((Name("app"),), unattended=True), making=None)
        claim = EpochClaim(
            statement=held.statement,
            certificate=held.certificate,
            acknowledgement=acknowledge_again(held, me, key=rig.devices["h1"].key, now=desk.now),
            terms=(terms,),
        )
        desk.sealed.put(rows.CLAIMS, held.epoch + bytes([me]), encode(claim))
        desk.sealed.put(rows.TERMS, held.parsed().keys[0].to_bytes() + bytes([me]), encode(terms))

    await rig.authority.run(left_by_a_restore)


def back_in_time(desk):
    """The rows as version 1 would have written them; how many are other bytes."""
    count = 0
    for table, then in THEN.items():
        for place, raw in list(desk.sealed.scan(table)):
            old = then(raw)
            count += old != raw
            desk.sealed.put(table, place, old)
    desk.sealed.delete(*FORM)
    return count


def entries(rig) -> list[str]:
    with rig.disk.reading() as reader:
        found = list(rig.authority._log.entries(reader, 0, 10_000))
    return [one.summary for one in found if one.kind == "store.upgraded"]


def test_they_are_written_anew_at_the_unlock_and_only_once():
    async def day(rig):
        today = rig.authority_rows()
        count = await rig.authority.run(back_in_time)
        tables = {table: len(today[table]) for table in THEN}
        assert min(tables.values()) >= 1, tables
        old = rig.authority_rows()
        for table in (rows.KEYS, rows.CLAIMS, rows.TERMS):
            assert not old[table].items() & today[table].items(), "the positive control"
        with pytest.raises(MalformedMessage):
            decode(KeyRecord, next(iter(old[rows.KEYS].values())))
        rig.start_authority()
        assert await rig.unlock_by("h2") == "ready"
        for table in THEN:
            assert rig.authority_rows()[table] == today[table], table
        assert rig.authority_rows()[rows.FORM] == {b"form": bytes([old_rows.FORM])}
        (said,) = entries(rig)
        assert said.startswith(f"{count} rows ")
        assert await rig.release("app", "payroll", by=["h4", "h1"])
        rig.start_authority()
        await rig.unlock_by("h1")
        assert len(entries(rig)) == 1

    rig = lived()
    rig.run(day(rig))


def test_a_row_that_cannot_be_read_holds_up_nothing():
    async def day(rig):
        await rig.authority.run(back_in_time)
        place = next(iter(rig.disk._tables[rows.KEYS]))
        damaged = bytes(len(rig.disk._tables[rows.KEYS][place]))
        with rig.disk.transaction() as tx:
            tx.put(rows.KEYS, place, damaged)
        rig.start_authority()
        assert await rig.unlock_by("h2") == "ready"
        assert rig.disk._tables[rows.KEYS][place] == damaged
        others = {k: v for k, v in rig.authority_rows()[rows.KEYS].items() if k != place}
        assert [decode(KeyRecord, row).options for row in others.values()] == [KeyOptions.of()]

    rig = lived()
    rig.run(day(rig))


@dataclass(frozen=True, slots=True, kw_only=True)
class TomorrowsTerms:
    options: KeyOptions
    making: Tally | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTermsV2:
    """The terms of today, as tomorrow's program reads them."""

    options: KeyOptions
    making: Tally | None

    def today(self) -> TomorrowsTerms:
        return TomorrowsTerms(options=self.options, making=self.making, place="here")


@pytest.mark.parametrize("begin", [1, 2])
def test_the_next_form_comes_after_this_one(monkeypatch, begin):
    """Tomorrow's program, on rows of today and on rows of version 1."""

    async def day(rig):
        today = rig.authority_rows()
        if begin == 1:
            await rig.authority.run(back_in_time)
        monkeypatch.setattr(old_rows, "FORM", 3)
        monkeypatch.setitem(old_rows._STEPS, 2, {rows.TERMS: KeyTermsV2})
        rig.start_authority()
        assert await rig.unlock_by("h2") == "ready"
        found = rig.authority_rows()
        assert found[rows.FORM] == {b"form": b"\x03"}
        terms = [decode(TomorrowsTerms, row) for row in found[rows.TERMS].values()]
        assert [one.place for one in terms] == ["here"]
        assert found[rows.KEYS] == today[rows.KEYS]
        assert len(entries(rig)) == 1
        rig.start_authority()
        await rig.unlock_by("h1")
        assert rig.authority_rows()[rows.TERMS] == found[rows.TERMS]
        assert len(entries(rig)) == 1

    rig = lived()
    rig.run(day(rig))


def test_where_the_number_cannot_be_read_every_step_is_run():
    async def day(rig):
        today = rig.authority_rows()
        await rig.authority.run(back_in_time)
        with rig.disk.transaction() as tx:
            tx.put(*FORM, bytes(60))
        rig.start_authority()
        assert await rig.unlock_by("h2") == "ready"
        for table in (*THEN, rows.FORM):
            assert rig.authority_rows()[table] == today[table], table

    rig = lived()
    rig.run(day(rig))


def test_a_new_domain_has_nothing_to_write_anew():
    async def day(rig):
        assert rig.authority_rows()[rows.FORM] == {b"form": bytes([old_rows.FORM])}
        rig.start_authority()
        await rig.unlock_by("h1")
        assert entries(rig) == []

    rig = lived()
    rig.run(day(rig))
