from __future__ import annotations

from domain_rig import DomainRig
from tigertally.base.ids import HolderIndex
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.service.rows import Due, dues, owe
from tigertally.quorum.authority.desk import DomainDesk


def test_who_owes_something_is_woken() -> None:
    """A removed holder may still stand in an old epoch: it owes, and there is nobody to wake."""
    rig = DomainRig()

    def work(desk: DomainDesk) -> tuple[set[VerifyKey], list[list[bytes]]]:
        for index in (2, 9):
            owe(desk, HolderIndex(index), Due.DEAL, b"x")
        return desk.woken, [dues(desk.sealed, HolderIndex(i), Due.DEAL) for i in (1, 2, 9)]

    async def day() -> None:
        await rig.form(2)
        woken, owed = await rig.authority.run(work)
        assert woken == {rig.devices["h2"].key.public}
        assert owed == [[], [b"x"], [b"x"]]

    rig.run(day())
