from __future__ import annotations

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.errors import Locked, Refused, Unavailable
from tigertally.base.secret import Secret
from tigertally.host.desk import KeepChanges
from tigertally.quorum.authority.desk import barrier_of

pytestmark = pytest.mark.requirement("C6")


@pytest.fixture
def rig():
    rig = DomainRig()

    async def day():
        await rig.form(2)
        await rig.requester("app")

    rig.run(day())
    return rig


def at(rig, work):
    return rig.run(rig.authority.run(work))


def test_who_is_behind_a_connection(rig):
    h1, app = rig.devices["h1"].key.public, rig.devices["app"].key.public
    assert at(rig, lambda desk: desk.holder(h1).name) == "h1"
    assert at(rig, lambda desk: desk.member(app)) == "app"
    assert at(rig, lambda desk: desk.member(rig.key.public)) == "authority"
    other = DomainRig(seed=8).key.public
    for peer in (None, other, app):
        with pytest.raises(Refused):
            at(rig, lambda desk, peer=peer: desk.holder(peer))
    for peer in (None, other):
        with pytest.raises(Refused):
            at(rig, lambda desk, peer=peer: desk.member(peer))


def test_before_the_first_holder_there_is_no_roster():
    rig = DomainRig()
    with pytest.raises(Unavailable):
        at(rig, lambda desk: desk.roster)


def test_locked_rows_cannot_be_reached(rig):
    assert at(rig, lambda desk: desk.sealed.get("proposal", b"none")) is None
    rig.start_authority()
    before = dump(rig.disk)
    with pytest.raises(Locked):
        at(rig, lambda desk: desk.sealed)
    with pytest.raises(Locked):
        at(rig, lambda desk: (desk.plain.put("roster", b"x", b"y"), desk.sealed))
    assert dump(rig.disk) == before


def test_a_change_and_its_entry_commit_together_or_not_at_all(rig):
    before = dump(rig.disk)

    def fails(desk):
        desk.plain.put("t", b"k", b"v")
        desk.record("test.entry", actor="h1", summary="never happened")
        raise Refused("no")

    with pytest.raises(Refused):
        at(rig, fails)
    assert dump(rig.disk) == before

    def unloggable(desk):
        desk.plain.put("t", b"k", b"v")
        desk.record("test.entry", actor="h1", summary="two\nlines")

    with pytest.raises(Exception, match="line"):
        at(rig, unloggable)
    assert dump(rig.disk) == before


def test_refusals_that_are_remembered(rig):
    def fails(desk):
        desk.record("test.entry", actor="h1", summary="remembered")
        raise KeepChanges(Refused("no"))

    before = dump(rig.disk)
    with pytest.raises(Refused, match="no"):
        at(rig, fails)
    assert len(dump(rig.disk)["audit"]) == len(before["audit"]) + 1


def test_wake(rig):
    def work(desk):
        desk.wake_holders()
        return desk.woken

    keys = {rig.devices[name].key.public for name in ("h1", "h2")}
    assert at(rig, work) == keys


def test_rows_are_sealed_under_the_barrier_key(rig):
    key = Secret(bytes(range(32)))
    barrier = barrier_of(key)
    assert barrier.sealer.open("t", b"k", barrier.sealer.seal("t", b"k", b"row")) == b"row"
