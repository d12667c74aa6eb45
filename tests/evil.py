"""What a dishonest authority can do with its own key and disk: copies of itself, other logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from domain_rig import DomainRig, in_this_process, put_memory
from tigertally.node.authority import Authority
from tigertally.node.wiring import AuthorityServices
from tigertally.storage.memory import MemoryStore


def dump(store: MemoryStore) -> dict[str, dict[bytes, bytes]]:
    """Everything in a store; tables without rows do not count."""
    with store.reading() as reader:
        return {table: dict(rows) for table, rows in reader.merged().items() if rows}


def filled(tables: Mapping[str, Mapping[bytes, bytes]]) -> MemoryStore:
    """A store with these rows."""
    store = MemoryStore()
    with store.transaction() as tx:
        for table, rows in tables.items():
            for key, value in rows.items():
                tx.put(table, key, value)
    return store


def twin(rig: DomainRig, name: str = "twin", *, disk: MemoryStore | None = None) -> MemoryStore:
    """A second authority with the same key, on a copy of the disk (or on another): its disk.

    It knows the barrier key, as the first one does.
    """
    disk = disk or filled(dump(rig.disk))
    other = Authority(
        disk,
        key=rig.key,
        wrapping_key=rig.wrapping_key,
        services=AuthorityServices(run_child=in_this_process),
        clock=rig.clock,
        randomness=rig.randomness,
    )
    put_memory(other, barrier=rig.authority.writer.memory.barrier)
    rig.network.connect(name, other.handlers(), key=rig.key.public)
    return disk


def lead(rig: DomainRig, server: str, *names: str) -> None:
    """From now on these devices talk to that server."""
    for name in names:
        device = rig.devices[name]
        device.party = replace(device.party, channel=rig.network.channel(name, server))


def tell(rig: DomainRig, path: str, rewrite: Callable[[str, bytes], bytes]) -> None:
    """From now on answers on this path are rewritten: (caller, honest answer) -> answer."""
    rig.network.equivocate(
        "authority", lambda who, at, raw: rewrite(who, raw) if at == path else raw
    )


def restore(store: MemoryStore, tables: Mapping[str, Mapping[bytes, bytes]]) -> None:
    """Put a store back to what `dump` gave."""
    store._tables = {table: dict(rows) for table, rows in tables.items()}
