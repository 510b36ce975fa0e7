"""The built-in image store: images with ids, members, files and signing keys."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, big_text, timestamp

revision = "0004"
down_revision = "0003"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Images are taken in anew from their resources when the conductor starts: only those know their ids."""
    op.drop_table("images")
    _images()
    op.create_table(
        "image_members",
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "project", name=op.f("pk_image_members")),
        **OPTIONS,
    )
    op.create_index("ix_image_members_project", "image_members", ["project", "status"], unique=False)
    op.create_table(
        "image_blobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("image_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("touched_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_blobs")),
        **OPTIONS,
    )
    op.create_index("ix_image_blobs_image_id", "image_blobs", ["image_id"], unique=False)
    op.create_index("ix_image_blobs_state", "image_blobs", ["state", "touched_at"], unique=False)
    op.create_table(
        "image_keys",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_keys")),
        **OPTIONS,
    )


def _images() -> None:
    op.create_table(
        "images",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("resource", sa.String(length=253), nullable=True),
        sa.Column("resource_uid", sa.String(length=36), nullable=True),
        sa.Column("generation", big_integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("visibility", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=253), nullable=True),
        sa.Column("disk_format", sa.String(length=16), nullable=True),
        sa.Column("container_format", sa.String(length=16), nullable=True),
        sa.Column("size", big_integer(), nullable=True),
        sa.Column("virtual_size", big_integer(), nullable=True),
        sa.Column("checksum", sa.String(length=32), nullable=True),
        sa.Column("os_hash_value", sa.String(length=128), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("min_disk", sa.Integer(), nullable=False),
        sa.Column("min_ram", sa.Integer(), nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("properties", big_text(), nullable=False),
        sa.Column("tags", big_text(), nullable=False),
        sa.Column("url", big_text(), nullable=True),
        sa.Column("blob", sa.String(length=36), nullable=True),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("resource", name=op.f("uq_images_resource")),
        **OPTIONS,
    )
    op.create_index("ix_images_created_at", "images", ["removed_at", "created_at", "id"], unique=False)
    op.create_index("ix_images_name", "images", ["name"], unique=False)
    op.create_index("ix_images_owner", "images", ["owner", "removed_at", "created_at"], unique=False)
    op.create_index("ix_images_resource_uid", "images", ["resource_uid"], unique=False)
    op.create_index("ix_images_status", "images", ["status"], unique=False)
