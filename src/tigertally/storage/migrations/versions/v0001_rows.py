"""The first schema: one table of rows.

A migration is history: it spells its tables out and is not changed once released.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of rows."""
    op.create_table(
        "rows",
        sa.Column("table_name", sa.String(64), nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("table_name", "key", name="rows_pk"),
    )
