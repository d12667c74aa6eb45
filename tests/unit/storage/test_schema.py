from __future__ import annotations

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from tigertally.storage import schema


@pytest.mark.parametrize(
    "dialect", [sqlite.dialect(), postgresql.dialect(paramstyle="format")], ids=lambda d: d.name
)
def test_statements_exist_for_every_dialect(dialect):
    says = schema.statements(dialect)
    assert "ON CONFLICT" in says.put
    assert says.scan.parameters(t="t", first=b"a", end=b"b", count=5)[:4] == ("t", b"a", b"b", 5)
    assert says.scan_to_end.parameters(t="t", first=b"a", end=None, count=5)[:3] == ("t", b"a", 5)


def test_parameters_in_another_order_than_expected_are_noticed():
    swapped = select(schema.rows.c.value).where(
        schema.rows.c.key == bindparam("k"), schema.rows.c.table_name == bindparam("t")
    )
    with pytest.raises(TypeError):
        schema._positional(swapped, sqlite.dialect(), "t", "k")
