"""The numbers of one server, and the gates, places and kept answers that they make."""

from __future__ import annotations

from dataclasses import dataclass

from tigertally.base import limits
from tigertally.transport.door import Standing
from tigertally.transport.gate import Gate, GateLimits
from tigertally.transport.handshakes import Handshakes
from tigertally.transport.places import PlaceLimits
from tigertally.transport.replay import ReplayStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The numbers of `base/limits.py`; tests use smaller ones."""

    body_bytes: int = limits.MAX_MESSAGE_BYTES
    stranger_body_bytes: int = limits.MAX_SMALL_MESSAGE_BYTES
    body_seconds: float = limits.MAX_BODY_SECONDS
    idle_seconds: float = limits.IDLE_CONNECTION_SECONDS
    handshakes: int = limits.MAX_HANDSHAKES
    handshakes_per_address: int = limits.MAX_HANDSHAKES_PER_ADDRESS
    handshakes_per_second: float = limits.HANDSHAKES_PER_SECOND
    unlimited_handshake_seconds: float = limits.UNLIMITED_HANDSHAKE_SECONDS
    connections: int = limits.MAX_CONNECTIONS
    others_connections: int = limits.MAX_CONNECTIONS_OF_OTHERS
    stranger_connections: int = limits.MAX_CONNECTIONS_OF_STRANGERS
    connections_per_key: int = limits.MAX_CONNECTIONS_PER_KEY
    connections_per_address: int = limits.MAX_CONNECTIONS_PER_ADDRESS
    open_requests: int = limits.MAX_OPEN_REQUESTS
    others_requests: int = limits.MAX_OPEN_REQUESTS_OF_OTHERS
    stranger_requests: int = limits.MAX_OPEN_REQUESTS_OF_STRANGERS
    polls_per_key: int = limits.MAX_POLLS_PER_KEY
    stranger_polls: int = limits.MAX_POLLS_OF_STRANGERS
    requests_per_second: float = limits.MAX_REQUESTS_PER_SECOND
    requester_requests_per_second: float = limits.MAX_REQUESTER_REQUESTS_PER_SECOND
    stranger_requests_per_second: float = limits.MAX_STRANGER_REQUESTS_PER_SECOND
    address_requests_per_second: float = limits.MAX_ADDRESS_REQUESTS_PER_SECOND
    pause_seconds: float = limits.PAUSE_SECONDS
    replay_seconds: float = limits.REPLAY_SECONDS


def gate_of(numbers: ServerLimits) -> Gate:
    """The gate of the doors."""
    return Gate(
        GateLimits(
            rates={
                Standing.STRANGER: numbers.stranger_requests_per_second,
                Standing.REQUESTER: numbers.requester_requests_per_second,
                Standing.HOLDER: numbers.requests_per_second,
            },
            address_rate=numbers.address_requests_per_second,
            most={
                Standing.STRANGER: numbers.stranger_requests,
                Standing.REQUESTER: numbers.others_requests,
                Standing.HOLDER: numbers.open_requests,
            },
            polls=numbers.polls_per_key,
            stranger_polls=numbers.stranger_polls,
            tracked=limits.MAX_PEERS_TRACKED,
        )
    )


def pages_gate_of(numbers: ServerLimits) -> Gate:
    """For pages alone: who floods the doors does not hide how the service is, nor the reverse."""
    return Gate(
        GateLimits(
            rates=dict.fromkeys(Standing, numbers.stranger_requests_per_second),
            address_rate=numbers.address_requests_per_second,
            most=dict.fromkeys(Standing, limits.MAX_OPEN_PAGES),
            polls=0,
            stranger_polls=0,
            tracked=limits.MAX_PEERS_TRACKED,
        )
    )


def handshakes_of(numbers: ServerLimits, *, start: float) -> Handshakes:
    """How often an address may shake hands with a server that starts now."""
    return Handshakes(
        burst=numbers.handshakes_per_address,
        rate=numbers.handshakes_per_second,
        tracked=limits.MAX_PEERS_TRACKED,
        all_until=start + numbers.unlimited_handshake_seconds,
    )


def places_of(numbers: ServerLimits) -> PlaceLimits:
    """Who may have how many connections."""
    return PlaceLimits(
        most={
            Standing.STRANGER: numbers.stranger_connections,
            Standing.REQUESTER: numbers.others_connections,
            Standing.HOLDER: numbers.connections,
        },
        per_key=numbers.connections_per_key,
        per_address=numbers.connections_per_address,
    )


def replays_of(numbers: ServerLimits) -> dict[Standing, ReplayStore]:
    """Answers of each standing apart: nobody pushes out those of a higher one."""
    return {
        Standing.STRANGER: ReplayStore(
            seconds=numbers.replay_seconds,
            max_each=limits.MAX_REPLAYS_PER_STRANGER,
            max_bytes_each=limits.MAX_REPLAY_BYTES_OF_STRANGERS // 8,
            max_bytes=limits.MAX_REPLAY_BYTES_OF_STRANGERS,
        ),
        **{
            standing: ReplayStore(
                seconds=numbers.replay_seconds,
                max_each=limits.MAX_REPLAYS_PER_PEER,
                max_bytes_each=limits.MAX_REPLAY_BYTES_PER_PEER,
                max_bytes=limits.MAX_REPLAY_BYTES,
            )
            for standing in (Standing.REQUESTER, Standing.HOLDER)
        },
    }
