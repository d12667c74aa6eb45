"""A dealing whose receiver has replaced its receive keys is made anew, whatever words say so."""

from __future__ import annotations

from typing import Any

import pytest

from domain_rig import DomainRig
from tigertally.base.errors import Unavailable
from tigertally.base.ids import Name
from tigertally.custody.client import rows
from tigertally.custody.messages.kinds import Create, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.service import create
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import proposal_id

BODY = Create(key=Name("pay"), suite=Suite.PEDERSEN_ED25519, acks=2, options=KeyOptions.of())


def overtaken(rig: DomainRig, client: Any, times: int) -> list[int]:
    """After each of the client's first `times` looks at the receive keys h2 replaces its own."""
    looks, look = [0], client.receive_keys.fetch

    async def fetch(*args: Any) -> Any:
        found = await look(*args)
        looks[0] += 1
        if looks[0] <= times:
            await rig.sync("h2")
        return found

    client.receive_keys.fetch = fetch
    return looks


@pytest.mark.requirement("C3")
@pytest.mark.requirement("C9")
@pytest.mark.parametrize("words", [create.KEYS_REPLACED_V1, "says it in other words"])
def test_a_proposer_deals_anew(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "KEYS_REPLACED_V1", words)
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        client = rig.holder("h1")
        synced, _ = await client.sync()
        looks = overtaken(rig, client, 1)
        state = await client.dealings.create_key(BODY, synced)
        # One look to deal, one to see that it was in vain, one to deal anew.
        assert (state.status, looks[0]) == (Status.PENDING, 3)
        await rig.approve("h3", proposal_id(state.proposal).hex())
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        await rig.requester("app")
        await rig.release("app", "pay", by=["h1", "h3"])

    rig.run(day())


@pytest.mark.requirement("C9")
def test_other_troubles_are_no_reason_to_deal_anew() -> None:
    """The kept dealing stays: the same bytes go out the next time."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        client = rig.holder("h1")
        synced, _ = await client.sync()
        looks, sent = overtaken(rig, client, 0), []

        async def propose(*args: Any, attachment: bytes, **more: Any) -> Any:
            sent.append(attachment)
            raise Unavailable(f"a holder {create.KEYS_REPLACED_V1}: so it says, and lies")

        client.member.propose = propose
        proposal = client.member.new_proposal(Name("custody.create"), BODY.to_body(), synced.roster)
        for _ in range(2):
            with pytest.raises(Unavailable, match="so it says, and lies"):
                await client.dealings.create_key(BODY, synced, proposal=proposal)
        assert len(sent) == 2
        assert sent[0] == sent[1]
        assert looks[0] == 3  # to deal, and after each failure
        with client.party.store.reading() as reader:
            assert reader.get(rows.DEALT, rows.attempt_key(proposal_id(proposal), 1)) == sent[0]

    rig.run(day())


@pytest.mark.requirement("C9")
def test_one_who_is_always_overtaken_gives_up() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(3)
        client = rig.holder("h1")
        synced, _ = await client.sync()
        overtaken(rig, client, 1000)
        with pytest.raises(Unavailable, match="faster than we can deal"):
            await client.dealings.create_key(BODY, synced)

    rig.run(day())
