"""A small domain for tests of pure custody steps: real rosters and tallies, no authority asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from custody_thief import crooked_package
from domain_rig import DomainRig
from tigertally.base.ids import Hash, HolderIndex, Name, Nonce, Text
from tigertally.crypto.signatures import SigningKey
from tigertally.custody.client import rows as device_rows
from tigertally.custody.messages.dealing import DealingPackage, Opening
from tigertally.custody.messages.kinds import (
    CREATE,
    RELEASE,
    Create,
    Form,
    KeyRef,
    Release,
    Suite,
)
from tigertally.custody.messages.options import KeyOptions
from tigertally.custody.protocol.dealing import Occasion
from tigertally.custody.protocol.receiver import occasion_of_making
from tigertally.quorum.approval import Approval, Verdict, sign_approval
from tigertally.quorum.chain import Chain
from tigertally.quorum.proposal import Proposal, proposal_id, sign_proposal
from tigertally.quorum.receive_keys import PublishedKeys, newest_by_holder
from tigertally.quorum.roster import Roster
from tigertally.quorum.tally import Tally, VerifiedTally, verify_tally

NOW = 1_800_000_100
KEY = KeyRef(name=Name("payroll"), version=1)


@dataclass(frozen=True)
class Small:
    """Holders h1 … hn with published receive keys, and one requester `app`."""

    rig: DomainRig
    chain: Chain

    @property
    def roster(self) -> Roster:
        return self.chain.current

    def key(self, who: int | str) -> SigningKey:
        return self.rig.devices[who if isinstance(who, str) else f"h{who}"].key

    def published(self) -> Mapping[HolderIndex, PublishedKeys]:
        bundles = []
        for name in self.rig.holders():
            with self.rig.devices[name].store.reading() as reader:
                newest = device_rows.newest_bundle(reader)
            assert newest is not None
            bundles.append(newest[0])
        return newest_by_holder(bundles, self.roster.domain, self.roster.signer)

    def seed_for(self, holder: int) -> Callable[[Hash, int], bytes | None]:
        def find(bundle: Hash, sender: int) -> bytes | None:
            with self.rig.devices[f"h{holder}"].store.reading() as reader:
                return device_rows.seed_of(reader, bundle, sender)

        return find

    def tally(
        self, kind: str, body: bytes, *, proposer: SigningKey, by: Sequence[int], expires: int = NOW
    ) -> Tally:
        """A proposal with these approvals, all properly signed."""
        proposal = sign_proposal(
            proposer,
            Proposal(
                kind=Name(kind),
                body=body,
                domain=self.roster.domain,
                electorate=self.roster.electorate,
                predecessor=None,
                nonce=Nonce(self.rig.randomness.bytes(32)),
                proposer=proposer.public,
                created=NOW - 100,
                expires=expires + 3600,
            ),
        )
        approvals = tuple(
            sign_approval(
                self.key(index),
                Approval(
                    proposal=proposal_id(proposal),
                    verdict=Verdict.APPROVE,
                    roster=self.roster.hash,
                    holder=HolderIndex(index),
                    checkpoint="",
                    attachment=None,
                    reason=Text(""),
                    time=NOW,
                ),
            )
            for index in by
        )
        return Tally(proposal=proposal, approvals=approvals)

    def create(
        self, *, by: Sequence[int] = (1, 2, 3), suite: Suite = Suite.PEDERSEN_ED25519, acks: int = 4
    ) -> tuple[Tally, VerifiedTally, Create]:
        """An approved `custody.create`."""
        body = Create(key=KEY.name, suite=suite, acks=acks, options=KeyOptions.of())
        tally = self.tally(CREATE, body.to_body(), proposer=self.key(by[0]), by=by)
        return tally, verify_tally(tally, self.roster), body

    def release(self, *, by: Sequence[int] = (1, 2, 3)) -> tuple[Tally, Release]:
        """An approved `custody.release` by `app`, wrapped to its long-term key."""
        body = Release(
            key=KEY.name,
            version=1,
            reason=Text("why"),
            form=Form.FINAL,
            wrapping_key=self.rig.devices["app"].wrapping_key.public,
        )
        return self.tally(RELEASE, body.to_body(), proposer=self.key("app"), by=by), body

    def occasion(self, verified: VerifiedTally, body: Create, attempt: int = 1) -> Occasion:
        return occasion_of_making(verified.id, body, self.roster, attempt)

    def package(self, occasion: Occasion, dealer: int, **bends: object) -> DealingPackage:
        """A dealing by a holder (or, as 0, by the authority), bent where asked."""
        party = self.rig.devices["h1" if dealer == 0 else f"h{dealer}"].party
        if dealer == 0:
            from dataclasses import replace

            party = replace(party, key=self.rig.key)
        return crooked_package(occasion, dealer, self.published(), party, **bends)

    def opening(
        self,
        tally: Tally,
        packages: Sequence[DealingPackage],
        receiver: int,
        *,
        attempt: int = 1,
        convictions: tuple[object, ...] = (),
    ) -> Opening:
        return Opening(
            tally=tally,
            attempt=attempt,
            roster=self.roster.hash,
            base=(),
            dealings=tuple(package.dealing for package in packages),
            pieces=tuple(package.pieces[receiver - 1] for package in packages),
            convictions=convictions,
        )


@cache
def small(n: int = 4, m: int = 3) -> Small:
    """Formed once a test run; tests change nothing in it."""
    rig = DomainRig(threshold=m, seed=1000 * n + m)

    async def day() -> None:
        await rig.form(n)
        await rig.requester("app")
        for name in rig.holders():
            await rig.sync(name)

    rig.run(day())
    chain = rig.authority.chain
    assert chain is not None
    return Small(rig=rig, chain=chain)
