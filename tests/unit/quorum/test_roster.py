from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import AUTHORITY, flipped, founding, roster, signed_founding, who
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import InvalidSignature, MalformedMessage, PeerFault, Refused
from tigertally.base.ids import DomainId, RosterHash, Signature
from tigertally.base.limits import MAX_HOLDERS
from tigertally.quorum.card import Role, open_card
from tigertally.quorum.roster import Roster, SignedRoster, verify_founding

pytestmark = pytest.mark.requirement("C13")

THREE = roster(3)
H1, H2, H3 = THREE.holders

BAD = {
    "quorum of one": {"threshold": 1},
    "quorum of 256": {"threshold": 256},
    "unlock of none": {"unlock": 0},
    "unlock above the quorum": {"unlock": 3},
    "version none": {"version": 0, "previous": None},
    "the first with a predecessor": {"version": 1},
    "the second without one": {"version": 2, "previous": None},
    "no holder": {"holders": ()},
    "holders out of order": {"holders": (H2, H1, H3)},
    "one index twice": {"holders": (H1, replace(H2, index=H1.index))},
    "an index not yet given": {"next_index": 3},
    "more holders than there are indices": {"next_index": MAX_HOLDERS + 2},
    "two with one signing key": {"holders": (H1, replace(H2, signing_key=H1.signing_key))},
    "two with one wrapping key": {"holders": (H1, replace(H2, wrapping_key=H1.wrapping_key))},
    "two with one name": {"holders": (H1, replace(H2, name=H1.name))},
    "a holder with the authority's key": {
        "holders": (H1, replace(H2, signing_key=THREE.authority.signing_key))
    },
    "a requester with a holder's key": {
        "requesters": (replace(THREE.requesters[0], signing_key=H1.signing_key),)
    },
    "a requester with a holder's name": {
        "requesters": (replace(THREE.requesters[0], name=H1.name),)
    },
    "an authority that is none": {"authority": open_card(who("authority").card(Role.HOLDER))},
}


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_an_impossible_roster_is_no_roster(changed):
    with pytest.raises(MalformedMessage):
        replace(THREE, **changed)


@pytest.mark.parametrize("changed", BAD.values(), ids=BAD)
def test_nor_is_one_off_the_wire(changed):
    good = encode(THREE)
    assert decode(Roster, good) == THREE
    wrong = replace(THREE)
    for name, value in changed.items():
        wrong.__dict__[name] = value
    with pytest.raises(MalformedMessage):
        decode(Roster, encode(wrong))


def test_the_electorate_is_domain_quorum_and_holders():
    same = replace(THREE, requesters=(), unlock=2, version=9, created=7)
    assert same.electorate == THREE.electorate
    assert same.hash != THREE.hash
    others = [
        replace(THREE, domain=DomainId(bytes(32))),
        replace(THREE, threshold=3),
        replace(THREE, holders=THREE.holders[:2]),
        replace(THREE, holders=(H1, H2, replace(H3, name=who("zoe").name))),
    ]
    assert len({THREE.electorate, *(other.electorate for other in others)}) == 5


def test_finding_members():
    assert THREE.holder(2) == H2
    with pytest.raises(Refused):
        THREE.holder(4)
    app = who("app").key.public
    assert THREE.holder_of(app) is None
    assert THREE.requester_of(app) == THREE.requesters[0]
    assert THREE.requester_of(H1.signing_key) is None
    assert THREE.name_of(app) == "app"
    assert THREE.name_of(who("mallory").key.public).startswith("stranger ")


@pytest.mark.parametrize(("holders", "forming"), [(1, True), (2, True), (3, False), (4, False)])
def test_forming(holders, forming):
    assert roster(holders, threshold=3).forming is forming


class TestFounding:
    def test_both_signed(self):
        assert verify_founding(signed_founding(), AUTHORITY.key.public) == founding()

    def test_another_authority_than_the_pinned_one(self):
        with pytest.raises(PeerFault):
            verify_founding(signed_founding(), who("mallory").key.public)

    def test_countersigned_by_another(self):
        with pytest.raises(InvalidSignature):
            verify_founding(signed_founding(key=who("mallory").key), AUTHORITY.key.public)

    def test_not_signed_by_the_founder(self):
        signed = signed_founding()
        wrong = Signature(flipped(signed.founder_signature))
        for bad in (None, wrong, signed.authority_signature):
            with pytest.raises((InvalidSignature, MalformedMessage)):
                verify_founding(replace(signed, founder_signature=bad), AUTHORITY.key.public)

    def test_with_a_tally(self):
        with pytest.raises(MalformedMessage):
            verify_founding(replace(signed_founding(), tally=b"x"), AUTHORITY.key.public)

    @pytest.mark.parametrize(
        "changed",
        [
            {"domain": DomainId(bytes(32))},
            {"holders": (who("h1").as_holder(1), who("h2").as_holder(2)), "next_index": 3},
            {"requesters": (who("app").as_requester(),)},
            {"version": 2, "previous": RosterHash(bytes(32))},
        ],
        ids=["another domain", "two holders", "a requester", "a later version"],
    )
    def test_a_wrong_first_roster_though_both_signed_it(self, changed):
        body = encode(replace(founding(), **changed))
        signed = SignedRoster(
            body=body,
            authority_signature=AUTHORITY.key.sign(tags.ROSTER, body),
            founder_signature=who("h1").key.sign(tags.ROSTER, body),
            tally=b"",
        )
        with pytest.raises(MalformedMessage):
            verify_founding(signed, AUTHORITY.key.public)
