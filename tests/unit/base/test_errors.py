from __future__ import annotations

import inspect

import pytest

from tigertally.base import errors
from tigertally.base.errors import PeerFault, TigertallyError

KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TigertallyError)
]


def test_slugs_are_unique_and_the_exit_codes_are_those_of_the_command_line() -> None:
    assert len({kind.slug for kind in KINDS}) == len(KINDS)
    codes = {kind.slug: kind.code for kind in KINDS}
    assert codes == {
        "error": 1,
        "usage": 2,
        "no-such-door": 2,
        "refused": 3,
        "newer-version": 3,
        "wrong-time": 3,
        "unavailable": 4,
        "damaged": 4,
        "locked": 4,
        "malformed": 5,
        "peer-fault": 5,
        "invalid-signature": 5,
        "invalid-evidence": 5,
        "corrupt": 6,
    }
    assert all(400 <= kind.status < 600 for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_carries_its_sentence_and_blames_nobody_by_default(
    kind: type[TigertallyError],
) -> None:
    error = kind("one plain sentence")
    assert str(error) == "one plain sentence"
    assert error.culprits == ()


def test_a_fault_names_its_culprits_and_is_not_sure_unless_told() -> None:
    fault = PeerFault("bad fragment", culprits=("carol",))
    assert fault.culprits == ("carol",)
    assert not fault.sure
    assert PeerFault("forked", culprits=("acme",), sure=True).sure
