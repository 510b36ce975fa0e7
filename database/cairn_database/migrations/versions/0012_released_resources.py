"""Resources that went without ever having had a row, and are not to get one."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import timestamp

revision = "0012"
down_revision = "0011"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Nobody who is held up right now is known."""
    op.create_table(
        "released_resources",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("released_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_released_resources")),
        **OPTIONS,
    )
    op.create_index("ix_released_resources_released_at", "released_resources", ["released_at"], unique=False)
