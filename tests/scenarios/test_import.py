"""A requester brings a secret of its own: sealed under a key that nobody else ever assembles."""

from __future__ import annotations

from dataclasses import replace

import pytest

from change_rig import change
from domain_rig import DomainRig
from evil import tell
from tigertally.algebra import tags
from tigertally.base.codec import decode, encode
from tigertally.base.errors import PeerFault, Refused, Unavailable, UsageError
from tigertally.base.ids import Name
from tigertally.base.limits import MAX_IMPORT_BYTES
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope, sign_message
from tigertally.custody.client.imports import IMPORTS, Imports, Progress, UnderWay
from tigertally.custody.client.keys import KeyProposals
from tigertally.custody.client.requester import Requester
from tigertally.custody.messages.imports import CONTENT, IMPORT, ContentReply, Imported
from tigertally.custody.messages.kinds import Form, KeyRef, Suite
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.messages.sync import COLLECT
from tigertally.quorum.card import Role
from tigertally.quorum.changes import REMOVE, remove_body
from tigertally.quorum.messages import PROPOSE
from tigertally.quorum.proposal import proposal_id
from tigertally.quorum.tally import Tally

pytestmark = pytest.mark.requirement("C2")

WALLET = KeyRef(name=Name("wallet"), version=1)
SEED = b"abandon ability able about above absent absorb abstract \x00\xff" * 3


async def advance(rig: DomainRig, secret: bytes = SEED) -> Progress:
    """The same command again."""
    return await rig.bring("app", "wallet", secret)


async def imported(rig: DomainRig, secret: bytes = SEED) -> None:
    await rig.import_secret("app", "wallet", secret)


async def day_begins(rig: DomainRig) -> None:
    await rig.form(3)
    await rig.requester("app")
    await rig.requester("other")


def under_way(rig: DomainRig) -> bool:
    return bool(rig.devices["app"].disk._tables.get(IMPORTS))


def test_an_import_from_the_first_command_to_another_requester() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        made = await advance(rig)
        assert made.state == "waiting"
        assert await advance(rig) == made, "the same command again resumes"
        client = rig.holder("h1")
        synced, _ = await client.sync()
        seen = await client.member.find(made.proposal, synced)
        assert "IMPORT" in seen.words
        assert (seen.proposer, seen.needed) == ("app", 2)
        await rig.approve("h1", made.proposal.hex())
        assert (await advance(rig)).state == "waiting"
        await rig.approve("h2", made.proposal.hex())
        assert await advance(rig) == Progress(proposal=made.proposal, state="pending")
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        other = rig.asker("other")
        with pytest.raises(Refused, match="nothing has been imported"):
            await other.ask(WALLET, "too early", Form.PRIVATE, await other.member.sync())
        asked = await advance(rig)
        assert asked.state == "waiting"
        assert asked.proposal != made.proposal
        assert await advance(rig) == asked
        for name in ("h1", "h3"):
            await rig.approve(name, asked.proposal.hex())
        await rig.sync("h1")
        assert await advance(rig) == Progress(proposal=made.proposal, state="active")
        assert not under_way(rig)
        (info,) = await rig.asker("app").keys(Name("wallet"))
        assert (info.imported, info.stored > len(SEED)) == (True, True)
        for number, who in enumerate(("other", "app")):
            got = await rig.release(who, "wallet", by=["h2", "h3"], reason=f"use {number}")
            assert got.secret.matches(Secret(SEED))
        final = await rig.release("other", "wallet", by=["h2", "h3"], form=Form.FINAL)
        assert len(final.secret) == 32
        assert not final.secret.matches(Secret(SEED[:32]))
        assert all(
            SEED[:20] not in row for t in rig.authority_rows().values() for row in t.values()
        )
        with pytest.raises(Refused, match="already"):
            await advance(rig)
        assert not under_way(rig)

    rig.run(day())


def test_an_imported_key_moves_with_its_holders_is_not_rotated_and_can_be_destroyed() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        await imported(rig)
        holder = KeyProposals(rig.holder("h1"))
        synced, _ = await holder.holder.sync()
        with pytest.raises(Refused, match="was imported"):
            await holder.rotate_or_resume(Name("wallet"), None, synced)
        joiner = rig.device("h4", Role.HOLDER)
        await rig.admit(rig.joining(joiner), by=["h1", "h2"])
        for _ in range(3):
            for name in rig.holders():
                await rig.sync(name)
        got = await rig.release("other", "wallet", by=["h4", "h3"], reason="after a join")
        assert got.secret.matches(Secret(SEED))
        await rig.destroy("wallet", by=["h1", "h2"])
        assert not rig.authority_rows().get("custody-content"), "the sealed secret goes at once"
        with pytest.raises(Refused, match="destroyed"):
            await rig.release("app", "wallet", by=["h1", "h2"])

    rig.run(day())


