"""Whose fault is a bad signature? Whoever showed it to us. No I/O.

What the authority passes on was signed by others. It checks every signature before it takes
anything, so one that does not verify was made up or changed by the authority (or on its disk): the
member whose name stands on it is not to blame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tigertally.base.errors import InvalidSignature


@contextmanager
def shown_by_authority() -> Iterator[None]:
    """Inside, a signature that does not verify names the authority instead of its signer.

    Raises:
        InvalidSignature: culprit `authority`, never sure: what is shown is not signed by it.
    """
    try:
        yield
    except InvalidSignature as error:
        raise InvalidSignature(
            f"the authority shows what nobody signed: {error}", culprits=("authority",)
        ) from error
