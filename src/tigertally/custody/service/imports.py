"""Imported secrets at the authority: it keeps what a requester has sealed, and shows it to those.

It cannot open it. Steps as in `docs/protocols/custody-import.md`.
"""

from __future__ import annotations

from tigertally.base.codec import decode
from tigertally.base.errors import Refused
from tigertally.crypto.envelope import Envelope
from tigertally.crypto.signatures import VerifyKey
from tigertally.custody.messages.imports import ContentReply, ContentRequest, Imported
from tigertally.custody.messages.kinds import parse_making
from tigertally.custody.protocol.imports import open_content
from tigertally.custody.service import rows
from tigertally.custody.service.create import proposer_of
from tigertally.quorum.authority.desk import DomainDesk
from tigertally.quorum.authority.rows import get_pending
from tigertally.quorum.messages import Nothing
from tigertally.quorum.proposal import open_proposal


class ImportService:
    """Write once, then read by members."""

    def take(self, desk: DomainDesk, envelope: Envelope, peer: VerifyKey) -> Nothing:
        """(4) Keep a sealed secret, from the requester that proposed the key; once."""
        who = desk.member(peer)
        said = decode(Imported, envelope.body)
        record = rows.get_key(desk.sealed, said.key)
        if peer != proposer_of(desk, record):
            raise Refused(f"{said.key} is imported by whoever proposed it, not by {who}")
        making = get_pending(desk.sealed, record.made_by).proposal
        open_content(envelope, making, parse_making(open_proposal(making)))
        known = rows.CONTENTS.get(desk.sealed, said.key)
        if known == envelope:
            return Nothing()  # the answer was lost
        if known is not None:
            raise Refused(f"a secret was imported as {said.key} already")
        record.check_usable()
        rows.CONTENTS.put(desk.sealed, said.key, envelope)
        desk.record(
            "custody.imported",
            actor=who,
            summary=f"{who} stored a sealed secret as {said.key}",
            detail=record.made_by,
        )
        return Nothing()

    def content(self, desk: DomainDesk, request: ContentRequest, peer: VerifyKey) -> ContentReply:
        """How a key was made, and what is stored under it, for members."""
        desk.member(peer)
        record = rows.get_key(desk.sealed, request.key)
        return ContentReply(
            tally=get_pending(desk.sealed, record.made_by).tally(),
            content=rows.CONTENTS.get(desk.sealed, request.key),
        )