@pytest.mark.parametrize("cut", [PROPOSE, COLLECT, IMPORT])
def test_cut_off_at_any_step_the_same_command_goes_on(cut: str) -> None:
    """The answer is lost each time once: nothing is proposed, asked for or stored twice."""
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        lost: list[str] = []

        def lose(caller: str, path: str, answer: bytes) -> bytes:
            if path == cut and caller == "app" and not lost:
                lost.append(path)
                raise Unavailable("lost on the way")
            return answer

        rig.network.equivocate("authority", lose)

        async def again() -> Progress:
            try:
                return await advance(rig)
            except Unavailable:
                assert under_way(rig)
                return await advance(rig)

        made = await again()
        for name in ("h1", "h2"):
            await rig.approve(name, made.proposal.hex())
        for _ in range(2):
            for name in rig.holders():
                await rig.sync(name)
        asked = await again()
        for name in ("h1", "h3"):
            await rig.approve(name, asked.proposal.hex())
        await rig.sync("h1")
        assert (await again()).state == "active"
        assert lost == [cut]
        got = await rig.release("other", "wallet", by=["h2", "h3"])
        assert got.secret.matches(Secret(SEED))
        synced = await rig.holder("h1").member.sync()
        assert synced.proposals == ()

    rig.run(day())


def test_another_file_halfway_is_refused_and_a_rejection_ends_it() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        made = await advance(rig)
        with pytest.raises(Refused, match="another secret"):
            await advance(rig, b"another file")
        assert await advance(rig) == made
        for name in ("h1", "h3"):
            client = rig.holder(name)
            synced, _ = await client.sync()
            await client.reject(await client.member.find(made.proposal, synced), synced, "no")
        with pytest.raises(Refused, match="rejected"):
            await advance(rig)
        assert not under_way(rig)
        assert await advance(rig, b"another file") != made

    rig.run(day())


@pytest.mark.parametrize("size", [0, MAX_IMPORT_BYTES + 1])
def test_an_empty_or_huge_secret_is_refused_before_anything_is_asked(size: int) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        before = rig.authority_rows()
        with pytest.raises(UsageError, match="1 to 65536 bytes"):
            await advance(rig, bytes(size))
        assert not under_way(rig)
        assert {t: r for t, r in rig.authority_rows().items() if t == "proposal"} == {
            t: r for t, r in before.items() if t == "proposal"
        }

    rig.run(day())


