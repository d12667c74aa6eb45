"""Certificates that only carry a public key, and TLS contexts that trust pinned keys alone.

TLS wants X.509 certificates; we want raw public keys, as RFC 7250 would give them, which Python's
`ssl` does not offer. So every identity certificate is issued under one fixed *carrier issuer*,
whose private key is derived from a published constant: **anyone can issue such a certificate for
any key, and it proves nothing.** What counts is the handshake, which proves that the peer has the
secret key, and the pin, which the caller compares: `public_key_of(peer certificate)` against the
roster or registry. There is exactly one valid certificate for a key, so a client that knows the
key also knows the certificate, and a server's certificate can be checked before any byte is sent.

TLS 1.3 only (RFC 8446), Ed25519 on both sides (RFC 8410).
"""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tigertally.base.errors import MalformedMessage, Unavailable
from tigertally.base.randomness import SystemRandomness
from tigertally.crypto.signatures import SigningKey, VerifyKey

_CARRIER_SEED = hashlib.sha256(b"tigertally carrier issuer, public on purpose").digest()
_CARRIER_KEY = Ed25519PrivateKey.from_private_bytes(_CARRIER_SEED)
_CARRIER_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tigertally carrier")])
# RFC 5280 section 4.1.2.5: no well-defined end. Keys end by leaving the roster, not by a date.
_NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_CACHED_CERTIFICATES = 1024
_KEY_PREFIX = bytes.fromhex("302a300506032b6570032100")  # RFC 8410 section 4: what precedes a key


def identity_certificate(key: SigningKey) -> bytes:
    """The certificate (DER) that carries this key's public half. Always the same bytes."""
    return certificate_of(key.public)


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def certificate_of(public: VerifyKey) -> bytes:
    """The one certificate (DER) for a public key; anyone can make it, so it proves nothing."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(public.fingerprint))])
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    builder = _builder(subject, Ed25519PublicKey.from_public_bytes(bytes(public)))
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(issuer=False), True).add_extension(usage, False)
    return builder.sign(_CARRIER_KEY, None).public_bytes(Encoding.DER)


@lru_cache(maxsize=1)
def _carrier_certificate() -> bytes:
    builder = _builder(_CARRIER_NAME, _CARRIER_KEY.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
    builder = builder.add_extension(_key_usage(issuer=True), True)
    return builder.sign(_CARRIER_KEY, None).public_bytes(Encoding.DER)


def _builder(subject: x509.Name, public: Ed25519PublicKey) -> x509.CertificateBuilder:
    carrier = x509.AuthorityKeyIdentifier.from_issuer_public_key(_CARRIER_KEY.public_key())
    digest = hashlib.sha256(public.public_bytes_raw()).digest()
    serial = int.from_bytes(digest[:16], "big") >> 2 | 1 << 126  # positive, always 16 bytes
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_CARRIER_NAME)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        .add_extension(carrier, False)
    )


def _key_usage(*, issuer: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not issuer,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issuer,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def public_key_of(der: bytes) -> VerifyKey:
    """The public key that a peer's certificate carries.

    Raises:
        MalformedMessage: not exactly the one certificate of that key.

    **Security:** the result is worth something only if the certificate comes from a finished TLS
    handshake, and if the caller compares it with a pin.
    """
    _, found, rest = der.partition(_KEY_PREFIX)
    if not found:
        raise MalformedMessage("not an identity certificate: no Ed25519 key")
    key = VerifyKey(rest[: VerifyKey.SIZE])
    if certificate_of(key) != der:
        raise MalformedMessage("not an identity certificate: not of the carrier's form")
    return key


def identity_pem(key: SigningKey) -> bytes:
    """The private key and its certificate as one PEM text, for other programs that speak TLS.

    **Security:** holds the private key in the clear: write it with mode 0600 only.
    """
    with key.seed.exposed() as raw:
        private = Ed25519PrivateKey.from_private_bytes(raw)
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate = x509.load_der_x509_certificate(identity_certificate(key))
    return secret + certificate.public_bytes(Encoding.PEM)


def server_context(key: SigningKey) -> ssl.SSLContext:
    """TLS for a server: 1.3 only, every client must show an identity certificate.

    **Security:** the caller must look the client's key up (`public_key_of`) before it acts.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = 0  # no resumption: every connection proves its key
    return _finish(context, key, trusted=_carrier_certificate())


def client_context(key: SigningKey, server_certificate: bytes | None) -> ssl.SSLContext:
    """TLS for a client: 1.3 only, with its own identity certificate.

    Args:
        key: the client's identity.
        server_certificate: trust exactly this one (`certificate_of(pin)`). None is for a first
            contact where only a fingerprint is known: any identity certificate passes.

    **Security:** with None the caller must compare `public_key_of(peer certificate)` with its
    pin before it sends anything.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the pin is the key; names and addresses may change
    if server_certificate is None:
        return _finish(context, key, trusted=_carrier_certificate())
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return _finish(context, key, trusted=server_certificate)


def _finish(context: ssl.SSLContext, key: SigningKey, *, trusted: bytes) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted)
    _load_identity(context, key)
    return context


def _load_identity(context: ssl.SSLContext, key: SigningKey) -> None:
    """Hand certificate and key to `ssl`, which reads files only.

    **Security:** the key file is encrypted under 32 random bytes that never touch the disk, lies
    in a directory of mode 0700 and is gone when this returns.

    Raises:
        Unavailable: there is no room for that file.
    """
    password = SystemRandomness().bytes(32).hex().encode()
    with key.seed.exposed() as raw:
        private = Ed25519PrivateKey.from_private_bytes(raw)
    sealed = private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )
    chain = ssl.DER_cert_to_PEM_cert(identity_certificate(key)).encode()
    try:
        with tempfile.TemporaryDirectory(prefix="tally-") as folder:
            path = Path(folder, "identity.pem")
            path.touch(mode=0o600)
            path.write_bytes(sealed + chain)
            context.load_cert_chain(path, password=password)
    except ssl.SSLError:
        raise
    except OSError as error:  # nothing was tried, and it may work soon
        raise Unavailable(f"no room for a temporary file to connect: {error.strerror}") from error
