"""What those get who should not: strangers at every door, the authority at a final key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from process_rig import PASSPHRASE
from tigertally.base.codec import decode, encode
from tigertally.base.errors import Refused, TigertallyError
from tigertally.base.ids import Fingerprint, Name
from tigertally.base.randomness import SystemRandomness
from tigertally.base.secret import Secret
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.messages import sync
from tigertally.node.profile import open_profile
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.messages import (
    AuditRequest,
    DomainInfo,
    Nothing,
    RostersReply,
    RostersRequest,
    SyncRequest,
    TalliesRequest,
)
from tigertally.transport.client import HttpChannel

READING = {
    messages.ROSTERS: RostersRequest(after=0),
    messages.SYNC: SyncRequest(roster_version=0, checkpoint_size=0),
    messages.TALLIES: TalliesRequest(since=0, limit=10),
    messages.AUDIT: AuditRequest(since=0, limit=10, prove=()),
    sync.KEYS: sync.KeysRequest(name=None),
    sync.HOLDERS: Nothing(),
    sync.RECEIVE_KEYS: sync.ReceiveKeysRequest(proposal=None),
}


def call(town, key, path, request) -> bytes:
    async def one() -> bytes:
        fingerprint = Fingerprint.from_text(town.fingerprint)
        async with HttpChannel(town.url, key, fingerprint) as channel:
            await channel.connect()
            return await channel.call(path, encode(request))

    return asyncio.run(one())


@pytest.mark.requirement("C13")
def test_a_stranger_reads_nothing_of_the_roster_and_a_member_does(town):
    stranger = SigningKey.generate(SystemRandomness())
    for path, request in READING.items():
        with pytest.raises(Refused, match=r"not a (member|holder)"):
            call(town, stranger, path, request)
    info = decode(DomainInfo, call(town, stranger, messages.DOMAIN, Nothing()))
    assert (info.state, info.holders) == ("ready", 3), "who it is and how it stands, for anybody"
    with open_profile(
        town.home, Name("app"), passphrase=lambda: Secret(PASSPHRASE.encode())
    ) as app:
        raw = call(town, app.signing_key, messages.ROSTERS, RostersRequest(after=0))
    assert len(decode(RostersReply, raw).rosters) > 1
    with pytest.raises(TigertallyError, match="does not have the expected key"):
        asyncio.run(_first_contact(town, stranger))


async def _first_contact(town, key):
    """With another fingerprint than the authority's nothing is sent."""
    async with HttpChannel(town.url, key, key.public.fingerprint) as channel:
        await channel.connect()


def found_in(folder: Path, needle: bytes) -> list[str]:
    """The files of a profile that hold these bytes."""
    return [p.name for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes()]


@pytest.mark.requirement("C5")
def test_the_final_key_is_the_requesters_own(town, tmp_path):
    """Another requester makes another one of the same private key; the authority has neither."""
    town.enrol("other", Role.REQUESTER, by=("alice", "bob"))
    got = {}
    for who in ("app", "other"):
        for form in ("final", "private"):
            out = tmp_path / f"{who}-{form}"
            options = ("--reason", f"{who} {form}", "--out", out, "--form", form)
            asking = town.start("key", "get", "payroll", "--profile", who, *options, "--json")
            (one,) = town.asked()
            town.approve(one["id"], "alice", "carol")
            town.sync("alice")
            assert asking.wait().code == 0
            got[who, form] = out.read_bytes()
    assert got["app", "private"] == got["other", "private"]
    assert len({got["app", "final"], got["other", "final"], got["app", "private"]}) == 3
    hq = town.home / "hq"
    with open_profile(
        town.home, Name("app"), passphrase=lambda: Secret(PASSPHRASE.encode())
    ) as app:
        secrets = [*got.values(), app.device_secret.to_secret_bytes()]
        public = bytes(app.signing_key.public)
    assert [found_in(hq, secret) for secret in secrets] == [[]] * len(secrets)
    assert found_in(hq, public), "the search finds what is there"
