"""`tally key import`: one command, as often as it takes, until the secret is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.base.errors import Unavailable
from tigertally.cli.members import as_member, next_step, unanswered
from tigertally.cli.output import emit, facts, note

if TYPE_CHECKING:
    from tigertally.base.ids import Name
    from tigertally.base.secret import Secret
    from tigertally.custody.client.imports import Imports, Progress
    from tigertally.custody.messages.kinds import Create
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party, Synced


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

    secret = _read(source)

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        with secret:
            return await _import(open_profile, party, wanted, secret, wait)

    document = as_member(profile, passphrase_file, work, role=Role.REQUESTER)
    emit(document, facts(document) + next_step(document))
    if document["state"] != "active" and wait > 0:
        raise unanswered(wait)


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
    open_profile: OpenProfile, party: Party, wanted: Create, secret: Secret, wait: float
) -> dict[str, Any]:
    from tigertally.custody.client.imports import Imports
    from tigertally.custody.client.requester import Requester
    from tigertally.node.connect import until

    imports = Imports(Requester(party))
    with open_profile.exclusive(doing="importing a secret"):
        synced = await imports.member.sync()
        known = imports.begin(_completed(wanted, synced, party), secret, synced)
    reached: list[Progress] = []

    async def step() -> Progress | None:
        progress = await _advance(open_profile, imports, known.ref.name, secret)
        if wait and (not reached or reached[-1] != progress):
            note(f"import of {known.ref}: {progress.state} ({progress.proposal})")
        reached.append(progress)
        return progress if progress.state == "active" else None

    await until(imports.member, step, wait=wait)
    last = reached[-1]
    return {
        "proposal": str(last.proposal),
        "key": str(known.ref.name),
        "version": known.ref.version,
        "state": last.state,
    }


async def _advance(
    open_profile: OpenProfile, imports: Imports, name: Name, secret: Secret
) -> Progress:
    from tigertally.base.errors import Refused
    from tigertally.node.recovery import device_secret_of

    with (
        open_profile.exclusive(doing="importing a secret"),
        device_secret_of(open_profile) as device_secret,
    ):
        known = imports.under_way(name)  # as it is now: another command may have got further
        if known is None:
            raise Refused(f"the import of {name} was ended by another command of this profile")
        return await imports.advance(known, secret, await imports.member.sync(), device_secret)
