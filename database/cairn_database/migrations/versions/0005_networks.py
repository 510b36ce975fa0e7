"""Ports, security groups and floating addresses; networks get the ids and names of the Network API.

An address was held by an instance and is held by a port now: the interfaces that instances have become ports.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import UtcDateTime, big_integer, big_text, timestamp

revision = "0005"
down_revision = "0004"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
PAGE = 1000


def upgrade() -> None:
    _networks()
    _ports()
    _security_groups()
    _floating_ips()
    _addresses()


def _id(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=36), nullable=nullable)


def _name(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=253), nullable=nullable)


def _text(name: str, length: int = 255, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=length), nullable=nullable)


def _moments() -> list[sa.Column[Any]]:
    return [sa.Column(name, timestamp(), nullable=False) for name in ("created_at", "updated_at")]


def _revision() -> sa.Column[Any]:
    return sa.Column("revision", big_integer(), nullable=False)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def _networks() -> None:
    with op.batch_alter_table("networks") as table:
        for column in (
            _id("id", nullable=True),
            _text("display_name", nullable=True),
            _name("owner", nullable=True),
            sa.Column("shared", sa.Boolean(), nullable=True),
            sa.Column("external", sa.Boolean(), nullable=True),
            _id("subnet_id", nullable=True),
            _id("resource_uid", nullable=True),
            sa.Column("created_at", timestamp(), nullable=True),
        ):
            table.add_column(column)
    rows = sa.table(
        "networks",
        sa.column("name", sa.String),
        sa.column("display_name", sa.String),
        sa.column("shared", sa.Boolean),
        sa.column("external", sa.Boolean),
        sa.column("created_at", timestamp()),
        sa.column("updated_at", timestamp()),
    )
    # Ids, owners and sharing follow when the conductor next takes the resources in.
    op.execute(
        rows.update().values(
            display_name=rows.c.name, shared=sa.true(), external=sa.false(), created_at=rows.c.updated_at
        )
    )
    with op.batch_alter_table("networks") as table:
        table.alter_column("display_name", existing_type=sa.String(length=255), nullable=False)
        table.alter_column("shared", existing_type=sa.Boolean(), nullable=False)
        table.alter_column("external", existing_type=sa.Boolean(), nullable=False)
        table.alter_column("created_at", existing_type=timestamp(), nullable=False)
        table.create_unique_constraint(op.f("uq_networks_id"), ["id"])
        table.create_unique_constraint(op.f("uq_networks_subnet_id"), ["subnet_id"])
        table.create_index("ix_networks_owner", ["owner"], unique=False)
    op.create_table(
        "network_drafts",
        _id("id"),
        _name("owner"),
        _text("display_name"),
        sa.Column("spec", big_text(), nullable=False),
        *_moments(),
        _key("network_drafts", "id"),
        **OPTIONS,
    )
    op.create_index("ix_network_drafts_owner", "network_drafts", ["owner"], unique=False)
    op.create_table(
        "network_quotas",
        _name("project"),
        _text("resource", 63),
        sa.Column("hard_limit", big_integer(), nullable=False),
        _key("network_quotas", "project", "resource"),
        **OPTIONS,
    )


def _ports() -> None:
    op.create_table(
        "ports",
        _id("id"),
        _name("network"),
        _name("project", nullable=True),
        _text("name"),
        _text("mac", 17),
        _id("instance_id", nullable=True),
        sa.Column("ordinal", sa.Integer(), nullable=True),
        sa.Column("transient", sa.Boolean(), nullable=False),
        _text("device_id"),
        _text("device_owner"),
        sa.Column("details", big_text(), nullable=False),
        *_moments(),
        _revision(),
        _key("ports", "id"),
        _unique("ports", "network", "mac"),
        **OPTIONS,
    )
    op.create_index("ix_ports_instance_id", "ports", ["instance_id"], unique=False)
    op.create_index("ix_ports_device_id", "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_project", "ports", ["project", "id"], unique=False)
    op.create_table(
        "port_security_groups",
        _id("port_id"),
        _id("group_id"),
        _key("port_security_groups", "port_id", "group_id"),
        **OPTIONS,
    )
    op.create_index("ix_port_security_groups_group_id", "port_security_groups", ["group_id"], unique=False)


def _security_groups() -> None:
    op.create_table(
        "security_groups",
        _id("id"),
        _name("project"),
        _text("namespace", 63),
        _name("name"),
        _text("display_name"),
        sa.Column("spec", big_text(), nullable=False),
        _id("resource_uid", nullable=True),
        sa.Column("resource_generation", big_integer(), nullable=True),
        *_moments(),
        _revision(),
        _key("security_groups", "id"),
        _unique("security_groups", "namespace", "name"),
        **OPTIONS,
    )
    op.create_index("ix_security_groups_project", "security_groups", ["project", "id"], unique=False)
    op.create_table(
        "security_group_rules",
        _id("id"),
        _id("group_id"),
        _text("direction", 8),
        _text("ethertype", 8),
        _text("protocol", 40, nullable=True),
        sa.Column("port_min", sa.Integer(), nullable=True),
        sa.Column("port_max", sa.Integer(), nullable=True),
        _text("remote_prefix", 64, nullable=True),
        _id("remote_group_id", nullable=True),
        _text("description", nullable=True),
        sa.Column("created_at", timestamp(), nullable=False),
        _key("security_group_rules", "id"),
        **OPTIONS,
    )
    for column in ("group_id", "remote_group_id"):
        op.create_index(f"ix_security_group_rules_{column}", "security_group_rules", [column], unique=False)


def _floating_ips() -> None:
    op.create_table(
        "floating_ips",
        _id("id"),
        _name("project"),
        _name("network"),
        _text("address", 39),
        _id("port_id"),
        _id("fixed_port_id", nullable=True),
        _text("fixed_address", 39, nullable=True),
        _text("description"),
        *_moments(),
        _revision(),
        _key("floating_ips", "id"),
        _unique("floating_ips", "network", "address"),
        _unique("floating_ips", "fixed_port_id", "fixed_address"),
        **OPTIONS,
    )
    op.create_index("ix_floating_ips_project", "floating_ips", ["project", "id"], unique=False)


def _addresses() -> None:
    """Every address in use becomes its own port's."""
    held = _held()
    op.drop_index("ix_addresses_instance_id", table_name="addresses")
    op.drop_table("addresses")
    op.create_table(
        "addresses",
        _name("network"),
        _text("address", 39),
        _id("port_id"),
        _key("addresses", "network", "address"),
        **OPTIONS,
    )
    op.create_index("ix_addresses_port_id", "addresses", ["port_id"], unique=False)
    for start in range(0, len(held), PAGE):
        _write_ports(held[start : start + PAGE])


