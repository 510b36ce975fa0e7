"""Moves of instances to other hosts and flavors, operations of hosts, and a queue for the scheduler that
holds more than new instances."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, big_text, timestamp

revision = "0008"
down_revision = "0007"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """What waits for the scheduler goes on waiting; what instances hold of hosts is their own."""
    _instances()
    _allocations()
    op.create_table(
        "migrations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("number", big_integer(), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=True),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=253), nullable=True),
        sa.Column("destination", sa.String(length=253), nullable=True),
        sa.Column("old_flavor", big_text(), nullable=True),
        sa.Column("new_flavor", big_text(), nullable=True),
        sa.Column("progress", big_text(), nullable=True),
        sa.Column("message", big_text(), nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("resource_uid", sa.String(length=36), nullable=True),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("ended_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_migrations")),
        sa.UniqueConstraint("number", name=op.f("uq_migrations_number")),
        **OPTIONS,
    )
    op.create_index("ix_migrations_instance_id", "migrations", ["instance_id", "number"], unique=False)
    op.create_index("ix_migrations_updated_at", "migrations", ["updated_at", "number"], unique=False)
    op.create_index("ix_migrations_ended_at", "migrations", ["ended_at"], unique=False)


def _instances() -> None:
    with op.batch_alter_table("instances") as table:
        table.add_column(sa.Column("move", big_text(), nullable=True))
        table.add_column(sa.Column("operation", big_text(), nullable=True))
        table.add_column(sa.Column("awaiting_host", sa.Boolean(), nullable=False, server_default=sa.false()))
    waiting = sa.table("instances", sa.column("awaiting_host", sa.Boolean()), sa.column("task_state"))
    op.execute(sa.update(waiting).where(waiting.c.task_state == "scheduling").values(awaiting_host=sa.true()))
    with op.batch_alter_table("instances") as table:
        table.alter_column("awaiting_host", existing_type=sa.Boolean(), server_default=None)
    op.create_index(
        "ix_instances_awaiting_host", "instances", ["awaiting_host", "created_at", "id"], unique=False
    )


def _allocations() -> None:
    """The primary key gains a column: a new table, because the databases change keys in different ways."""
    op.drop_index("ix_allocations_host", table_name="allocations")
    op.rename_table("allocations", "allocations_before")
    op.create_table(
        "allocations",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("vcpus", big_integer(), nullable=False),
        sa.Column("memory_mib", big_integer(), nullable=False),
        sa.Column("disk_gib", big_integer(), nullable=False),
        **OPTIONS,
    )
    op.execute(
        "INSERT INTO allocations (instance_id, purpose, host, vcpus, memory_mib, disk_gib) "
        "SELECT instance_id, 'own', host, vcpus, memory_mib, disk_gib FROM allocations_before"
    )
    op.drop_table("allocations_before")
    with op.batch_alter_table("allocations") as table:
        table.create_primary_key("pk_allocations", ["instance_id", "purpose"])
    op.create_index("ix_allocations_host", "allocations", ["host"], unique=False)
