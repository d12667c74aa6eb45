"""Who may talk to whom, decided by real TLS on real sockets, before any message exists."""

from __future__ import annotations

import asyncio
import logging
import ssl

import pytest

from tigertally.base.errors import InvalidSignature, Unavailable
from tigertally.crypto import certificates
from tigertally.transport.channel import Request
from tigertally.transport.client import HttpChannel
from transport_rig import AUTHORITY, HOLDER, HOST, STRANGER, RawPeer, channel_to, serving

pytestmark = [pytest.mark.requirement("C1"), pytest.mark.requirement("C13")]


class Sniffer:
    """A TLS server under any key that keeps whatever bytes of application data it is sent."""

    def __init__(self, key):
        self._key = key
        self.connections = 0
        self.got = b""

    async def __aenter__(self):
        context = certificates.server_context(self._key)
        self._server = await asyncio.start_server(self._keep, HOST, 0, ssl=context)
        self.url = f"https://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _keep(self, reader, writer):
        self.connections += 1
        try:
            while part := await reader.read(65536):
                self.got += part
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()


async def test_both_sides_see_the_key_of_the_other():
    seen = []

    async def handler(request: Request) -> bytes:
        seen.append(request.peer)
        return b"ok"

    async with serving({"/x": handler}) as server:
        for identity in (HOLDER, STRANGER, HOLDER):
            async with channel_to(server, identity) as channel:
                assert await channel.call("/x", b"") == b"ok"
                assert await channel.connect() == AUTHORITY.public
    assert seen == [HOLDER.public, STRANGER.public, HOLDER.public]


@pytest.mark.parametrize("form", ["key", "fingerprint"])
async def test_a_server_with_another_key_gets_no_byte(form):
    pin = AUTHORITY.public if form == "key" else AUTHORITY.public.fingerprint
    async with Sniffer(STRANGER) as wrong:
        async with HttpChannel(wrong.url, HOLDER, pin) as channel:
            with pytest.raises(InvalidSignature, match="expected key"):
                await channel.call("/x", b"secret-word")
            with pytest.raises(InvalidSignature):  # and not on the second try either
                await channel.call("/x", b"secret-word")
        await asyncio.sleep(0)
        assert wrong.got == b""


async def test_the_sniffer_would_have_seen_it():
    async with Sniffer(AUTHORITY) as right:
        async with HttpChannel(right.url, HOLDER, AUTHORITY.public) as channel:
            with pytest.raises(Unavailable):  # it never answers
                await channel.call("/x", b"secret-word", wait=0.3)
        assert b"secret-word" in right.got


async def test_a_fingerprint_is_enough_to_learn_the_key():
    async with serving() as server:
        async with channel_to(server, pin=AUTHORITY.public.fingerprint) as channel:
            assert await channel.connect() == AUTHORITY.public
            assert await channel.call("/echo", b"1") == b"1"
        async with channel_to(server, pin=STRANGER.public.fingerprint) as channel:
            with pytest.raises(InvalidSignature):
                await channel.connect()
        assert server.counts.requests == 1


def without_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def only_tls_1_2():
    context = certificates.client_context(HOLDER, None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (without_certificate, "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
        (only_tls_1_2, "UNSUPPORTED_PROTOCOL"),
    ],
)
async def test_refused_by_tls_and_never_seen_by_the_service(context, reason, caplog):
    caplog.set_level(logging.DEBUG, "tigertally")
    async with serving() as server:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            peer = await RawPeer.to(server, context())
            await peer.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            await peer.answer()
        assert reason in caplog.text
        assert server.counts.requests == 0
        async with channel_to(server) as channel:
            assert await channel.call("/echo", b"1") == b"1"


async def test_a_certificate_of_nobodys_making_is_refused(tmp_path):
    context = without_certificate()
    foreign_identity(tmp_path / "foreign.pem")
    context.load_cert_chain(tmp_path / "foreign.pem")
    async with serving() as server:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            peer = await RawPeer.to(server, context)
            await peer.post(b"1")
        assert server.counts.requests == 0


def foreign_identity(path):
    """A self-signed P-256 certificate, as any web server has."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tigertally carrier")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2090, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(raw + certificate.public_bytes(Encoding.PEM))


async def test_the_connection_is_tls_1_3_with_a_modern_cipher():
    async with serving() as server:
        peer = await RawPeer.to(server)
        tls = peer.writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        assert not tls.session_reused
        peer.close()


async def test_plain_http_is_not_answered():
    async with serving() as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = await reader.read(1000)
        assert not answer.startswith(b"HTTP")
        assert server.counts.requests == 0
        writer.close()
