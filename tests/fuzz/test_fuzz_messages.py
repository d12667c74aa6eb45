"""Every message of quorum, custody and delegation: any bytes give one, or `MalformedMessage`."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quorum_samples
import tigertally.custody.messages as custody_messages
import tigertally.custody.state as custody_state
import tigertally.delegation.messages as delegation_messages
from tigertally.base.codec import decode, dumps, encode
from tigertally.base.errors import MalformedMessage, NewerVersion, PeerFault, Refused
from tigertally.custody.messages.kinds import (
    parse_create,
    parse_destroy,
    parse_release,
    parse_rotate,
)
from tigertally.quorum import changes
from tigertally.quorum.chain import parse_chain
from tigertally.quorum.member.join import parse_invitation
from tigertally.quorum.proposal import Proposal
from tigertally.quorum.receive_keys import PublishedKeys, ReceiveKeys, ReceiveSeeds, SenderKey
from typed_messages import Pool

pytestmark = pytest.mark.requirement("C13")


def _kinds() -> list[type]:
    """All dataclasses of the message modules, and all that have a sample."""
    found = set(quorum_samples.KINDS)
    found |= {PublishedKeys, ReceiveKeys, ReceiveSeeds, SenderKey}
    for package in (custody_messages, custody_state, delegation_messages):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for _, kind in inspect.getmembers(importlib.import_module(module.name)):
                if dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                    found.add(kind)
    return sorted((kind for kind in found if _travels(kind)), key=lambda kind: kind.__name__)


def _travels(kind: type) -> bool:
    try:
        decode(kind, b"\x80")
    except MalformedMessage:
        return True
    except TypeError:
        return False  # kept in memory only
    return True


KINDS = _kinds()
POOL = Pool([encode(one) for one in quorum_samples.samples().values()])
RAWS = [encode(one) for one in quorum_samples.samples().values()]
KEY = quorum_samples.ROSTER.authority.signing_key


def fair(kind: type, raw: bytes) -> bool:
    """Is it a message? If so, it writes the same bytes again."""
    try:
        message = decode(kind, raw)
    except MalformedMessage:
        return False
    assert encode(message) == raw
    return True


def test_the_messages_are_found():
    names = {kind.__name__ for kind in KINDS}
    assert {"Roster", "Envelope", "Dealing", "Statement", "Challenge", "WrappedFragment"} <= names
    assert len(KINDS) > 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(st.binary(max_size=120) | st.sampled_from(RAWS))
def test_any_bytes(kind, raw):
    fair(kind, raw)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_any_fields(kind, data):
    fair(kind, dumps(data.draw(POOL.of(kind))))


OPTIONS = st.dictionaries(
    st.sampled_from(
        [
            *("name", "card", "invited_by", "threshold", "unlock", "key", "suite", "acks"),
            *("version", "requester", "unattended", "reason", "form", "wrapping_key", "other"),
        ]
    ),
    st.none()
    | st.booleans()
    | st.integers(-1, 300)
    | st.sampled_from([2**63, 2**64 - 1])
    | st.sampled_from(["h1", "", "final", "private", "pedersen-ed25519", "\n", "x" * 600])
    | st.text(max_size=5)
    | st.lists(st.sampled_from(["app", 3, "", "b", None]), max_size=3)
    | st.sampled_from(RAWS)
    | st.binary(max_size=1216),
)
PARSERS = (
    changes.parse_holder_join,
    changes.parse_requester_join,
    changes.parse_remove,
    changes.parse_quorum,
    parse_create,
    parse_rotate,
    parse_destroy,
    parse_release,
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(options=OPTIONS)
def test_any_options(parse, options):
    try:
        parse(options)
    except (MalformedMessage, NewerVersion, PeerFault):
        return


@given(st.binary(max_size=200) | st.sampled_from(RAWS), st.integers(0, 400), st.integers(0, 7))
def test_files_that_people_are_given(raw, at, bit):
    changed = bytearray(raw)
    if changed:
        changed[at % len(changed)] ^= 1 << bit
    for one in (raw, bytes(changed)):
        for read in (
            lambda raw: parse_chain(raw, KEY),
            parse_chain,
            lambda raw: parse_invitation(raw, now=1),
        ):
            try:
                read(one)
            except (MalformedMessage, PeerFault, Refused):
                continue


@given(OPTIONS)
def test_a_proposals_body_is_checked_when_it_is_read(options):
    sample = quorum_samples.samples()["Proposal/1"]
    assert isinstance(sample, Proposal)
    body = dumps(options)
    assert dataclasses.replace(sample, body=body).options() == options
