from __future__ import annotations

import base64
import ssl
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tigertally.base.errors import MalformedMessage
from tigertally.base.randomness import SeededRandomness
from tigertally.crypto.certificates import (
    certificate_of,
    client_context,
    identity_certificate,
    public_key_of,
    server_context,
)
from tigertally.crypto.signatures import SigningKey

SERVER = SigningKey.generate(SeededRandomness("server"))
CLIENT = SigningKey.generate(SeededRandomness("client"))
OTHER = SigningKey.generate(SeededRandomness("other"))


class Handshake:
    """A TLS handshake in memory between two contexts; raises where one side refuses."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(to_server, to_client, server_side=True)
        self.client = client.wrap_bio(to_client, to_server)
        waiting = [self.client, self.server]
        for _ in range(20):
            waiting = [side for side in waiting if not self._step(side)]
            if not waiting:
                break
        assert not waiting
        self.client.write(b"after the handshake")
        assert self.server.read(100) == b"after the handshake"
        self.server.write(b"reply")
        assert self.client.read(100) == b"reply"

    @staticmethod
    def _step(side: ssl.SSLObject) -> bool:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def keys_seen(self) -> tuple[Any, Any]:
        """What the server sees of the client, and the client of the server."""
        seen_by_server = self.server.getpeercert(binary_form=True)
        seen_by_client = self.client.getpeercert(binary_form=True)
        assert seen_by_server is not None
        assert seen_by_client is not None
        return public_key_of(seen_by_server), public_key_of(seen_by_client)


@pytest.mark.requirement("C1")
@pytest.mark.requirement("C13")
@pytest.mark.parametrize("pinned", [True, False])
def test_both_sides_see_each_others_key(pinned: bool) -> None:
    certificate = certificate_of(SERVER.public) if pinned else None
    shaken = Handshake(server_context(SERVER), client_context(CLIENT, certificate))
    assert shaken.keys_seen() == (CLIENT.public, SERVER.public)
    assert shaken.client.version() == "TLSv1.3"


def test_another_server_than_the_pinned_one_is_refused_before_anything_is_sent() -> None:
    client = client_context(CLIENT, certificate_of(OTHER.public))
    with pytest.raises(ssl.SSLCertVerificationError):
        Handshake(server_context(SERVER), client)


def test_a_client_without_a_certificate_is_refused() -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        Handshake(server_context(SERVER), client)


def test_a_client_of_another_issuer_is_refused(tmp_path: Path) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.load_cert_chain(_self_signed(tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError):
        Handshake(server_context(SERVER), client)


def _self_signed(folder: Path) -> Path:
    ours = x509.load_der_x509_certificate(identity_certificate(CLIENT))
    private = Ed25519PrivateKey.generate()
    made = (
        x509.CertificateBuilder()
        .subject_name(ours.subject)
        .issuer_name(ours.subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(ours.not_valid_before_utc)
        .not_valid_after(ours.not_valid_after_utc)
        .sign(private, None)
    )
    path = folder / "self.pem"
    clear = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(clear + made.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("side", ["server", "client"])
def test_nothing_below_tls_1_3(side: str) -> None:
    server, client = server_context(SERVER), client_context(CLIENT, None)
    old = server if side == "client" else client
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        Handshake(server, client)


def test_someone_elses_certificate_is_useless_without_the_key(tmp_path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    clear = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    stolen = ssl.DER_cert_to_PEM_cert(certificate_of(SERVER.public)).encode()
    (tmp_path / "stolen.pem").write_bytes(clear + stolen)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        context.load_cert_chain(tmp_path / "stolen.pem")


def test_there_is_one_certificate_for_a_key() -> None:
    raw = identity_certificate(SERVER)
    certificate_of.cache_clear()
    assert certificate_of(SERVER.public) == raw
    assert public_key_of(raw) == SERVER.public
    assert raw != identity_certificate(CLIENT)
    parsed = x509.load_der_x509_certificate(raw)
    assert parsed.subject.rdns[0].rfc4514_string() == f"CN={SERVER.public.fingerprint}"


def test_any_other_bytes_are_no_certificate(tmp_path: Path) -> None:
    raw = identity_certificate(SERVER)
    bad = [b"", raw[:-1], raw + b"\0", raw[:200], bytes(SERVER.public)]
    bad += [raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :] for i in range(len(raw))]
    pem = _self_signed(tmp_path).read_text()
    bad.append(ssl.PEM_cert_to_DER_cert(pem[pem.index("-----BEGIN CERT") :]))
    for other in bad:
        with pytest.raises(MalformedMessage):
            public_key_of(other)


def test_the_private_key_touches_the_disk_only_encrypted_and_is_gone_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[bytes] = []
    load = ssl.SSLContext.load_cert_chain

    def look(context: ssl.SSLContext, path: Path, **options: Any) -> None:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.is_relative_to(tmp_path)
        seen.append(path.read_bytes())
        load(context, path, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    server_context(SERVER)
    client_context(CLIENT, None)
    assert list(tmp_path.iterdir()) == []
    assert len(seen) == 2
    assert all(b"BEGIN ENCRYPTED PRIVATE KEY" in text for text in seen)
    body = seen[0].split(b"-----")[2]
    assert SERVER.seed.to_secret_bytes() not in base64.b64decode(body)
    assert bytes(SERVER.public) in base64.b64decode(seen[0].split(b"-----")[6])  # control
