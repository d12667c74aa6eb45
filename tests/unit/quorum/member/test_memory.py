from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import (
    AUTHORITY,
    LATER,
    NOW,
    chain_of,
    grown,
    join,
    no,
    proposal,
    proposed,
    remove,
    verdict,
    who,
)
from tigertally.audit.checkpoint import SignedCheckpoint
from tigertally.audit.log import AuditLog
from tigertally.base.errors import (
    Corrupt,
    InvalidSignature,
    MalformedMessage,
    NewerVersion,
    PeerFault,
    Refused,
    Unavailable,
)
from tigertally.base.ids import DomainId, Text
from tigertally.node.kinds import all_kinds
from tigertally.quorum import restoration
from tigertally.quorum.approval import cosigned_sizes, open_approval
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE
from tigertally.quorum.member import memory
from tigertally.quorum.member import witness as witnesses
from tigertally.quorum.messages import CheckpointProof, ProposalState
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import (
    open_proposal,
    options_body,
    proposal_id,
    sign_proposal,
)
from tigertally.storage.memory import MemoryStore

pytestmark = [pytest.mark.requirement("C7"), pytest.mark.requirement("X5")]

CHAIN = chain_of(4, threshold=3)
NOWADAYS = CHAIN.current
KINDS = all_kinds()
ASKED = remove(NOWADAYS, "h4")


@pytest.fixture
def tx():
    with MemoryStore().transaction() as tx:
        yield tx


def state(asked=ASKED, *, yes=(), nays=(), status=Status.PENDING):
    return ProposalState(
        proposal=asked,
        approvals=tuple(verdict(asked, NOWADAYS, i) for i in yes),
        rejections=tuple(no(asked, NOWADAYS, i) for i in nays),
        late=(),
        status=status,
        why=Text(""),
    )


def seen(*args, **rest):
    return memory.see(state(*args, **rest), CHAIN, KINDS)


class TestRosters:
    def test_they_are_taken_under_the_pinned_key_and_kept(self, tx):
        with pytest.raises(Unavailable):
            memory.load_chain(tx)
        with pytest.raises(Unavailable):
            memory.take_rosters(tx, (), AUTHORITY.key.public)
        with pytest.raises(PeerFault):
            memory.take_rosters(tx, CHAIN.signed, who("mallory").key.public)
        assert memory.take_rosters(tx, CHAIN.signed[:2], AUTHORITY.key.public).current.version == 2
        assert memory.take_rosters(tx, CHAIN.signed[1:], AUTHORITY.key.public) == CHAIN
        assert memory.load_chain(tx) == CHAIN

    def test_older_ones_change_nothing(self, tx):
        memory.store_chain(tx, CHAIN)
        assert memory.take_rosters(tx, CHAIN.signed[:1], AUTHORITY.key.public) == CHAIN
        assert memory.take_rosters(tx, (), AUTHORITY.key.public) == CHAIN

    def test_a_gap_in_our_own_store(self, tx):
        memory.store_chain(tx, CHAIN)
        tx.delete(memory.ROSTERS, (2).to_bytes(4, "big"))
        with pytest.raises(Corrupt):
            memory.load_chain(tx)


LIES = {
    "a yes as a no": replace(state(), rejections=state(yes=(1,)).approvals),
    "a no as a yes": replace(state(), approvals=state(nays=(1,)).rejections),
    "one twice": replace(state(), approvals=state(yes=(1,)).approvals * 2),
    "one on both sides": state(yes=(1,), nays=(1,)),
    "one without a vote": state(yes=(4,)),
    "for another proposal": replace(
        state(), approvals=state(join(NOWADAYS, "z"), yes=(1,)).approvals
    ),
    "complete, it says": state(yes=(1, 2), status=Status.COMPLETE),
    "rejected, it says": replace(state(nays=()), status=Status.REJECTED),
}


class TestSeeing:
    def test_words_and_names(self):
        one = seen(yes=(1, 2), nays=(3,))
        assert "h4" in one.words
        assert one.proposer == "h1"
        assert one.needed == 3
        assert [one.voted(i) for i in (1, 2, 3, 4)] == [True, True, True, False]
        joiner = seen(join(NOWADAYS, "zoe"))
        assert joiner.proposer == "zoe (not yet a member)"

    def test_a_stranger_does_not_pass_for_whom_it_names(self):
        assert seen(remove(NOWADAYS, "h4", by="mallory")).proposer.startswith("stranger ")

    @pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
    def test_lies_of_the_relay(self, lie):
        with pytest.raises(PeerFault) as fault:
            memory.see(lie, CHAIN, KINDS)
        assert fault.value.culprits == ("authority",)
        assert not fault.value.sure

    def test_an_honest_holder_is_not_blamed_for_a_broken_relay(self):
        forged = verdict(ASKED, NOWADAYS, 2, key=who("mallory").key)
        with pytest.raises(InvalidSignature) as fault:
            memory.see(replace(state(), approvals=(forged,)), CHAIN, KINDS)
        assert fault.value.culprits == ("authority",)

    def test_proposals_of_the_past_are_seen_against_the_past(self):
        longer = grown(CHAIN, join(NOWADAYS, "h5"), 1, 2, 3)
        assert memory.see(state(yes=(1,)), longer, KINDS).needed == 3


