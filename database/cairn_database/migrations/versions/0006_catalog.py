"""Ids and owners of flavors, key pairs and server groups; quota classes and the quotas of users; what the
Compute API calls aggregates and hosts."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, timestamp

revision = "0006"
down_revision = "0005"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    """Rows that are there get the ids and names that their resources have in the API."""
    _flavors()
    _key_pairs()
    _server_groups()
    op.add_column("projects", sa.Column("resource_uid", sa.String(length=36), nullable=True))
    op.add_column("projects", sa.Column("resource_generation", big_integer(), nullable=True))
    _quotas()
    op.create_index(
        "ix_instances_project_terminated_at", "instances", ["project", "terminated_at", "id"], unique=False
    )
    _aggregates()
    _compute_nodes()


def _flavors() -> None:
    with op.batch_alter_table("flavors") as table:
        table.add_column(sa.Column("id", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("display_name", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("resource_uid", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("resource_generation", big_integer(), nullable=True))
        table.add_column(sa.Column("created_at", timestamp(), nullable=True))
    op.execute(
        "UPDATE flavors SET id = name, display_name = name, created_at = updated_at WHERE removed_at IS NULL"
    )
    with op.batch_alter_table("flavors") as table:
        table.create_unique_constraint(op.f("uq_flavors_id"), ["id"])
        table.create_unique_constraint(op.f("uq_flavors_display_name"), ["display_name"])


def _key_pairs() -> None:
    with op.batch_alter_table("key_pairs") as table:
        table.add_column(sa.Column("user_id", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("display_name", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("resource_uid", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("created_at", timestamp(), nullable=True))
    op.execute("UPDATE key_pairs SET display_name = name, created_at = updated_at")
    with op.batch_alter_table("key_pairs") as table:
        table.create_unique_constraint(op.f("uq_key_pairs_user_id_display_name"), ["user_id", "display_name"])


def _server_groups() -> None:
    with op.batch_alter_table("server_groups") as table:
        table.add_column(sa.Column("display_name", sa.String(length=255), nullable=True))
        table.add_column(sa.Column("user_id", sa.String(length=64), nullable=True))
        table.add_column(sa.Column("resource_uid", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("created_at", timestamp(), nullable=True))
    op.execute("UPDATE server_groups SET display_name = name, created_at = updated_at")


def _quotas() -> None:
    op.create_table(
        "quota_classes",
        sa.Column("class_name", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=63), nullable=False),
        sa.Column("hard_limit", big_integer(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("class_name", "resource", name=op.f("pk_quota_classes")),
        **OPTIONS,
    )
    op.create_table(
        "user_quotas",
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=63), nullable=False),
        sa.Column("hard_limit", big_integer(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("project", "user_id", "resource", name=op.f("pk_user_quotas")),
        **OPTIONS,
    )
    op.create_table(
        "quota_users",
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("changes", big_integer(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_quota_users")),
        **OPTIONS,
    )


def _aggregates() -> None:
    with op.batch_alter_table("aggregates") as table:
        table.add_column(sa.Column("id", big_integer(), nullable=True))
        table.add_column(sa.Column("uuid", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("created_at", timestamp(), nullable=True))
    op.execute("UPDATE aggregates SET created_at = updated_at")
    _number_rows("aggregates", number="id", uuid_column="uuid")
    with op.batch_alter_table("aggregates") as table:
        table.alter_column("id", existing_type=big_integer(), nullable=False)
        table.alter_column("uuid", existing_type=sa.String(length=36), nullable=False)
        table.alter_column("created_at", existing_type=timestamp(), nullable=False)
        table.create_unique_constraint(op.f("uq_aggregates_id"), ["id"])


def _compute_nodes() -> None:
    with op.batch_alter_table("compute_nodes") as table:
        table.add_column(sa.Column("id", sa.String(length=36), nullable=True))
        table.add_column(sa.Column("number", big_integer(), nullable=True))
        table.add_column(sa.Column("up", sa.Boolean(), nullable=True))
    up = sa.table("compute_nodes", sa.column("up", sa.Boolean))
    op.execute(up.update().values(up=sa.false()))  # the next heartbeat says better
    _number_rows("compute_nodes", number="number", uuid_column="id")
    with op.batch_alter_table("compute_nodes") as table:
        table.alter_column("id", existing_type=sa.String(length=36), nullable=False)
        table.alter_column("number", existing_type=big_integer(), nullable=False)
        table.alter_column("up", existing_type=sa.Boolean(), nullable=False)
        table.create_unique_constraint(op.f("uq_compute_nodes_id"), ["id"])
        table.create_unique_constraint(op.f("uq_compute_nodes_number"), ["number"])


def _number_rows(table: str, *, number: str, uuid_column: str) -> None:
    rows = sa.table(table, sa.column("name"), sa.column(number), sa.column(uuid_column))
    connection = op.get_bind()
    names = connection.execute(sa.select(rows.c.name).order_by(rows.c.name)).scalars().all()
    for index, name in enumerate(names, start=1):
        values = {number: index, uuid_column: str(uuid.uuid4())}
        connection.execute(sa.update(rows).where(rows.c.name == name).values(values))
