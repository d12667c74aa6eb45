"""What a device keeps, and when it lets a fragment go: only for a certified higher epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from custody_small import KEY, NOW, small
from tigertally.base.codec import decode, encode
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.randomness import SeededRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.client import rows
from tigertally.custody.messages.dealing import Certificate, Statement
from tigertally.custody.messages.release import WrappedFragment
from tigertally.custody.protocol.receiver import check_opening, expected_dealers
from tigertally.custody.state.holder import HeldEpoch, KeptWrap
from tigertally.quorum.receive_keys import bundle_hash, draw_receive_keys
from tigertally.storage.memory import MemoryStore
from tigertally.storage.sealed import SealedStore, SealedTransaction

SMALL = small()
P = ProposalId(b"\x01" * 32)


@contextmanager
def transaction() -> Iterator[SealedTransaction]:
    with SealedStore(MemoryStore(), Secret(bytes(32))).transaction() as tx:
        yield tx


def statement(version: int, attempt: int) -> Statement:
    tally, verified, body = SMALL.create()
    what = SMALL.occasion(verified, body)
    packages = [SMALL.package(what, d) for d in expected_dealers(verified, body, frozenset())]
    one, _, _ = check_opening(SMALL.opening(tally, packages, 1), SMALL.chain)
    return replace(one, roster_version=version, attempt=attempt)


def held(version: int, attempt: int = 1) -> HeldEpoch:
    raw = encode(statement(version, attempt))
    return HeldEpoch(statement=raw, payloads=(b"fragment %d" % version,), certificate=None)


def proof(of: HeldEpoch) -> Certificate:
    return Certificate(statement=of.statement, acknowledgements=())


def versions(tx: SealedTransaction) -> list[tuple[int, bool]]:
    return [
        (one.parsed().roster_version, one.certificate is not None) for one in rows.Held(tx).of(KEY)
    ]


@pytest.mark.requirement("C12")
def test_a_fragment_goes_only_for_its_own_higher_certified_one() -> None:
    low, high, foreign = held(5), held(6), held(7)
    with transaction() as tx:
        rows.put_held(tx, low)
        assert rows.Held(tx).live(KEY) is None
        assert not rows.certify(tx, proof(low))
        rows.put_held(tx, high)  # acknowledged, not certified: the low one still serves
        live = rows.Held(tx).live(KEY)
        assert live is not None
        assert live.statement == low.statement
        assert not rows.certify(tx, proof(foreign))  # certified, but we have no fragment of it
        assert versions(tx) == [(5, True), (6, False)]
        assert rows.certify(tx, proof(high))
        assert versions(tx) == [(6, True)]
        assert rows.EPOCHS.get(tx, low.parsed().hash) is None
        assert not rows.certify(tx, proof(low))  # a late certificate brings nothing back
        assert versions(tx) == [(6, True)]


def test_a_lower_certificate_erases_nothing_above() -> None:
    low, high = held(5), held(6)
    with transaction() as tx:
        rows.put_held(tx, low)
        rows.put_held(tx, high)
        assert not rows.certify(tx, proof(low))
        assert versions(tx) == [(5, True), (6, False)]


def test_epochs_stand_in_order_of_roster_and_attempt() -> None:
    with transaction() as tx:
        for version, attempt in ((300, 1), (5, 2), (5, 300), (5, 1)):
            rows.put_held(tx, held(version, attempt))
        orders = [one.parsed().order for one in rows.Held(tx).of(KEY)]
        assert orders == [(5, 1), (5, 2), (5, 300), (300, 1)]
        assert len(list(rows.all_held(tx))) == 4


def wrap(of: HeldEpoch, expires: int = 100) -> KeptWrap:
    signature = SMALL.key(1).sign(b"t", b"m")
    fragment = WrappedFragment(delivery=Envelope(body=b"", signature=signature), wrapped=b"w")
    return KeptWrap(
        proposal=P,
        key=KEY,
        epoch=of.parsed().hash,
        expires=expires,
        fragment=fragment,
        sent=False,
    )


def wraps(tx: SealedTransaction) -> list[KeptWrap]:
    return [decode(KeptWrap, row) for _, row in tx.scan(rows.WRAPS, prefix=P)]


def test_wraps_die_with_their_epoch_and_with_their_proposal() -> None:
    low, high = held(5), held(6)
    with transaction() as tx:
        for one in (low, high):
            rows.put_held(tx, one)
            rows.put_wrap(tx, wrap(one))
        assert len(wraps(tx)) == 2
        rows.certify(tx, proof(high))
        assert [w.epoch for w in wraps(tx)] == [high.parsed().hash]
        assert rows.forget_expired(tx, 99) == 0
        assert len(wraps(tx)) == 1
        assert rows.forget_expired(tx, 100) > 0
        assert wraps(tx) == []
        assert rows.forget_expired(tx, 100) == 0


# --- receive keys ---------------------------------------------------------------------------


def draw(tx: SealedTransaction, number: int, created: int = NOW) -> Hash:
    seeds, envelope = draw_receive_keys(
        SMALL.roster.domain,
        HolderIndex(1),
        range(7),
        number=number,
        key=SMALL.key(1),
        now=created,
        randomness=SeededRandomness(f"seeds {number}"),
    )
    rows.put_seeds(tx, seeds, envelope)
    return bundle_hash(envelope)


@pytest.mark.requirement("X4")
def test_replaced_keys_are_erased_unless_a_delivery_needs_them() -> None:
    with transaction() as tx:
        first, second, third = (draw(tx, n) for n in (1, 2, 3))
        assert rows.forget_old_seeds(tx, in_use=(first,), made_before=0) == 1
        assert rows.seed_of(tx, first, 2) is not None
        assert rows.seed_of(tx, second, 2) is None
        assert rows.seed_of(tx, third, 2) is not None
        assert rows.forget_old_seeds(tx, in_use=(), made_before=0) == 1
        assert rows.seed_of(tx, first, 2) is None
        newest = rows.newest_bundle(tx)
        assert newest is not None
        assert bundle_hash(newest[0]) == third


@pytest.mark.requirement("X4")
def test_too_old_keys_are_erased_whatever_the_authority_says() -> None:
    with transaction() as tx:
        old, newest = draw(tx, 1, created=10), draw(tx, 2, created=20)
        assert rows.forget_old_seeds(tx, in_use=(old, newest), made_before=10) == 0
        assert rows.forget_old_seeds(tx, in_use=(old, newest), made_before=99) == 1
        assert rows.seed_of(tx, newest, 0) is not None  # the newest always stays


def test_published_once_and_numbered_on_even_without_seeds() -> None:
    with transaction() as tx:
        assert rows.newest_bundle(tx) is None
        assert rows.newest_number(tx) is None
        name = draw(tx, 41)
        newest = rows.newest_bundle(tx)
        assert newest is not None
        assert not newest[1].published
        rows.mark_published(tx, name)
        rows.mark_published(tx, Hash(bytes(32)))
        newest = rows.newest_bundle(tx)
        assert newest is not None
        assert newest[1].published
        tx.delete(rows.SEEDS, name)
        assert rows.newest_bundle(tx) is None
        assert rows.newest_number(tx) == 41


def test_an_open_request_prints_no_key() -> None:
    envelope = sign_message(SMALL.key(1), b"t", KEY)
    request = rows.Request(proposal=envelope, seed=b"secret", what=Hash(bytes(32)))
    assert "secret" not in repr(request)
    assert decode(rows.Request, encode(request)) == request
