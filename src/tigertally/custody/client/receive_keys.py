"""The receive keys of a holder's device: published, fetched from the others, erased in time."""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.base.codec import decode, encode
from tigertally.base.ids import Hash, HolderIndex, ProposalId
from tigertally.base.limits import MAX_PROPOSAL_LIFETIME
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client import rows
from tigertally.custody.messages.sync import RECEIVE_KEYS, ReceiveKeysReply, ReceiveKeysRequest
from tigertally.custody.protocol.dealing import possible_senders
from tigertally.custody.protocol.relayed import shown_by_authority
from tigertally.quorum.member.client import MemberClient, Synced
from tigertally.quorum.receive_keys import (
    PublishedKeys,
    draw_receive_keys,
    newest_by_holder,
    next_number,
)
from tigertally.storage.erasure import owe


class ReceiveKeys:
    """Keys to which others wrap what is meant for one device, and only for a short time."""

    def __init__(self, member: MemberClient) -> None:
        self.member = member

    async def fetch(
        self, synced: Synced, proposal: ProposalId | None = None
    ) -> tuple[Mapping[HolderIndex, PublishedKeys], Envelope | None]:
        """Fetch everybody's receive keys, verified, and the authority's own for a proposal."""
        request = ReceiveKeysRequest(proposal=proposal)
        reply = decode(
            ReceiveKeysReply, await self.member.party.call(RECEIVE_KEYS, encode(request))
        )
        with shown_by_authority():
            roster = synced.roster
            return newest_by_holder(reply.keys, roster.domain, roster.signer), reply.fresh

    def to_publish(self, synced: Synced, me: HolderIndex, *, renew: bool) -> Envelope | None:
        """Return what to publish, if anything: new keys if it is time, stored before they leave."""
        party = self.member.party
        senders = possible_senders(synced.roster)
        with party.store.transaction() as tx:
            newest = rows.newest_bundle(tx)
            if newest is not None:
                envelope, seeds = newest
                if not renew and set(senders) <= {who for who, _ in seeds.seeds}:
                    return envelope if not seeds.published else None
            now = party.clock.now()
            fresh, envelope = draw_receive_keys(
                synced.roster.domain,
                me,
                senders,
                number=next_number(rows.newest_number(tx), now=now),
                key=party.key,
                now=now,
                randomness=party.randomness,
            )
            rows.put_seeds(tx, fresh, envelope)
        return envelope

    def forget(self, in_use: tuple[Hash, ...]) -> None:
        """Erase replaced receive keys that no open delivery needs, and expired wraps."""
        with self.member.party.store.transaction() as tx:
            now = self.member.party.clock.now()
            too_old = now - MAX_PROPOSAL_LIFETIME
            erased = rows.forget_old_seeds(tx, in_use=in_use, made_before=too_old)
            erased += rows.forget_expired(tx, now)
            if erased:
                owe(tx, now=now)
        if erased:
            self.member.scrub()
