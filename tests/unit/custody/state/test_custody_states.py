"""What parties remember: nothing secret is shown, rows come back as they went."""

from __future__ import annotations

from dataclasses import replace

from custody_small import KEY
from tigertally.base.codec import decode, encode
from tigertally.base.ids import Hash, HolderIndex, Name, ProposalId
from tigertally.custody.messages.kinds import Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.state.authority import EpochId, KeyRecord, KeyState
from tigertally.custody.state.holder import HeldEpoch, Terms
from tigertally.quorum.receive_keys import ReceiveSeeds

RECORD = KeyRecord(
    ref=KEY,
    made_by=ProposalId(b"\x03" * 32),
    suite=Suite.PEDERSEN_ED25519,
    options=KeyOptions.of((Name("app"),)),
    created=1,
)


def test_a_certified_epoch_is_the_next_one_and_nothing_is_coming_any_more() -> None:
    epoch, name = EpochId(proposal=ProposalId(b"\x01" * 32), attempt=1), Hash(b"\x05" * 32)
    live = replace(RECORD, coming=epoch).in_epoch(epoch, name)
    assert (live.live, live.live_hash, live.coming, live.number) == (epoch, name, None, 1)
    assert live.usable
    assert live.in_epoch(epoch, name).number == 2


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
    terms = Terms(options=KeyOptions.of((Name("app"),), unattended=True))
    assert decode(Terms, encode(terms)) == terms


def test_secrets_do_not_print() -> None:
    held = HeldEpoch(statement=b"", payloads=(b"secret",), certificate=None)
    seeds = ReceiveSeeds(number=1, created=2, seeds=((0, b"secret"),), published=False)
    assert "secret" not in f"{held!r} {held} {seeds!r} {seeds}"
    assert seeds.seed_for(0) == b"secret"
    assert seeds.seed_for(HolderIndex(1)) is None
