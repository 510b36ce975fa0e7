"""The tables of volumes (see `cairn_database.tables` for the rules)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from cairn_database.tables import OPTIONS, metadata
from cairn_database.types import JsonText, UtcDateTime, big_integer

volumes = Table(
    "volumes",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(253), nullable=False),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("spec", JsonText(), nullable=False),
    Column("image", JsonText()),
    Column("size_gib", big_integer(), nullable=False),
    Column("made_gib", big_integer(), nullable=False),
    Column("host", String(253)),
    Column("deleting", sa.Boolean, nullable=False),
    Column("message", String(1024)),
    Column("resource_uid", String(36)),
    Column("version", big_integer(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    UniqueConstraint("namespace", "name"),
    Index("ix_volumes_project", "project", "id"),
    Index("ix_volumes_host", "host"),
    **OPTIONS,
)
"""`spec`: the VolumeSpec in API form. `image`: the ImageSpec in API form, with name, that it is made from.
`made_gib`: how large the file is; 0 before it is there. A row without `resource_uid` was asked for through
the Compute API, and its resource is still to be made."""

volume_attachments = Table(
    "volume_attachments",
    metadata,
    Column("volume_id", String(36), primary_key=True),
    Column("instance_id", String(36), primary_key=True),
    Column("id", String(36), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    UniqueConstraint("id"),
    Index("ix_volume_attachments_instance_id", "instance_id"),
    **OPTIONS,
)
"""Which instance has which volume. What else there is to say of it is in the instance's row
(`InstanceRecord.volumes`)."""
