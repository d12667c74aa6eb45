"""Errors of reading that say which file, field or record they are about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tigertally.base.errors import InvalidSignature, MalformedMessage


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put a name in front of an error of damage, where it does not say it yet (`about`)."""
    try:
        yield
    except (MalformedMessage, InvalidSignature) as error:
        if type(error) not in (MalformedMessage, InvalidSignature) or what in error.about:
            raise
        named = type(error)(f"{what}: {error}")
        named.about = (*error.about, what)
        raise named from error
