"""`tally version`: which versions of everything that matters are at work."""

from __future__ import annotations

import ctypes
import platform

from tigertally import __version__
from tigertally.cli.output import emit, facts


def version() -> None:
    """Show the versions of tally, Python and the cryptographic libraries."""
    from importlib import metadata

    from cryptography.hazmat.bindings._rust import openssl

    data = {
        "version": __version__,
        "python": platform.python_version(),
        "openssl": openssl.openssl_version_text(),
        "sodium": _sodium(),
        "secp256k1": f"of coincurve {metadata.version('coincurve')}",  # has no version of its own
    }
    emit(data, facts(data))


def _sodium() -> str:
    """The version of libsodium, or whose copy it is where it does not say (wheels strip it)."""
    import nacl
    from nacl import _sodium

    try:
        say = ctypes.CDLL(_sodium.__file__).sodium_version_string
    except (AttributeError, OSError):
        return f"of PyNaCl {nacl.__version__}"
    say.restype = ctypes.c_char_p
    return str(say().decode())