def test_what_may_be_voted_on():
    good = open_proposal(ASKED)
    memory.check_may_vote_on(good, NOWADAYS, KINDS)
    longer = grown(CHAIN, join(NOWADAYS, "app", role=Role.REQUESTER), 1, 2, 3)
    with pytest.raises(Refused):
        memory.check_may_vote_on(good, longer.current, KINDS)
    with pytest.raises(Refused):
        memory.check_may_vote_on(
            open_proposal(remove(NOWADAYS, "h4", by="mallory")), NOWADAYS, KINDS
        )


class TestVotes:
    one, two = open_proposal(ASKED), open_proposal(join(NOWADAYS, "zoe"))
    first, second = proposal_id(ASKED), proposal_id(join(NOWADAYS, "zoe"))

    def test_one_successor_at_a_time(self, tx):
        memory.check_vote_free(tx, self.one, self.first, now=NOW)
        memory.remember_vote(tx, self.one, self.first, now=NOW)
        assert memory.vote_given(tx, NOWADAYS) == self.first
        memory.check_vote_free(tx, self.one, self.first, now=NOW)
        with pytest.raises(Refused):
            memory.check_vote_free(tx, self.two, self.second, now=LATER - 1)
        memory.check_vote_free(tx, self.two, self.second, now=LATER)

    def test_other_kinds_bind_nobody(self, tx):
        plain = open_proposal(proposed(NOWADAYS))
        memory.remember_vote(tx, plain, self.second, now=NOW)
        assert memory.vote_given(tx, NOWADAYS) is None

    def test_free_after_enough_signed_rejections(self, tx):
        memory.remember_vote(tx, self.one, self.first, now=NOW)
        assert not memory.free_vote(tx, seen(), NOWADAYS)
        assert not memory.free_vote(tx, seen(join(NOWADAYS, "zoe"), nays=(1, 2)), NOWADAYS)
        assert memory.vote_given(tx, NOWADAYS) == self.first
        assert memory.free_vote(tx, seen(nays=(1,)), NOWADAYS)  # 3 may vote, 3 are needed
        assert memory.vote_given(tx, NOWADAYS) is None


class TestWitness:
    log = AuditLog(restoration.log_origin(NOWADAYS.domain), AUTHORITY.key)

    def shown(self, *words):
        with MemoryStore().transaction() as tx:
            for word in words:
                self.log.append(tx, time=1, kind="test.entry", actor="h1", summary=word)
            proofs = {
                size: self.log.consistency_proof(tx, size) for size in range(1, len(words) + 1)
            }
            return self.log.checkpoint(tx).to_text(), proofs

    def test_it_moves_on_and_is_kept(self, tx):
        fresh = witnesses.load_witness(tx, NOWADAYS)
        assert fresh.size == 0
        one, _ = self.shown("a")
        three, proofs = self.shown("a", "b", "c")
        witness = memory.advance(fresh, one, {})
        witnesses.store_witness(tx, witness)
        assert witnesses.load_witness(tx, NOWADAYS) == witness
        assert memory.advance(witness, three, proofs).size == 3
        for bad, with_proofs in ((self.shown("x", "b", "c")[0], proofs), (three, {})):
            with pytest.raises(PeerFault):
                memory.advance(witness, bad, with_proofs)

    def test_what_others_cosigned(self, tx):
        three, proofs = self.shown("a", "b", "c")
        witness = memory.advance(witnesses.load_witness(tx, NOWADAYS), three, {})

        def approval(checkpoint):
            return open_approval(verdict(ASKED, NOWADAYS, 1, checkpoint=checkpoint), NOWADAYS)

        fine = [approval(text) for text in ("", self.shown("a")[0], three)]
        memory.compare_cosigned(witness, fine, proofs, {}, NOWADAYS.domain)
        assert cosigned_sizes(fine) == (1, 3)
        for text in (self.shown("x")[0], self.shown("a", "b", "x")[0], self.shown(*"abcd")[0]):
            with pytest.raises(PeerFault):
                memory.compare_cosigned(witness, [approval(text)], proofs, {}, NOWADAYS.domain)

    def test_what_a_holder_made_up_convicts_nobody(self, tx):
        three, proofs = self.shown("a", "b", "c")
        witness = memory.advance(witnesses.load_witness(tx, NOWADAYS), three, {})
        other = AuditLog(self.log.origin, who("h1").key)
        with MemoryStore().transaction() as made:
            other.append(made, time=1, kind="test.entry", actor="h1", summary="lie")
            forged = other.checkpoint(made).to_text()
        for text in ("nonsense", forged):
            approval = open_approval(verdict(ASKED, NOWADAYS, 1, checkpoint=text), NOWADAYS)
            memory.compare_cosigned(witness, [approval], proofs, {}, NOWADAYS.domain)

    def test_two_syncs_of_one_device(self, tx):
        fresh = witnesses.load_witness(tx, NOWADAYS)
        one = memory.advance(fresh, self.shown("a")[0], {})
        two = memory.advance(fresh, self.shown("a", "b")[0], {})
        other = memory.advance(fresh, self.shown("x")[0], {})
        assert memory.newest_witness(fresh, fresh, one) == one
        assert memory.newest_witness(two, fresh, one) == two
        assert memory.newest_witness(one, fresh, two) == one
        assert memory.newest_witness(one, fresh, one) == one
        with pytest.raises(PeerFault) as forked:
            memory.newest_witness(one, fresh, other)
        assert forked.value.sure
        assert SignedCheckpoint.from_text(self.shown("a")[0]) == one.newest


