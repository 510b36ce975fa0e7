"""The tables. Every change of their shape is a migration (`migrations/versions`); a test compares the two.

Rows of instances are soft-deleted: `deleted` is '0' while they live and the row's own id afterwards, so that
(namespace, name, deleted) is unique among the living and a name can be used again (Nova's own trick).
What resources mirror (projects, flavors, hosts ...) keeps its row and sets `removed_at`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Index, MetaData, String, Table, UniqueConstraint

from cairn_database.types import JsonText, UtcDateTime, big_integer, big_text

LIVE = "0"
"""The value of `instances.deleted` while the instance is not."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# Names compare byte by byte, as Kubernetes compares them; MariaDB's default would fold case.
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _id() -> String:
    return String(36)


def _name() -> String:
    return String(253)


def _word() -> String:
    return String(63)


def _required(name: str, type_: Any, **options: Any) -> Column[Any]:
    return Column(name, type_, nullable=False, **options)


def _count(name: str) -> Column[Any]:
    return Column(name, big_integer(), nullable=False)


instances = Table(
    "instances",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("project", _name()),
    _required("namespace", _word()),
    _required("name", _name()),
    Column("resource_uid", _id()),
    _required("vm_state", String(32)),
    Column("task_state", String(32)),
    _required("power_state", String(16)),
    Column("host", _name()),
    _count("fencing_epoch"),
    _count("version"),
    _required("request", JsonText()),
    _required("flavor", JsonText()),
    _required("image", JsonText()),
    Column("key_pair", JsonText()),
    Column("group_id", _id()),
    Column("availability_zone", String(255)),
    _required("hints", JsonText()),
    _required("interfaces", JsonText()),
    _count("reboot_generation"),
    _count("attempts"),
    _required("excluded_hosts", JsonText()),
    Column("fault_code", sa.Integer),
    Column("fault_message", big_text()),
    Column("fault_at", UtcDateTime()),
    Column("placement_message", big_text()),
    _required("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("launched_at", UtcDateTime()),
    Column("terminated_at", UtcDateTime()),
    Column("deleted_at", UtcDateTime()),
    Column("request_id", String(255)),
    Column("action_id", big_integer()),
    Column("user_id", String(64)),
    _required("details", JsonText()),
    Column("move", JsonText()),
    Column("operation", JsonText()),
    _required("awaiting_host", sa.Boolean),
    Column("volumes", JsonText()),
    # For SQL only; not part of the record. From `display_name` on they repeat what `request`, `flavor`,
    # `image`, `key_pair` and `details` say, for what lists are filtered and sorted by (`rows.index_columns`).
    _required("deleted", _id()),
    _count("vcpus"),
    _count("memory_mib"),
    _required("display_name", String(255)),
    Column("description", String(255)),
    _required("locked", sa.Boolean),
    Column("flavor_id", String(255)),
    Column("image_id", _id()),
    Column("key_name", String(255)),
    Column("reservation_id", String(63)),
    Column("launch_index", sa.Integer),
    Column("config_drive", sa.Boolean),
    Column("access_ip_v4", String(39)),
    Column("access_ip_v6", String(39)),
    UniqueConstraint("namespace", "name", "deleted"),
    Index("ix_instances_task_state", "task_state", "created_at", "id"),
    Index("ix_instances_awaiting_host", "awaiting_host", "created_at", "id"),
    Index("ix_instances_host", "host", "deleted", "created_at", "id"),
    Index("ix_instances_vm_state", "deleted", "vm_state", "created_at", "id"),
    Index("ix_instances_project", "project", "deleted", "created_at", "id"),
    Index("ix_instances_project_updated_at", "project", "updated_at"),
    Index("ix_instances_project_terminated_at", "project", "terminated_at", "id"),
    Index("ix_instances_project_user_id", "project", "user_id", "deleted"),
    Index("ix_instances_created_at", "deleted", "created_at", "id"),
    Index("ix_instances_updated_at", "updated_at"),
    Index("ix_instances_reservation_id", "reservation_id"),
    Index("ix_instances_group_id", "group_id", "deleted", "host"),
    Index("ix_instances_deleted", "deleted", "id"),
    Index("ix_instances_deleted_at", "deleted_at"),
    **OPTIONS,
)

instance_tags = Table(
    "instance_tags",
    metadata,
    Column("instance_id", _id(), primary_key=True),
    Column("tag", String(60), primary_key=True),
    Index("ix_instance_tags_tag", "tag", "instance_id"),
    **OPTIONS,
)
"""What `request` says of tags, once more, to find instances by."""

instance_metadata = Table(
    "instance_metadata",
    metadata,
    Column("instance_id", _id(), primary_key=True),
    Column("name", String(255), primary_key=True),
    _required("value", String(255)),
    Index("ix_instance_metadata_name", "name", "instance_id"),
    **OPTIONS,
)
"""What `request` says of metadata, once more, to find instances by."""

allocations = Table(
    "allocations",
    metadata,
    Column("instance_id", _id(), primary_key=True),
    Column("purpose", String(8), primary_key=True),
    _required("host", _name()),
    _count("vcpus"),
    _count("memory_mib"),
    _count("disk_gib"),
    Index("ix_allocations_host", "host"),
    **OPTIONS,
)
"""What an instance holds of a host; the sums are in `compute_nodes`. `purpose`: `own` of the host that it is
on, `move` of the other end of its move."""

migrations = Table(
    "migrations",
    metadata,
    Column("id", _id(), primary_key=True),
    _count("number"),
    _required("instance_id", _id()),
    _required("project", _name()),
    Column("user_id", String(64)),
    _required("kind", String(32)),
    _required("status", String(32)),
    Column("source", _name()),
    Column("destination", _name()),
    Column("old_flavor", JsonText()),
    Column("new_flavor", JsonText()),
    Column("progress", JsonText()),
    Column("message", big_text()),
    Column("request_id", String(255)),
    Column("resource_uid", _id()),
    _required("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("ended_at", UtcDateTime()),
    UniqueConstraint("number"),
    Index("ix_migrations_instance_id", "instance_id", "number"),
    Index("ix_migrations_updated_at", "updated_at", "number"),
    Index("ix_migrations_ended_at", "ended_at"),
    **OPTIONS,
)
"""Every move of an instance to another host or flavor, and what became of it. `number` is the Compute API's
id. While one is under way its state is in `instances.move`, and changes together with it."""

addresses = Table(
    "addresses",
    metadata,
    Column("network", _name(), primary_key=True),
    Column("address", String(39), primary_key=True),
    _required("port_id", _id()),
    Index("ix_addresses_port_id", "port_id"),
    **OPTIONS,
)
"""The addresses in use: the constraint that no two ports (`networking.tables.ports`) get the same one."""

free_addresses = Table(
    "free_addresses",
    metadata,
    Column("id", big_integer(), primary_key=True, autoincrement=False),
    _required("network", _name()),
    _count("first"),
    _count("last"),
    Index("ix_free_addresses_network_id", "network", "id"),
    Index("ix_free_addresses_network_first", "network", "first"),
    **OPTIONS,
)
"""Ranges of addresses nobody uses, longest free first (by id): one costs the same in a full network."""

instance_actions = Table(
    "instance_actions",
    metadata,
    Column("id", big_integer(), primary_key=True, autoincrement=False),
    _required("instance_id", _id()),
    _required("action", String(255)),
    Column("request_id", String(255)),
    _required("started_at", UtcDateTime()),
    Column("finished_at", UtcDateTime()),
    Column("result", String(16)),
    Column("message", big_text()),
    Index("ix_instance_actions_instance_id", "instance_id", "id"),
    **OPTIONS,
)

instance_action_events = Table(
    "instance_action_events",
    metadata,
    Column("id", big_integer(), primary_key=True, autoincrement=False),
    _required("instance_id", _id()),
    Column("action_id", big_integer()),
    _required("event", String(255)),
    Column("host", _name()),
    _required("started_at", UtcDateTime()),
    _required("finished_at", UtcDateTime()),
    _required("result", String(16)),
    Column("message", big_text()),
    Index("ix_instance_action_events_instance_id", "instance_id", "id"),
    **OPTIONS,
)

projects = Table(
    "projects",
    metadata,
    Column("name", _name(), primary_key=True),
    Column("id", String(64)),
    Column("domain_id", String(64)),
    Column("display_name", String(255)),
    _required("namespace", _word()),
    _required("enabled", sa.Boolean),
    _required("spec", JsonText()),
    _count("instances_limit"),
    _count("cores_limit"),
    _count("memory_mib_limit"),
    _count("server_group_members_limit"),
    _count("instances_used"),
    _count("cores_used"),
    _count("memory_mib_used"),
    Column("resource_uid", _id()),
    Column("resource_generation", big_integer()),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("id"),
    UniqueConstraint("domain_id", "display_name"),
    Index("ix_projects_namespace", "namespace"),
    **OPTIONS,
)
"""`id`, `domain_id` and `display_name` are the OpenStack APIs' (removed rows may have lost them).
Limits and usage share a row, so that one conditional UPDATE checks and takes."""

flavors = Table(
    "flavors",
    metadata,
    Column("name", _name(), primary_key=True),
    _required("spec", JsonText()),
    Column("id", String(255)),
    Column("display_name", String(255)),
    Column("resource_uid", _id()),
    Column("resource_generation", big_integer()),
    Column("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("id"),
    UniqueConstraint("display_name"),
    **OPTIONS,
)
"""`id` and `display_name` are none where the flavor is removed, so that they are unique among the others."""

networks = Table(
    "networks",
    metadata,
    Column("name", _name(), primary_key=True),
    Column("id", _id()),
    _required("display_name", String(255)),
    Column("owner", _name()),
    _required("shared", sa.Boolean),
    _required("external", sa.Boolean),
    Column("subnet_id", _id()),
    Column("resource_uid", _id()),
    _required("spec", JsonText()),
    _required("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("id"),
    UniqueConstraint("subnet_id"),
    Index("ix_networks_owner", "owner"),
    **OPTIONS,
)
"""The ids are the Network API's (removed rows have none). `owner` is a project's name; None: nobody's."""

aggregates = Table(
    "aggregates",
    metadata,
    Column("name", _name(), primary_key=True),
    _count("id"),
    _required("uuid", _id()),
    _required("spec", JsonText()),
    _required("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("id"),
    **OPTIONS,
)
"""`id` and `uuid` are what the Compute API calls it; no number is given twice."""

key_pairs = Table(
    "key_pairs",
    metadata,
    Column("namespace", _word(), primary_key=True),
    Column("name", _name(), primary_key=True),
    _required("spec", JsonText()),
    Column("user_id", String(64)),
    Column("display_name", String(255)),
    Column("resource_uid", _id()),
    Column("created_at", UtcDateTime()),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("user_id", "display_name"),
    **OPTIONS,
)
"""`user_id` is none where the key pair is removed, and where it is everybody's in the project."""

server_groups = Table(
    "server_groups",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("namespace", _word()),
    _required("name", _name()),
    _required("policy", String(32)),
    Column("max_per_host", sa.Integer),
    Column("display_name", String(255)),
    Column("user_id", String(64)),
    Column("resource_uid", _id()),
    Column("created_at", UtcDateTime()),
    _count("generation"),
    _count("members"),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("namespace", "name"),
    **OPTIONS,
)
"""`generation` rises with every placement of a member: what keeps two schedulers apart."""

quota_classes = Table(
    "quota_classes",
    metadata,
    Column("class_name", String(255), primary_key=True),
    Column("resource", _word(), primary_key=True),
    _count("hard_limit"),
    _required("updated_at", UtcDateTime()),
    **OPTIONS,
)
"""Of class `default`: the limits of projects that do not say their own."""

released_resources = Table(
    "released_resources",
    metadata,
    Column("uid", _id(), primary_key=True),
    _required("released_at", UtcDateTime()),
    Index("ix_released_resources_released_at", "released_at"),
    **OPTIONS,
)
"""Instances that were deleted before they had a row, and Volumes that are deleted: resources that are not to
get a row any more."""

user_quotas = Table(
    "user_quotas",
    metadata,
    Column("project", _name(), primary_key=True),
    Column("user_id", String(64), primary_key=True),
    Column("resource", _word(), primary_key=True),
    _count("hard_limit"),
    _required("updated_at", UtcDateTime()),
    **OPTIONS,
)
"""Limits of single users in a project, inside the project's own."""

quota_users = Table(
    "quota_users",
    metadata,
    Column("user_id", String(64), primary_key=True),
    _count("changes"),
    **OPTIONS,
)
"""A row per user: locked while something is made that counts for the user in all projects (key pairs)."""

compute_nodes = Table(
    "compute_nodes",
    metadata,
    Column("name", _name(), primary_key=True),
    _required("id", _id()),
    _count("number"),
    _required("spec", JsonText()),
    _required("inventory", JsonText()),
    _required("disabled", sa.Boolean),
    _required("forced_down", sa.Boolean),
    _required("up", sa.Boolean),
    _count("vcpus_limit"),
    _count("memory_mib_limit"),
    _count("disk_gib_limit"),
    _count("vcpus_used"),
    _count("memory_mib_used"),
    _count("disk_gib_used"),
    _count("instances"),
    _count("generation"),
    _count("build_failures"),
    _count("changed"),
    Column("down_since", big_integer()),
    _count("self_fence_seconds"),
    _required("updated_at", UtcDateTime()),
    Column("removed_at", UtcDateTime()),
    UniqueConstraint("id"),
    UniqueConstraint("number"),
    Index("ix_compute_nodes_changed", "changed"),
    **OPTIONS,
)
"""`id` and `number` are what newer and older clients call it; neither is given twice. Limits are
(total - reserved) x ratio, worked out when the resource changes (as Nova's placement does). `down_since` is
when `up` became false, in seconds of the database's clock; `self_fence_seconds` 0: it does not."""
