"""`tally key import`: one command, as often as it takes, until the secret is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.base.errors import Unavailable
from tigertally.cli.operation import Operation, run

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.base.secret import Secret
    from tigertally.custody.client.imports import Progress
    from tigertally.custody.messages.kinds import Create
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced

_DOING = "importing a secret"


def import_secret(
    profile: Name, passphrase_file: Path | None, wanted: Create, source: Path, wait: float
) -> None:
    """Import a file, or go on with an import of it.

    Raises:
        UsageError: the file is empty or too large.
        Refused: the name is taken, the holders said no, or another file is being imported so.
        Unavailable: the wait ended unanswered.
    """
    from tigertally.quorum.card import Role

    with _read(source) as secret:

        async def begin(open_profile: OpenProfile, party: Party) -> Operation:
            return await _import(open_profile, party, wanted, secret)

        role, done = Role.REQUESTER, "active"
        run(profile, passphrase_file, begin, role=role, doing=_DOING, done=done, wait=wait)


def _read(source: Path) -> Secret:
    from tigertally.base.limits import MAX_IMPORT_BYTES
    from tigertally.base.secret import Secret
    from tigertally.custody.protocol.imports import check_size

    buffer = bytearray(MAX_IMPORT_BYTES + 1)
    with source.open("rb", buffering=0) as file:
        size = 0
        while got := file.readinto(memoryview(buffer)[size:]):
            size += got
    try:
        check_size(size)
        return Secret(buffer[:size])
    finally:
        buffer[:] = bytes(len(buffer))


def _completed(wanted: Create, synced: Synced, party: Party) -> Create:
    """With the number of acknowledgements, and the importer among those who may ask."""
    roster = synced.roster
    if roster.forming:
        have = f"{len(roster.holders)} of {roster.threshold} holders"
        raise Unavailable(f"the domain is forming ({have}): no key can be made yet")
    names = set(wanted.options.requesters)
    me = roster.requester_of(party.key.public)
    if names and me is not None:
        names.add(me.name)
    acks = wanted.acks or len(roster.holders)
    options = wanted.options.changed(requester=sorted(map(str, names)))
    return replace(wanted, acks=acks, options=options)


async def _import(
    open_profile: OpenProfile, party: Party, wanted: Create, secret: Secret
) -> Operation:
    from tigertally.base.errors import Refused
    from tigertally.custody.client.imports import Imports
    from tigertally.custody.client.requester import Requester
    from tigertally.node.recovery import device_secret_of

    imports = Imports(Requester(party))
    synced = await imports.member.sync()
    ref = imports.begin(_completed(wanted, synced, party), secret, synced).ref
    reached: Progress

    async def step() -> tuple[bool, str]:
        nonlocal reached
        with device_secret_of(open_profile) as device_secret:
            known = imports.under_way(ref.name)  # another command may have got further
            if known is None:
                raise Refused(
                    f"the import of {ref.name} was ended by another command of this profile"
                )
            now = await imports.member.sync()
            reached = await imports.advance(known, secret, now, device_secret)
        words = f"import of {ref}: {reached.state} ({reached.proposal})"
        return reached.state == "active", words

    async def document() -> dict[str, Any]:
        return {
            "proposal": str(reached.proposal),
            "key": str(ref.name),
            "version": ref.version,
            "state": reached.state,
        }

    return Operation(member=imports.member, waiting=_DOING, step=step, document=document)
