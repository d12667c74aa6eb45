"""Any bytes are an error of the tree or `MalformedMessage`, and nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from tigertally.base.errors import MalformedMessage, TigertallyError
from tigertally.transport import problems

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_TYPES = st.sampled_from(
    ["urn:tigertally:problem:peer-fault", "urn:tigertally:problem:x", "about:blank", 7]
)
_DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": _TYPES | _JSON,
        "title": st.text() | _JSON,
        "code": st.integers(0, 9) | _JSON,
        "culprits": st.lists(st.text()) | _JSON,
        "sure": st.booleans() | _JSON,
    },
)


@given(st.binary() | _JSON.map(lambda v: json.dumps(v).encode()) | _DOCUMENTS.map(
    lambda v: json.dumps(v).encode()
))  # fmt: skip
def test_any_bytes_are_an_error_or_malformed(raw):
    try:
        error = problems.from_document(raw)
    except MalformedMessage:
        return
    assert isinstance(error, TigertallyError)
    assert str(error).isprintable()
    assert all(name.isprintable() for name in error.culprits)
    assert str(problems.from_document(problems.to_document(error)[1])) == str(error)
