"""A requester brings a secret of its own under the quorum (C2); every step can be taken up again.

The steps of `docs/protocols/custody-import.md`: the key is made, released to us, the secret sealed
under it and handed in. Whatever leaves the device is stored first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tigertally.base.codec import encode
from tigertally.base.errors import Refused
from tigertally.base.ids import ProposalId
from tigertally.base.secret import Secret
from tigertally.crypto.envelope import Envelope
from tigertally.custody.client.keys import check_not_given_up, fetch_keys
from tigertally.custody.client.requester import Requester
from tigertally.custody.messages.imports import IMPORT
from tigertally.custody.messages.kinds import CREATE, Create, Form, KeyRef, parse_create
from tigertally.custody.protocol.imports import check_size, same_source, seal_import, source_mark
from tigertally.quorum.member.client import Synced
from tigertally.quorum.member.ongoing import Ongoings
from tigertally.quorum.pending import Status
from tigertally.quorum.proposal import open_proposal, parsed_body, proposal_id
from tigertally.storage.table import RAW, Table, message


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An import that this device has begun.

    `mark` recognises the file (a MAC under `salt`); `content` is what is handed in at the end, the
    same bytes each time.
    """

    proposal: Envelope
    salt: bytes
    mark: bytes
    content: Envelope | None

    @property
    def body(self) -> Create:
        """The key that is made."""
        body: Create = parsed_body(parse_create, open_proposal(self.proposal))
        return body

    @property
    def ref(self) -> KeyRef:
        """The key that is made."""
        return self.body.ref

    def __repr__(self) -> str:
        return f"UnderWay({self.ref})"


IMPORTS = Table("requester-import", RAW, message(UnderWay))  # by the key's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """`waiting` (for approvals of `proposal`), `pending` (holders take fragments) or `active`."""

    proposal: ProposalId
    state: str


class Imports:
    """The imports of a requester: `begin` one, then `advance` it until it is active."""

    def __init__(self, requester: Requester) -> None:
        self.requester = requester
        self.member = requester.member
        self.party = requester.party
        self.ongoings = Ongoings(self.member, IMPORTS, secret=True)

    def under_way(self, name: str) -> UnderWay | None:
        """The import of that name which this device has begun."""
        return self.ongoings.known(name.encode())

    def begin(self, body: Create, secret: Secret, synced: Synced) -> UnderWay:
        """Begin an import, or find the one that was begun with this very secret.

        Raises:
            UsageError: the secret is empty or too large.
            Refused: an import of that name is under way with another secret.
        """
        check_size(len(secret))
        known = self.under_way(body.key)
        if known is not None:
            if not same_source(known.mark, known.salt, proposal_id(known.proposal), secret):
                raise Refused(f"the import of {body.key} that is under way is of another secret")
            return known
        proposal = self.member.new_proposal(CREATE, body.to_body(), synced.roster)
        salt = self.party.randomness.bytes(32)
        mark = source_mark(salt, proposal_id(proposal), secret)
        made = UnderWay(proposal=proposal, salt=salt, mark=mark, content=None)
        self._store(made)
        return made

    async def advance(
        self, known: UnderWay, secret: Secret, synced: Synced, device_secret: Secret
    ) -> Progress:
        """Do what can be done now.

        Raises:
            Refused: the holders said no, the name is taken, or the key was given up; the import is
                forgotten.
        """
        made = proposal_id(known.proposal)
        try:
            state = await self.member.propose(known.proposal)
        except Refused:
            self._done(known)
            raise
        if state.status is Status.PENDING:
            return Progress(proposal=made, state="waiting")
        self.ongoings.check_alive(known.ref.name.encode(), known, state, "the proposal")
        found = [i for i in await fetch_keys(self.party, known.ref.name) if i.ref == known.ref]
        if not found:
            try:
                check_not_given_up(state.proposal, synced.chain)
            except Refused:
                self._done(known)
                raise
        if not found or found[0].state == "pending":
            return Progress(proposal=made, state="pending")
        if found[0].state == "destroyed":
            self._done(known)
            raise Refused(f"{known.ref} is destroyed")
        if known.content is None:
            asked, sealed = await self._sealed(known, secret, synced, device_secret)
            if sealed is None:
                return Progress(proposal=asked, state="waiting")
            known = sealed
        await self.party.channel.call(IMPORT, encode(known.content))
        self._done(known)
        return Progress(proposal=made, state="active")

    async def _sealed(
        self, known: UnderWay, secret: Secret, synced: Synced, device_secret: Secret
    ) -> tuple[ProposalId, UnderWay | None]:
        """Ask for the private key, seal under it, keep the result, forget the key."""
        request, _ = await self.requester.ask(
            known.ref, f"import {known.ref.name}", Form.PRIVATE, synced
        )
        id_ = proposal_id(request.proposal)
        released = await self.requester.collect_key(
            request, known.ref, Form.PRIVATE, synced, device_secret
        )
        if released is None:
            return id_, None
        with released.secret as private:
            content = seal_import(
                secret, private, known.ref, making=known.proposal, signer=self.party.key
            )
        sealed = replace(known, content=content)
        self._store(sealed)
        self.requester.forget(request)
        return id_, sealed

    def _store(self, known: UnderWay) -> None:
        self.ongoings.keep(known.ref.name.encode(), known)

    def _done(self, known: UnderWay) -> None:
        self.ongoings.forget(known.ref.name.encode(), known)
