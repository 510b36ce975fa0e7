"""Since when a host is silent, and after how long its guests are off by themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """No host is known to do that yet."""
    with op.batch_alter_table("compute_nodes") as table:
        table.add_column(sa.Column("down_since", big_integer(), nullable=True))
        table.add_column(
            sa.Column("self_fence_seconds", big_integer(), nullable=False, server_default=sa.text("0"))
        )
    with op.batch_alter_table("compute_nodes") as table:
        table.alter_column(
            "self_fence_seconds", existing_type=big_integer(), existing_nullable=False, server_default=None
        )
