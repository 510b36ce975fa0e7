"""The tables of ports, security groups and floating addresses (see `cairn_database.tables` for the rules)."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from cairn_database.tables import OPTIONS, metadata
from cairn_database.types import JsonText, UtcDateTime, big_integer

network_drafts = Table(
    "network_drafts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", String(253), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("spec", JsonText(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Index("ix_network_drafts_owner", "owner"),
    **OPTIONS,
)
"""Networks that have no subnet yet (or no longer): a Network resource is made when they get one.
`spec`: the NetworkSpec in API form, without cidr."""

ports = Table(
    "ports",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("network", String(253), nullable=False),
    Column("project", String(253)),
    Column("name", String(255), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("instance_id", String(36)),
    Column("ordinal", sa.Integer),
    Column("transient", sa.Boolean, nullable=False),
    Column("device_id", String(255), nullable=False),
    Column("device_owner", String(255), nullable=False),
    Column("details", JsonText(), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("revision", big_integer(), nullable=False),
    UniqueConstraint("network", "mac"),
    Index("ix_ports_instance_id", "instance_id"),
    Index("ix_ports_device_id", "device_id"),
    Index("ix_ports_project", "project", "id"),
    **OPTIONS,
)
"""`instance_id` and `ordinal`: whose interface it is, and which; only Cairn's own transactions set them,
while `device_id` is what a caller of the Network API wrote. `transient`: made for an instance, and goes
with it."""

port_security_groups = Table(
    "port_security_groups",
    metadata,
    Column("port_id", String(36), primary_key=True),
    Column("group_id", String(36), primary_key=True),
    Index("ix_port_security_groups_group_id", "group_id"),
    **OPTIONS,
)

security_groups = Table(
    "security_groups",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(253), nullable=False),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("spec", JsonText(), nullable=False),
    Column("resource_uid", String(36)),
    Column("resource_generation", big_integer()),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("revision", big_integer(), nullable=False),
    UniqueConstraint("namespace", "name"),
    Index("ix_security_groups_project", "project", "id"),
    **OPTIONS,
)
"""A row without `resource_uid` was accepted by an API, and its resource is still to be made."""

security_group_rules = Table(
    "security_group_rules",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("group_id", String(36), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(8), nullable=False),
    Column("protocol", String(40)),
    Column("port_min", sa.Integer),
    Column("port_max", sa.Integer),
    Column("remote_prefix", String(64)),
    Column("remote_group_id", String(36)),
    Column("description", String(255)),
    Column("created_at", UtcDateTime(), nullable=False),
    Index("ix_security_group_rules_group_id", "group_id"),
    Index("ix_security_group_rules_remote_group_id", "remote_group_id"),
    **OPTIONS,
)
"""What the groups' specs say, once more, to be found by."""

floating_ips = Table(
    "floating_ips",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project", String(253), nullable=False),
    Column("network", String(253), nullable=False),
    Column("address", String(39), nullable=False),
    Column("port_id", String(36), nullable=False),
    Column("fixed_port_id", String(36)),
    Column("fixed_address", String(39)),
    Column("description", String(255), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("revision", big_integer(), nullable=False),
    UniqueConstraint("network", "address"),
    UniqueConstraint("fixed_port_id", "fixed_address"),
    Index("ix_floating_ips_project", "project", "id"),
    **OPTIONS,
)
"""`port_id` holds the address in the external network; `fixed_port_id` is the port that it leads to."""

network_reservations = Table(
    "network_reservations",
    metadata,
    Column("project", String(253), primary_key=True),
    Column("resource", String(63), primary_key=True),
    Column("key", String(36), primary_key=True),
    Column("until", UtcDateTime(), nullable=False),
    **OPTIONS,
)
"""Room in a quota that is being taken (`networking.reservations`). `key`: the id of the row to come."""

network_quotas = Table(
    "network_quotas",
    metadata,
    Column("project", String(253), primary_key=True),
    Column("resource", String(63), primary_key=True),
    Column("hard_limit", big_integer(), nullable=False),
    **OPTIONS,
)
"""Limits that an administrator has set for a project; others are as `networking.quotas.DEFAULTS` says."""