def test_the_largest_secret_comes_back() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        large = bytes(range(256)) * (MAX_IMPORT_BYTES // 256)
        await imported(rig, large)
        got = await rig.release("other", "wallet", by=["h2", "h3"])
        assert got.secret.matches(Secret(large))

    rig.run(day())


@pytest.mark.parametrize(
    "bends",
    [
        {"suite": Suite.SHAMIR_GF256},
        {"options": KeyOptions.of((Name("other"),))},
        {"imported": False},
    ],
    ids=["the authority would see it", "not for itself", "no import"],
)
def test_what_a_requester_may_not_propose(bends: dict[str, object]) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        with pytest.raises(Refused):
            await rig.bring("app", "wallet", SEED, **bends)
        assert not under_way(rig)
        assert await rig.asker("app").keys() == ()

    rig.run(day())


async def until_sealed(rig: DomainRig) -> UnderWay:
    """Everything but the last step: the sealed secret is ready and was not handed in."""
    rig.network.equivocate("authority", lambda caller, path, answer: answer)
    made = await advance(rig)
    for name in ("h1", "h2"):
        await rig.approve(name, made.proposal.hex())
    for _ in range(2):
        for name in rig.holders():
            await rig.sync(name)
    asked = await advance(rig)
    for name in ("h1", "h3"):
        await rig.approve(name, asked.proposal.hex())
    await rig.sync("h1")
    client = Imports(Requester(rig.devices["app"].party))
    synced = await client.member.sync()
    known = client.under_way("wallet")
    assert known is not None
    with Secret(SEED) as raw:
        _, sealed = await client._sealed(known, raw, synced, rig.devices["app"].device_secret)
    assert sealed is not None
    return sealed


def test_the_store_is_written_once_and_by_the_importer() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        sealed = await until_sealed(rig)
        assert sealed.content is not None
        said = decode(Imported, sealed.content.body)
        theirs = sign_message(rig.devices["other"].key, tags.IMPORT, said)
        bent = Envelope(body=sealed.content.body, signature=theirs.signature)
        rival = sign_message(
            rig.devices["app"].key, tags.IMPORT, replace(said, sealed=said.sealed + b"x")
        )
        elsewhere = sign_message(
            rig.devices["app"].key, tags.IMPORT, replace(said, proposal=said.domain)
        )

        async def hand_in(who: str, content: Envelope) -> None:
            await rig.devices[who].party.channel.call(IMPORT, encode(content))

        before = rig.authority_rows()
        for who, content in (("other", theirs), ("app", bent), ("app", elsewhere)):
            with pytest.raises(Exception, match=r"imported by|signature|another key|not signed"):
                await hand_in(who, content)
        with pytest.raises(Refused):
            await hand_in("h1", sealed.content)
        assert rig.authority_rows() == before
        assert (await advance(rig)).state == "active"
        await hand_in("app", sealed.content)
        with pytest.raises(Refused, match="already"):
            await hand_in("app", rival)
        got = await rig.release("other", "wallet", by=["h2", "h3"])
        assert got.secret.matches(Secret(SEED))

    rig.run(day())


@pytest.mark.requirement("X5")
@pytest.mark.parametrize("lie", ["nothing stored", "another key's tally", "bent", "another's"])
def test_an_authority_cannot_pass_anything_else_off_as_the_import(lie: str) -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await day_begins(rig)
        await rig.create("payroll")
        await imported(rig)
        payroll: list[ContentReply] = []

        def keep(_: str, raw: bytes) -> bytes:
            payroll.append(decode(ContentReply, raw))
            return raw

        tell(rig, CONTENT, keep)
        plain = await rig.release("other", "payroll", by=["h1", "h2"])
        assert len(plain.secret) == 32

        def rewrite(_: str, raw: bytes) -> bytes:
            reply = decode(ContentReply, raw)
            assert reply.content is not None
            body = decode(Imported, reply.content.body)
            changed = encode(replace(body, sealed=body.sealed[:-1] + b"\x00"))
            forged = Envelope(body=changed, signature=rig.key.sign(tags.IMPORT, changed))
            bent = Envelope(body=changed, signature=reply.content.signature)
            return encode(
                {
                    "nothing stored": replace(reply, content=None),
                    "another key's tally": payroll[0],
                    "bent": replace(reply, content=bent),
                    "another's": replace(reply, content=forged),
                }[lie]
            )

        tell(rig, CONTENT, rewrite)
        with pytest.raises((PeerFault, Refused)) as caught:
            await rig.release("other", "wallet", by=["h2", "h3"], reason="again")
        if isinstance(caught.value, PeerFault):
            assert caught.value.culprits == ("authority",)
            assert not caught.value.sure
        tell(rig, CONTENT, lambda _, raw: raw)
        got = await rig.release("other", "wallet", by=["h2", "h3"], reason="again")
        assert got.secret.matches(Secret(SEED))

    rig.run(day())


@pytest.mark.requirement("X5")
def test_the_tally_of_a_key_that_was_given_up_conceals_no_import() -> None:
    rig = DomainRig(threshold=2)

    async def day() -> None:
        await rig.form(4)
        await rig.requester("app")
        asked = await rig.propose_key("wallet")
        id_ = proposal_id(asked.proposal)
        await rig.approve("h2", id_.hex())
        plain = (await rig.holder("h1").member.proposal(id_)).approvals
        await change(rig, REMOVE, remove_body(Name("h4")), by=["h1", "h2"])
        del rig.devices["h4"]
        await rig.import_secret("app", "wallet", SEED)
        before = Tally(proposal=asked.proposal, approvals=plain)

        def rewrite(_: str, raw: bytes) -> bytes:
            return encode(replace(decode(ContentReply, raw), tally=before, content=None))

        tell(rig, CONTENT, rewrite)
        with pytest.raises(PeerFault, match="how another key was made") as caught:
            await rig.release("app", "wallet", by=["h1", "h2"])
        assert caught.value.culprits == ("authority",)

    rig.run(day())
