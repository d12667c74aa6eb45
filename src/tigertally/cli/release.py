"""One release from the requester's side, for `key get`, `encrypt` and `decrypt`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tigertally.base.ids import Name
from tigertally.cli.members import as_member
from tigertally.cli.operation import Operation, carried
from tigertally.cli.output import note

if TYPE_CHECKING:
    from tigertally.crypto.outputs import Output
    from tigertally.custody.client.requester import Released, Requester
    from tigertally.custody.client.rows import Request
    from tigertally.custody.messages.kinds import Form, KeyRef
    from tigertally.node.profile import OpenProfile
    from tigertally.quorum.member.client import Party


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which key, why, in which form, where it goes or what is made by it, and how long to wait."""

    name: str
    version: int | None
    reason: str
    form: Form
    output: Output
    wait: float


def released(
    profile: Name,
    passphrase_file: Path | None,
    wanted: Wanted,
    use: Callable[[Released, int], dict[str, Any]],
) -> dict[str, Any]:
    """Ask for a key, wait for it, use it; the request is forgotten once it has been used.

    Returns:
        What `use` gives (called with the key and the number of its epoch, which the authority tells
        and nothing rests on), or `proposal` and `state: "waiting"` if the key has not come.
    """
    from tigertally.quorum.card import Role

    async def begin(open_profile: OpenProfile, party: Party) -> Operation:
        return await _release(open_profile, party, wanted, use)

    async def work(open_profile: OpenProfile, party: Party) -> dict[str, Any]:
        doing = "asking for a key"
        return await carried(open_profile, party, begin, doing=doing, wait=wanted.wait)

    return as_member(profile, passphrase_file, work, role=Role.REQUESTER)


async def _release(
    open_profile: OpenProfile,
    party: Party,
    wanted: Wanted,
    use: Callable[[Released, int], dict[str, Any]],
) -> Operation:
    from tigertally.custody.client.requester import AskAgain, Requester
    from tigertally.node.recovery import device_secret_of
    from tigertally.quorum.proposal import proposal_id
    from tigertally.quorum.words import quoted

    client = Requester(party)
    ref, request = await _asked(client, wanted)
    key: Released | None = None

    async def step() -> tuple[bool, str]:
        nonlocal request, key
        with device_secret_of(open_profile) as secret:
            synced = await client.member.sync()
            try:
                key = await client.collect(request, ref, wanted.form, synced, secret)
            except AskAgain as why:
                request, _ = await client.repeat(request, await client.member.sync())
                note(f"{why}: asked again as {proposal_id(request.proposal)}")
        return key is not None, ""

    async def document() -> dict[str, Any]:
        id_ = str(proposal_id(request.proposal))
        if key is None:
            return {"proposal": id_, "state": "waiting"}
        for name in key.faulty:
            note(f"tally: warning: {name} sent a wrong fragment; the key is right all the same")
        infos = await client.keys(ref.name)
        epoch = next((info.epoch for info in infos if info.ref == ref), 0)
        with _interruptible():
            document = use(key, epoch)
        with open_profile.exclusive(doing="finishing a request"):
            client.forget(request)
        return {**document, "proposal": id_}

    id_, why = proposal_id(request.proposal), quoted(wanted.reason)
    return Operation(
        member=client.member,
        waiting="collecting a key",
        words=f"waiting for holders to approve {id_} ({ref}, reason: {why})",
        step=step,
        document=document,
    )


async def _asked(client: Requester, wanted: Wanted) -> tuple[KeyRef, Request]:
    """Which key it is, and the request for it: a new one, or the one that this goes on with."""
    from tigertally.custody.messages.kinds import KeyRef

    synced = await client.member.sync()
    version = wanted.version or await client.newest_version(Name(wanted.name))
    ref = KeyRef(name=Name(wanted.name), version=version)
    if not client.has_asked(ref, wanted.reason, wanted.form):
        wanted.output.check_anew()
    request, _ = await client.ask(ref, wanted.reason, wanted.form, synced)
    return ref, request


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends long work at once; asyncio would wait until it is done, and cancel then."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