def _held() -> list[Any]:
    addresses = sa.table(
        "addresses",
        *(sa.column(name) for name in ("network", "address", "mac", "instance_id", "ordinal")),
    )
    instances = sa.table(
        "instances",
        sa.column("id"),
        sa.column("project"),
        sa.column("updated_at", UtcDateTime()),
        sa.column("availability_zone"),
    )
    statement = sa.select(
        addresses, instances.c.project, instances.c.updated_at, instances.c.availability_zone
    ).join_from(addresses, instances, addresses.c.instance_id == instances.c.id)
    return list(op.get_bind().execute(statement))


def _write_ports(held: list[Any]) -> None:
    columns = ("id", "network", "project", "name", "mac", "instance_id", "ordinal")
    more = ("device_id", "device_owner", "details", "revision")
    ports = sa.table(
        "ports",
        *(sa.column(name) for name in (*columns, *more)),
        sa.column("transient", sa.Boolean),
        *(sa.column(name, UtcDateTime()) for name in ("created_at", "updated_at")),
    )
    addresses = sa.table("addresses", *(sa.column(name) for name in ("network", "address", "port_id")))
    ids = [str(uuid.uuid5(uuid.UUID(row.instance_id), f"port/{row.ordinal}")) for row in held]
    op.bulk_insert(
        ports,
        [
            {
                "id": port_id,
                "network": row.network,
                "project": row.project,
                "name": "",
                "mac": row.mac,
                "instance_id": row.instance_id,
                "ordinal": row.ordinal,
                "transient": True,
                "device_id": "",
                "device_owner": f"compute:{row.availability_zone or 'nova'}",
                "details": "{}",
                "created_at": row.updated_at,
                "updated_at": row.updated_at,
                "revision": 1,
            }
            for port_id, row in zip(ids, held, strict=True)
        ],
    )
    op.bulk_insert(
        addresses,
        [
            {"network": row.network, "address": row.address, "port_id": port_id}
            for port_id, row in zip(ids, held, strict=True)
        ],
    )
