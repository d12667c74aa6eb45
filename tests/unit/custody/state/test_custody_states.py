"""What parties remember: nothing secret is shown, rows come back as they went."""

from __future__ import annotations

from dataclasses import replace

from custody_small import KEY
from tigertally.base.codec import decode, encode
from tigertally.base.ids import HolderIndex, Name, ProposalId
from tigertally.custody.messages.bodies import Suite
from tigertally.custody.state.authority import EpochId, KeyRecord, KeyState
from tigertally.custody.state.holder import HeldEpoch, ReceiveSeeds, Terms

RECORD = KeyRecord(
    ref=KEY,
    made_by=ProposalId(b"\x03" * 32),
    suite=Suite.PEDERSEN_ED25519,
    requesters=(Name("app"),),
    unattended=False,
    created=1,
)


def test_only_the_named_may_ask_and_without_names_all() -> None:
    assert RECORD.may_be_asked_by("app")
    assert not RECORD.may_be_asked_by("other")
    assert replace(RECORD, requesters=()).may_be_asked_by("other")


def test_the_newest_troubles_are_kept() -> None:
    record = RECORD
    for number in range(20):
        record = record.with_trouble(f"trouble {number} " + "x" * 300)
    assert [line.split()[1] for line in record.trouble] == [str(n) for n in range(12, 20)]
    assert max(map(len, record.trouble)) == 200


def test_rows_come_back() -> None:
    record = replace(RECORD, coming=EpochId(proposal=ProposalId(b"\x01" * 32), attempt=258))
    assert decode(KeyRecord, encode(record)) == record
    assert record.state is KeyState.PENDING
    assert record.coming is not None
    assert record.coming.to_bytes() == b"\x01" * 32 + b"\x01\x02"
    terms = Terms(requesters=(Name("app"),), unattended=True)
    assert decode(Terms, encode(terms)) == terms


def test_secrets_do_not_print() -> None:
    held = HeldEpoch(statement=b"", payloads=(b"secret",), certificate=None)
    seeds = ReceiveSeeds(number=1, created=2, seeds=((0, b"secret"),), published=False)
    assert "secret" not in f"{held!r} {held} {seeds!r} {seeds}"
    assert seeds.seed_for(0) == b"secret"
    assert seeds.seed_for(HolderIndex(1)) is None
