"""Rows with a key's options in one value: the tables stay, the number says who may write.

A program that does not know these rows must refuse the store instead of calling it damaged. The
rows themselves are sealed, and written anew by whoever has their key (docs/versions.md).
"""

from __future__ import annotations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing but the number."""
