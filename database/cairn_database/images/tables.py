"""The tables of images: rows, whom they are shared with, and the files of the built-in store."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from cairn_database.tables import OPTIONS, metadata
from cairn_database.types import JsonText, UtcDateTime, big_integer, big_text

images = Table(
    "images",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(255)),
    Column("resource", String(253)),
    Column("resource_uid", String(36)),
    Column("generation", big_integer(), nullable=False),
    Column("status", String(16), nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("owner", String(253)),
    Column("disk_format", String(16)),
    Column("container_format", String(16)),
    Column("size", big_integer()),
    Column("virtual_size", big_integer()),
    Column("checksum", String(32)),
    Column("os_hash_value", String(128)),
    Column("sha256", String(64)),
    Column("min_disk", sa.Integer, nullable=False),
    Column("min_ram", sa.Integer, nullable=False),
    Column("protected", sa.Boolean, nullable=False),
    Column("hidden", sa.Boolean, nullable=False),
    Column("properties", JsonText(), nullable=False),
    Column("tags", JsonText(), nullable=False),
    Column("url", big_text()),
    Column("blob", String(36)),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("resource"),
    Index("ix_images_created_at", "removed_at", "created_at", "id"),
    Index("ix_images_owner", "owner", "removed_at", "created_at"),
    Index("ix_images_name", "name"),
    Index("ix_images_status", "status"),
    Index("ix_images_resource_uid", "resource_uid"),
    **OPTIONS,
)
"""An image, from the moment that somebody asks for it; `resource` is the Image resource that it has once
there is data. Removed ones keep their row (without the resource's name), so that no id is given twice."""

image_members = Table(
    "image_members",
    metadata,
    Column("image_id", String(36), primary_key=True),
    Column("project", String(253), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Index("ix_image_members_project", "project", "status"),
    **OPTIONS,
)
"""Whom a shared image is shared with."""

image_blobs = Table(
    "image_blobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("image_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("touched_at", UtcDateTime(), nullable=False),
    Index("ix_image_blobs_state", "state", "touched_at"),
    Index("ix_image_blobs_image_id", "image_id"),
    **OPTIONS,
)
"""Every file that the built-in store may hold: known here before its first byte is written, and until it is
gone. That is what lets another process clean up after one that died."""

image_keys = Table(
    "image_keys",
    metadata,
    Column("id", sa.Integer, primary_key=True, autoincrement=False),
    Column("secret", String(64), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    **OPTIONS,
)
"""What download addresses are signed with (hexadecimal); the highest id signs, all of them are accepted."""
