"""Enrolment by request and by invitation (C8), on a network that loses things."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain_rig import DomainRig
from evil import dump
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    TigertallyError,
    Unavailable,
)
from tigertally.base.ids import HolderIndex, Name, ProposalId, RosterHash, Text
from tigertally.crypto.envelope import Envelope
from tigertally.quorum import messages
from tigertally.quorum.card import Role
from tigertally.quorum.member.join import (
    Invitation,
    check_invitation,
    check_roster_hash,
    fetch_domain,
    parse_invitation,
    sign_invitation,
)
from tigertally.quorum.messages import RostersReply
from tigertally.transport.memory import Leg

pytestmark = pytest.mark.requirement("C8")


@pytest.fixture
def rig():
    rig = DomainRig()
    rig.run(formed(rig))
    return rig


async def formed(rig):
    await rig.form(3)


async def approved(rig, joining, *, by=("h1", "h2")):
    asked = await joining.ask()
    for name in by:
        await rig.approve(name, asked.proposal.hex())


@pytest.mark.parametrize("role", [Role.HOLDER, Role.REQUESTER])
def test_by_request(rig, role):
    async def day():
        joining = rig.joining(rig.device("zoe", role))
        assert (await joining.ask()).state == "waiting"
        assert (await joining.ask()).state == "waiting"
        await approved(rig, joining)
        joined = await joining.ask()
        assert joined.state == "enrolled"
        assert joined.roster == rig.authority.chain.current
        assert rig.holder("zoe").member.chain().current == joined.roster

    rig.run(day())


def test_a_joiner_that_is_rejected_may_ask_again(rig):
    async def day():
        joining = rig.joining(rig.device("zoe", Role.HOLDER))
        asked = (await joining.ask()).proposal
        for name in ("h1", "h2"):
            client = rig.holder(name)
            synced = await client.member.sync()
            await client.reject(
                await client.member.find(ProposalId(asked), synced), synced, "who is this?"
            )
        with pytest.raises(Refused, match="rejected"):
            await joining.ask()
        again = await joining.ask()
        assert again.state == "waiting"
        assert again.proposal != asked

    rig.run(day())


@pytest.mark.parametrize("leg", list(Leg))
@pytest.mark.parametrize(
    "path", [messages.TERMS, messages.PROPOSE, messages.PROPOSAL, messages.ROSTERS]
)
def test_any_message_may_get_lost(rig, path, leg):
    """The same command again goes on where it was; one request, one place in the roster."""

    async def day():
        joining = rig.joining(rig.device("zoe", Role.HOLDER))
        rig.network.drop(from_="zoe", path=path, leg=leg, times=1)
        asked = await insist(joining)
        for name in ("h1", "h2"):
            await rig.approve(name, asked.proposal.hex())
        assert (await insist(joining)).state == "enrolled"
        names = [str(holder.name) for holder in rig.authority.chain.current.holders]
        assert names.count("zoe") == 1
        made = [e for e in (await rig.audit("h1").report()).entries if e.kind == "proposal.made"]
        assert len(made) == 3  # h2, h3, zoe

    rig.run(day())


async def insist(joining):
    for _ in range(3):
        try:
            return await joining.ask()
        except Unavailable:
            continue
    raise AssertionError("never got through")


def test_the_electorate_changes_while_one_asks(rig):
    async def day():
        joining = rig.joining(rig.device("zoe", Role.HOLDER))
        first = (await joining.ask()).proposal
        await rig.admit(rig.joining(rig.device("h4", Role.HOLDER)), by=["h1", "h2"])
        again = await joining.ask()
        assert again.state == "waiting"
        assert again.proposal != first
        await approved(rig, joining)
        assert (await joining.ask()).state == "enrolled"

    rig.run(day())


@pytest.mark.parametrize("how", ["right", "wrong"])
def test_the_roster_hash_out_of_band(rig, how):
    async def day():
        device = rig.device("zoe", Role.HOLDER)
        joining = rig.joining(device)
        wanted = rig.authority.chain.current.hash
        await approved(rig, joining)
        if how == "right":
            assert (await joining.ask(wanted=wanted)).state == "enrolled"
            return
        before = dump(device.disk)
        for _ in range(2):
            with pytest.raises(PeerFault):
                await joining.ask(wanted=RosterHash(bytes(32)))
            assert dump(device.disk) == before

    rig.run(day())


def test_a_chain_that_does_not_list_us_as_we_are(rig):
    async def day():
        device = rig.device("zoe", Role.HOLDER)
        joining = rig.joining(device)
        await approved(rig, joining)

        def shorter(_, path, raw):
            if path != messages.ROSTERS:
                return raw
            reply = decode(RostersReply, raw)
            return encode(replace(reply, rosters=reply.rosters[:-1]))

        rig.network.equivocate("authority", shorter)
        before = dump(device.disk)
        with pytest.raises(PeerFault, match="does not list"):
            await joining.ask()
        assert dump(device.disk) == before
        rig.network.equivocate("authority", lambda _, path, raw: raw)
        assert (await joining.ask()).state == "enrolled"

    rig.run(day())


def test_a_chain_of_another_authority(rig):
    other = DomainRig(seed=99)
    other.run(formed(other))

    async def day():
        device = rig.device("zoe", Role.HOLDER)
        joining = rig.joining(device)
        await approved(rig, joining)
        foreign = encode(RostersReply(rosters=other.authority.chain.signed))
        rig.network.equivocate(
            "authority", lambda _, path, raw: foreign if path == messages.ROSTERS else raw
        )
        with pytest.raises(PeerFault):
            await joining.ask()

    rig.run(day())


def test_who_the_authority_is(rig):
    async def day():
        channel = rig.device("zoe", Role.HOLDER).party.channel
        info = await fetch_domain(channel, rig.key.public.fingerprint)
        assert info.holders == 3
        with pytest.raises(InvalidSignature):
            await fetch_domain(channel, rig.devices["h1"].key.public.fingerprint)

    rig.run(day())


class TestInvitation:
    def made(self, rig, *, by="h1", index=1, expires=None):
        roster = rig.authority.chain.current
        invitation = Invitation(
            url="https://authority",
            authority=rig.key.public.fingerprint,
            roster=roster.hash,
            inviter=HolderIndex(index),
            inviter_name=Name(f"h{index}"),
            expires=expires or rig.clock.now() + 60,
        )
        return encode(sign_invitation(rig.devices[by].key, invitation)), roster

    def test_it_leads_into_the_domain_and_names_who_invited(self, rig):
        raw, roster = self.made(rig)
        invitation = parse_invitation(raw, now=rig.clock.now())
        check_invitation(raw, roster)

        async def day():
            joining = rig.joining(rig.device("zoe", Role.HOLDER))
            asked = await joining.ask(invited_by=str(invitation.inviter_name))
            seen = (await rig.holder("h2").member.sync()).proposals
            assert "h1" not in seen[0].words
            assert [str(quote) for quote in seen[0].quotes] == [
                "invited by, as zoe (not yet a member) says: “h1”"
            ]
            for name in ("h1", "h2"):
                await rig.approve(name, asked.proposal.hex())
            joined = await joining.ask(wanted=invitation.roster)
            assert joined.state == "enrolled"
            check_roster_hash(rig.holder("zoe").member.chain(), invitation.roster)
            check_roster_hash(rig.holder("zoe").member.chain(), None)
            with pytest.raises(PeerFault):
                check_roster_hash(rig.holder("zoe").member.chain(), RosterHash(bytes(32)))

        rig.run(day())

    def test_an_invitation_lets_nobody_in_by_itself(self, rig):
        async def day():
            joining = rig.joining(rig.device("zoe", Role.HOLDER))
            await joining.ask(invited_by="h1")
            assert (await joining.ask(invited_by="h1")).state == "waiting"
            assert len(rig.authority.chain.current.holders) == 3

        rig.run(day())

    def test_an_inviter_whose_name_does_not_show_is_named_to_nobody(self, rig):
        """What is signed now shows whatever is in it; it is refused before anything is kept."""
        device = rig.device("zoe", Role.HOLDER)
        before = dump(rig.disk), dump(device.disk)

        async def day():
            for hidden in ("h1\u3164", "h1\u2028and h2", "h1" + " " * 40 + "h2"):
                assert Text(hidden) == hidden, "the rule of before lets it through"
                with pytest.raises(MalformedMessage):
                    await rig.joining(device).ask(invited_by=hidden)
                assert (dump(rig.disk), dump(device.disk)) == before
            assert (await rig.joining(device).ask(invited_by="h1")).state == "waiting"
            assert dump(rig.disk) != before[0], "the control: so it is asked"

        rig.run(day())

    def test_expired(self, rig):
        raw, _ = self.made(rig)
        with pytest.raises(Refused):
            parse_invitation(raw, now=rig.clock.now() + 60)

    def test_signed_by_another_than_it_names(self, rig):
        raw, roster = self.made(rig, by="h2", index=1)
        with pytest.raises(InvalidSignature):
            check_invitation(raw, roster)
        raw, _ = self.made(rig, by="h1", index=9)
        with pytest.raises(Refused):
            check_invitation(raw, roster)

    def test_changed(self, rig):
        raw, roster = self.made(rig)
        envelope = decode(Envelope, raw)
        changed = envelope.body.replace(b"https://authority", b"https://auth0rity")
        with pytest.raises(InvalidSignature):
            check_invitation(encode(replace(envelope, body=changed)), roster)
        for bad in (b"", b"\x80", raw[:-1], raw + b"\x00"):
            with pytest.raises(MalformedMessage):
                parse_invitation(bad, now=0)


def test_a_member_does_not_join_twice(rig):
    async def day():
        before = dump(rig.disk)
        with pytest.raises(TigertallyError):
            await rig.joining(rig.devices["h1"]).ask()
        assert dump(rig.disk) == before

    rig.run(day())
