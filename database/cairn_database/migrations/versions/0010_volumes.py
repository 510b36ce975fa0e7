"""Volumes, and which instances have them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, big_text, timestamp

revision = "0010"
down_revision = "0009"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Nobody has any yet."""
    with op.batch_alter_table("instances") as table:
        table.add_column(sa.Column("volumes", big_text(), nullable=True))
    op.create_table(
        "volumes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("image", big_text(), nullable=True),
        sa.Column("size_gib", big_integer(), nullable=False),
        sa.Column("made_gib", big_integer(), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=True),
        sa.Column("deleting", sa.Boolean(), nullable=False),
        sa.Column("message", sa.String(length=1024), nullable=True),
        sa.Column("resource_uid", sa.String(length=36), nullable=True),
        sa.Column("version", big_integer(), nullable=False),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volumes")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_volumes_namespace_name")),
        **OPTIONS,
    )
    op.create_index("ix_volumes_project", "volumes", ["project", "id"], unique=False)
    op.create_index("ix_volumes_host", "volumes", ["host"], unique=False)
    op.create_table(
        "volume_attachments",
        sa.Column("volume_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("volume_id", "instance_id", name=op.f("pk_volume_attachments")),
        sa.UniqueConstraint("id", name=op.f("uq_volume_attachments_id")),
        **OPTIONS,
    )
    op.create_index("ix_volume_attachments_instance_id", "volume_attachments", ["instance_id"], unique=False)
