"""What the Compute API needs of instances: owners, details, and columns to filter and sort by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_text

revision = "0002"
down_revision = "0001"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
INDEXES = {
    "ix_instances_project": ["project", "deleted", "created_at", "id"],
    "ix_instances_project_updated_at": ["project", "updated_at"],
    "ix_instances_project_user_id": ["project", "user_id", "deleted"],
    "ix_instances_created_at": ["deleted", "created_at", "id"],
    "ix_instances_updated_at": ["updated_at"],
    "ix_instances_reservation_id": ["reservation_id"],
}


def upgrade() -> None:
    for column in (
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("details", big_text(), nullable=True),
        sa.Column("display_name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("locked", sa.Boolean(), nullable=True),
        sa.Column("flavor_id", sa.String(length=255), nullable=True),
        sa.Column("image_id", sa.String(length=36), nullable=True),
        sa.Column("key_name", sa.String(length=255), nullable=True),
        sa.Column("reservation_id", sa.String(length=63), nullable=True),
        sa.Column("launch_index", sa.Integer(), nullable=True),
        sa.Column("config_drive", sa.Boolean(), nullable=True),
        sa.Column("access_ip_v4", sa.String(length=39), nullable=True),
        sa.Column("access_ip_v6", sa.String(length=39), nullable=True),
    ):
        op.add_column("instances", column)
    instances = sa.table(
        "instances",
        sa.column("name", sa.String),
        sa.column("details", sa.Text),
        sa.column("display_name", sa.String),
        sa.column("locked", sa.Boolean),
    )
    op.execute(instances.update().values(details="{}", display_name=instances.c.name, locked=sa.false()))
    with op.batch_alter_table("instances") as batch:
        batch.alter_column("details", existing_type=big_text(), nullable=False)
        batch.alter_column("display_name", existing_type=sa.String(length=255), nullable=False)
        batch.alter_column("locked", existing_type=sa.Boolean(), nullable=False)
        batch.drop_index("ix_instances_project")
        for name, columns in INDEXES.items():
            batch.create_index(name, columns, unique=False)
    op.create_table(
        "instance_tags",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("tag", sa.String(length=60), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "tag", name=op.f("pk_instance_tags")),
        **OPTIONS,
    )
    op.create_index("ix_instance_tags_tag", "instance_tags", ["tag", "instance_id"], unique=False)
    op.create_table(
        "instance_metadata",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", "name", name=op.f("pk_instance_metadata")),
        **OPTIONS,
    )
    op.create_index("ix_instance_metadata_name", "instance_metadata", ["name", "instance_id"], unique=False)
