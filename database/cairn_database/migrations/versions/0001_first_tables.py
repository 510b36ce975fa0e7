"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, big_text, timestamp

revision = "0001"
down_revision = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("network", sa.String(length=253), nullable=False),
        sa.Column("address", sa.String(length=39), nullable=False),
        sa.Column("mac", sa.String(length=17), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("network", "address", name=op.f("pk_addresses")),
        sa.UniqueConstraint("network", "mac", name=op.f("uq_addresses_network_mac")),
        **OPTIONS,
    )
    op.create_index("ix_addresses_instance_id", "addresses", ["instance_id"], unique=False)
    op.create_table(
        "aggregates",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_aggregates")),
        **OPTIONS,
    )
    op.create_table(
        "allocations",
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=False),
        sa.Column("vcpus", big_integer(), nullable=False),
        sa.Column("memory_mib", big_integer(), nullable=False),
        sa.Column("disk_gib", big_integer(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_allocations")),
        **OPTIONS,
    )
    op.create_index("ix_allocations_host", "allocations", ["host"], unique=False)
    op.create_table(
        "compute_nodes",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("inventory", big_text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("forced_down", sa.Boolean(), nullable=False),
        sa.Column("vcpus_limit", big_integer(), nullable=False),
        sa.Column("memory_mib_limit", big_integer(), nullable=False),
        sa.Column("disk_gib_limit", big_integer(), nullable=False),
        sa.Column("vcpus_used", big_integer(), nullable=False),
        sa.Column("memory_mib_used", big_integer(), nullable=False),
        sa.Column("disk_gib_used", big_integer(), nullable=False),
        sa.Column("instances", big_integer(), nullable=False),
        sa.Column("generation", big_integer(), nullable=False),
        sa.Column("build_failures", big_integer(), nullable=False),
        sa.Column("changed", big_integer(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_compute_nodes")),
        **OPTIONS,
    )
    op.create_index("ix_compute_nodes_changed", "compute_nodes", ["changed"], unique=False)
    op.create_table(
        "flavors",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_flavors")),
        **OPTIONS,
    )
    op.create_table(
        "free_addresses",
        sa.Column("id", big_integer(), autoincrement=False, nullable=False),
        sa.Column("network", sa.String(length=253), nullable=False),
        sa.Column("first", big_integer(), nullable=False),
        sa.Column("last", big_integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_free_addresses")),
        **OPTIONS,
    )
    op.create_index("ix_free_addresses_network_first", "free_addresses", ["network", "first"], unique=False)
    op.create_index("ix_free_addresses_network_id", "free_addresses", ["network", "id"], unique=False)
    op.create_table(
        "images",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_images")),
        **OPTIONS,
    )
    op.create_table(
        "instance_action_events",
        sa.Column("id", big_integer(), autoincrement=False, nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("action_id", big_integer(), nullable=True),
        sa.Column("event", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=True),
        sa.Column("started_at", timestamp(), nullable=False),
        sa.Column("finished_at", timestamp(), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("message", big_text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_action_events")),
        **OPTIONS,
    )
    op.create_index(
        "ix_instance_action_events_instance_id", "instance_action_events", ["instance_id", "id"], unique=False
    )
    op.create_table(
        "instance_actions",
        sa.Column("id", big_integer(), autoincrement=False, nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("action", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("started_at", timestamp(), nullable=False),
        sa.Column("finished_at", timestamp(), nullable=True),
        sa.Column("result", sa.String(length=16), nullable=True),
        sa.Column("message", big_text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_actions")),
        **OPTIONS,
    )
    op.create_index(
        "ix_instance_actions_instance_id", "instance_actions", ["instance_id", "id"], unique=False
    )
    op.create_table(
        "instances",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project", sa.String(length=253), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("resource_uid", sa.String(length=36), nullable=True),
        sa.Column("vm_state", sa.String(length=32), nullable=False),
        sa.Column("task_state", sa.String(length=32), nullable=True),
        sa.Column("power_state", sa.String(length=16), nullable=False),
        sa.Column("host", sa.String(length=253), nullable=True),
        sa.Column("fencing_epoch", big_integer(), nullable=False),
        sa.Column("version", big_integer(), nullable=False),
        sa.Column("request", big_text(), nullable=False),
        sa.Column("flavor", big_text(), nullable=False),
        sa.Column("image", big_text(), nullable=False),
        sa.Column("key_pair", big_text(), nullable=True),
        sa.Column("group_id", sa.String(length=36), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("hints", big_text(), nullable=False),
        sa.Column("interfaces", big_text(), nullable=False),
        sa.Column("reboot_generation", big_integer(), nullable=False),
        sa.Column("attempts", big_integer(), nullable=False),
        sa.Column("excluded_hosts", big_text(), nullable=False),
        sa.Column("fault_code", sa.Integer(), nullable=True),
        sa.Column("fault_message", big_text(), nullable=True),
        sa.Column("fault_at", timestamp(), nullable=True),
        sa.Column("placement_message", big_text(), nullable=True),
        sa.Column("created_at", timestamp(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("launched_at", timestamp(), nullable=True),
        sa.Column("terminated_at", timestamp(), nullable=True),
        sa.Column("deleted_at", timestamp(), nullable=True),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("action_id", big_integer(), nullable=True),
        sa.Column("deleted", sa.String(length=36), nullable=False),
        sa.Column("vcpus", big_integer(), nullable=False),
        sa.Column("memory_mib", big_integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("namespace", "name", "deleted", name=op.f("uq_instances_namespace_name_deleted")),
        **OPTIONS,
    )
    op.create_index("ix_instances_deleted", "instances", ["deleted", "id"], unique=False)
    op.create_index("ix_instances_deleted_at", "instances", ["deleted_at"], unique=False)
    op.create_index("ix_instances_group_id", "instances", ["group_id", "deleted", "host"], unique=False)
    op.create_index("ix_instances_host", "instances", ["host", "deleted"], unique=False)
    op.create_index("ix_instances_project", "instances", ["project", "deleted"], unique=False)
    op.create_index("ix_instances_task_state", "instances", ["task_state", "created_at", "id"], unique=False)
    op.create_table(
        "key_pairs",
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("namespace", "name", name=op.f("pk_key_pairs")),
        **OPTIONS,
    )
    op.create_table(
        "networks",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_networks")),
        **OPTIONS,
    )
    op.create_table(
        "projects",
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("spec", big_text(), nullable=False),
        sa.Column("instances_limit", big_integer(), nullable=False),
        sa.Column("cores_limit", big_integer(), nullable=False),
        sa.Column("memory_mib_limit", big_integer(), nullable=False),
        sa.Column("server_group_members_limit", big_integer(), nullable=False),
        sa.Column("instances_used", big_integer(), nullable=False),
        sa.Column("cores_used", big_integer(), nullable=False),
        sa.Column("memory_mib_used", big_integer(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
        **OPTIONS,
    )
    op.create_index("ix_projects_namespace", "projects", ["namespace"], unique=False)
    op.create_table(
        "server_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("namespace", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=253), nullable=False),
        sa.Column("policy", sa.String(length=32), nullable=False),
        sa.Column("max_per_host", sa.Integer(), nullable=True),
        sa.Column("generation", big_integer(), nullable=False),
        sa.Column("members", big_integer(), nullable=False),
        sa.Column("updated_at", timestamp(), nullable=False),
        sa.Column("removed_at", timestamp(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_groups")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_server_groups_namespace_name")),
        **OPTIONS,
    )


def downgrade() -> None:

    op.drop_table("server_groups")
    op.drop_index("ix_projects_namespace", table_name="projects")
    op.drop_table("projects")
    op.drop_table("networks")
    op.drop_table("key_pairs")
    op.drop_index("ix_instances_task_state", table_name="instances")
    op.drop_index("ix_instances_project", table_name="instances")
    op.drop_index("ix_instances_host", table_name="instances")
    op.drop_index("ix_instances_group_id", table_name="instances")
    op.drop_index("ix_instances_deleted_at", table_name="instances")
    op.drop_index("ix_instances_deleted", table_name="instances")
    op.drop_table("instances")
    op.drop_index("ix_instance_actions_instance_id", table_name="instance_actions")
    op.drop_table("instance_actions")
    op.drop_index("ix_instance_action_events_instance_id", table_name="instance_action_events")
    op.drop_table("instance_action_events")
    op.drop_table("images")
    op.drop_index("ix_free_addresses_network_id", table_name="free_addresses")
    op.drop_index("ix_free_addresses_network_first", table_name="free_addresses")
    op.drop_table("free_addresses")
    op.drop_table("flavors")
    op.drop_index("ix_compute_nodes_changed", table_name="compute_nodes")
    op.drop_table("compute_nodes")
    op.drop_index("ix_allocations_host", table_name="allocations")
    op.drop_table("allocations")
    op.drop_table("aggregates")
    op.drop_index("ix_addresses_instance_id", table_name="addresses")
    op.drop_table("addresses")
