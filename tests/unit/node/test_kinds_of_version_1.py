"""What the program of version 1 understood, and so is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorum_rig import join, proposal, proposed, remove, roster, set_quorum
from tigertally.base.ids import Name
from tigertally.custody.messages.kinds import Create, Destroy, Rotate, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.node.kinds import V1_KINDS, known_to_v1
from tigertally.quorum import changes
from tigertally.quorum.card import Role
from tigertally.quorum.proposal import open_proposal, options_body

pytestmark = pytest.mark.requirement("C7")

ROSTER = roster()
NAMES = (Name("app"),)
CREATE = Create(
    key=Name("k"), suite=Suite.SHAMIR_GF256, acks=2, options=KeyOptions.of(NAMES), imported=True
)
ROTATE = Rotate(
    key=Name("k"),
    version=2,
    suite=Suite.PEDERSEN_ED25519,
    acks=2,
    options=KeyOptions.of(unattended=True),
)
KNOWN = {
    "roster.join": open_proposal(join(ROSTER, "zoe")),
    "requester.join": open_proposal(join(ROSTER, "web", role=Role.REQUESTER)),
    "roster.remove": open_proposal(remove(ROSTER, "h3")),
    "requester.remove": open_proposal(remove(ROSTER, "app", kind=changes.REQUESTER_REMOVE)),
    "roster.quorum": open_proposal(set_quorum(ROSTER, 3)),
    "custody.create": proposal(ROSTER, kind="custody.create", body=CREATE.to_body()),
    "custody.rotate": proposal(ROSTER, kind="custody.rotate", body=ROTATE.to_body()),
    "custody.destroy": proposal(
        ROSTER, kind="custody.destroy", body=Destroy(key=Name("k"), version=1).to_body()
    ),
    "custody.release": proposal(
        ROSTER,
        kind="custody.release",
        body=options_body(key="k", version=1, reason="r", form="final", wrapping_key=b"w"),
    ),
}


@pytest.mark.parametrize("kind", V1_KINDS)
def test_all_that_it_made_it_understands(kind):
    one = KNOWN[kind]
    assert known_to_v1(one)
    more = options_body(**one.options(), more=None)
    assert not known_to_v1(replace(one, body=more))


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("custody.create", "suite", "rot13"),
        ("custody.create", "suite", ["pedersen-ed25519"]),
        ("custody.rotate", "suite", "rot13"),
        ("custody.release", "form", "raw"),
    ],
)
def test_another_value_of_what_it_knows(kind, option, value):
    one = KNOWN[kind]
    body = options_body(**{**one.options(), option: value})
    assert not known_to_v1(replace(one, body=body))


def test_another_kind():
    assert not known_to_v1(open_proposal(proposed(ROSTER, kind="tomorrow.notice")))