def test_proofs_by_size():
    proof = CheckpointProof(size=3, proof=())
    assert memory.proofs_by_size((proof,)) == {3: ()}


NOTICE = proposed(NOWADAYS, kind="tomorrow.notice", body=options_body(about=["h4", b"\x01"]))
ADDED = proposed(NOWADAYS, kind=REMOVE, body=options_body(name="h4", after=7))
CHANGE = sign_proposal(
    who("h1").key,
    replace(proposal(NOWADAYS, kind="tomorrow.change"), predecessor=NOWADAYS.hash),
)
GARBLED = proposed(NOWADAYS, kind=REMOVE, body=options_body(name="../h4"))
UNKNOWN = {"kind": NOTICE, "option": ADDED, "roster kind": CHANGE, "unreadable": GARBLED}


class TestUnknown:
    """A proposal that this program does not understand: seen, listed, never approved."""

    @pytest.mark.parametrize("asked", UNKNOWN.values(), ids=UNKNOWN)
    def test_it_ends_nothing(self, asked):
        one = seen(asked, yes=(2, 1), nays=(4,))
        assert isinstance(one, memory.UnknownProposal)
        assert one.id == proposal_id(asked)
        assert (one.proposer, one.needed) == ("h1", None)
        assert [a.holder for a in one.approvals] == [2, 1]
        assert [a.holder for a in one.rejections] == [4]
        memory.check_cast(one, CHAIN)
        for text in (one.words, str(one.refusal())):
            assert "cannot be approved on this device" in text
        assert ("newer version" in one.words) == (asked is not GARBLED)

    @pytest.mark.parametrize("asked", UNKNOWN.values(), ids=UNKNOWN)
    def test_nobody_can_be_made_to_sign_it(self, asked):
        with pytest.raises((NewerVersion, MalformedMessage)):
            memory.check_may_vote_on(open_proposal(asked), NOWADAYS, KINDS)

    def test_how_many_are_enough_is_not_known(self):
        for status in (Status.COMPLETE, Status.REJECTED):
            assert seen(NOTICE, yes=(1,), status=status).state.status is status

    @pytest.mark.parametrize("asked", [NOTICE, ADDED], ids=["kind", "option"])
    def test_its_verdicts_are_verified_all_the_same(self, asked):
        good = state(asked, yes=(1,))
        forged = replace(
            good, approvals=(verdict(asked, NOWADAYS, 2, key=who("mallory").key), *good.approvals)
        )
        with pytest.raises(InvalidSignature) as caught:
            memory.see(forged, CHAIN, KINDS)
        assert caught.value.culprits == ("authority",)
        for lie in (
            replace(good, approvals=good.approvals * 2),
            replace(good, rejections=good.approvals),
            replace(good, approvals=state(yes=(2,)).approvals),
            replace(good, approvals=(verdict(asked, NOWADAYS, 2, time=LATER),)),
        ):
            with pytest.raises(PeerFault) as lying:
                memory.see(lie, CHAIN, KINDS)
            assert lying.value.culprits == ("authority",)

    def test_it_is_put_to_us(self):
        before = chain_of(3, threshold=3)
        old = proposed(before.current, kind="tomorrow.notice")
        assert isinstance(seen(old), memory.UnknownProposal)  # to holders of the past
        with pytest.raises(Refused):
            memory.see(state(NOTICE), before, KINDS)
        elsewhere = replace(open_proposal(NOTICE), domain=DomainId(bytes(32)))
        with pytest.raises(Refused, match="another domain"):
            memory.see(state(sign_proposal(who("h1").key, elsewhere)), CHAIN, KINDS)
