from __future__ import annotations

from dataclasses import replace

import pytest

from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.audit.log import AuditLog
from tigertally.audit.witness import Witness, verify_entries
from tigertally.base import codec
from tigertally.base.errors import InvalidSignature, PeerFault
from tigertally.base.ids import Hash
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.signatures import SigningKey
from tigertally.storage.memory import MemoryStore

pytestmark = pytest.mark.requirement("X5")

KEY = SigningKey.generate(SeededRandomness("authority"))
LOG = AuditLog("tally.example/hq", KEY)


class Server:
    """A log that may lie: the real log code over a store that its owner rewrites."""

    def __init__(self, summaries):
        self.store = MemoryStore()
        self.add(*summaries)

    def add(self, *summaries):
        with self.store.transaction() as tx:
            for summary in summaries:
                LOG.append(tx, time=1, kind="test", actor="hq", summary=summary)
        return self

    def show(self, old=0):
        with self.store.reading() as reader:
            size = LOG.size(reader)
            proof = LOG.consistency_proof(reader, min(old, size))
            return LOG.checkpoint(reader), proof

    def proof(self, old, new):
        with self.store.reading() as reader:
            return LOG.consistency_proof(reader, old, new)

    def entries(self):
        with self.store.reading() as reader:
            return list(LOG.entries(reader))


def words(count, **changed):
    return [changed.get(f"at{i}", f"entry {i}") for i in range(count)]


@pytest.fixture
def honest():
    return Server(words(5))


@pytest.fixture
def witness(honest):
    return Witness(origin=LOG.origin, key=KEY.public).advance(honest.show()[0])


def assert_names_the_log(caught, *, sure=False):
    assert caught.value.culprits == (LOG.origin,)
    assert caught.value.sure is sure


def test_it_follows_an_honest_log(honest):
    witness = Witness(origin=LOG.origin, key=KEY.public)
    for number in range(5, 30):
        signed, proof = honest.show(witness.size)
        witness = witness.advance(signed, proof)
        assert witness.size == number
        assert witness.newest == signed
        honest.add(f"entry {number}")


def test_nothing_new_is_fine(honest, witness):
    signed, proof = honest.show(5)
    assert proof == ()
    cosigned = signed.cosigned("bob", KEY, time=1)
    assert witness.advance(cosigned, proof).newest == cosigned


def test_it_is_remembered_as_it_was(witness):
    assert codec.decode(Witness, codec.encode(witness)) == witness


@pytest.mark.parametrize("longer", [5, 6, 9, 30])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_rewritten_log_is_caught(witness, longer, place):
    liar = Server(words(longer, **{f"at{place}": "nothing happened here"}))
    signed, proof = liar.show(witness.size)
    with pytest.raises(PeerFault) as caught:
        witness.advance(signed, proof)
    assert_names_the_log(caught, sure=longer == 5)
    assert witness.size == 5


@pytest.mark.parametrize("shorter", [0, 1, 4])
def test_a_cut_log_is_caught(witness, shorter):
    liar = Server(words(shorter))
    with pytest.raises(PeerFault, match="cut") as caught:
        witness.advance(*liar.show(witness.size))
    assert_names_the_log(caught)


def test_a_cut_and_regrown_log_is_caught(witness):
    liar = Server(words(3)).add("other", "past", "now")
    with pytest.raises(PeerFault) as caught:
        witness.advance(*liar.show(witness.size))
    assert_names_the_log(caught)


def test_a_fork_is_caught_by_comparing(honest, witness):
    other = Server(words(5)).add("shown to bob only")
    bob = Witness(origin=LOG.origin, key=KEY.public).advance(other.show()[0])
    honest.add("shown to alice only")
    alice = witness.advance(*honest.show(5))
    with pytest.raises(PeerFault, match="forked") as caught:
        alice.compare(bob.newest)
    assert_names_the_log(caught, sure=True)
    other.add("more")
    bob = bob.advance(*other.show(6))
    for server in (honest, other):
        with pytest.raises(PeerFault) as caught:
            bob.compare(alice.newest, server.show(6)[1])
        assert_names_the_log(caught)


def test_an_older_or_newer_checkpoint_of_another_holder_fits(honest, witness):
    old = witness.newest
    newer = witness.advance(*honest.add("a", "b").show(5))
    newer.compare(old, honest.proof(5, 7))
    witness.compare(newer.newest, honest.proof(5, 7))
    Witness(origin=LOG.origin, key=KEY.public).compare(old)
    with pytest.raises(PeerFault):
        newer.compare(old, honest.proof(4, 7))


def test_a_proof_that_was_broken_on_the_way_convicts_nobody_for_sure(honest, witness):
    signed, proof = honest.add("a", "b").show(5)
    for i in range(len(proof)):
        broken = [*proof[:i], Hash(bytes(32)), *proof[i + 1 :]]
        with pytest.raises(PeerFault) as caught:
            witness.advance(signed, broken)
        assert not caught.value.sure
    assert witness.advance(signed, proof).size == 7


def test_another_key_and_another_log_are_refused(honest, witness):
    signed, proof = honest.add("a").show(5)
    other = SigningKey.generate(SeededRandomness("other"))
    with pytest.raises(InvalidSignature):
        witness.advance(SignedCheckpoint.sign(signed.checkpoint, other), proof)
    renamed = replace(signed.checkpoint, origin="tally.example/other")
    with pytest.raises(PeerFault, match="another log"):
        witness.advance(SignedCheckpoint.sign(renamed, KEY), proof)
    changed = replace(signed, checkpoint=replace(signed.checkpoint, root=Hash(bytes(32))))
    with pytest.raises(InvalidSignature):
        witness.advance(changed, proof)


def test_an_empty_log_with_a_root_of_its_own_is_caught():
    lie = Checkpoint(origin=LOG.origin, size=0, root=Hash(bytes(32)))
    witness = Witness(origin=LOG.origin, key=KEY.public).advance(SignedCheckpoint.sign(lie, KEY))
    with pytest.raises(PeerFault) as caught:
        witness.advance(*Server(words(1)).show(0))
    assert_names_the_log(caught)


def test_all_entries_of_a_checkpoint(honest, witness):
    verify_entries(honest.entries(), witness.newest.checkpoint)
    verify_entries([], Server([]).show()[0].checkpoint)


def test_entries_that_are_not_those_of_the_checkpoint(honest, witness):
    entries = honest.entries()
    checkpoint = witness.newest.checkpoint
    renamed = replace(entries[2], summary=Server(["forged"]).entries()[0].summary)
    for wrong in (
        entries[:-1],
        entries[1:],
        [],
        [*entries, replace(entries[0], index=5)],
        [*entries[:2], renamed, *entries[3:]],
        [entries[1], entries[0], *entries[2:]],
        [*entries[:2], entries[1], *entries[3:]],
    ):
        with pytest.raises(PeerFault) as caught:
            verify_entries(wrong, checkpoint)
        assert_names_the_log(caught)
