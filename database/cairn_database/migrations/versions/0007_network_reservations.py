"""Room in a quota that is being taken: subnets and rules, whose resources are made outside of SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import timestamp

revision = "0007"
down_revision = "0006"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """One table, empty."""
    op.create_table(
        "network_reservations",
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("resource", sa.String(length=63), nullable=False),
        sa.Column("key", sa.String(length=36), nullable=False),
        sa.Column("until", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("project", "resource", "key", name=op.f("pk_network_reservations")),
        **OPTIONS,
    )
