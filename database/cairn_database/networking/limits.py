"""How much of the network a project may have (Neutron's quotas)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.networking.errors import NetworkQuotaExceeded
from cairn_database.networking.tables import (
    floating_ips,
    network_drafts,
    network_quotas,
    network_reservations,
    ports,
    security_group_rules,
    security_groups,
)
from cairn_database.rows import now
from cairn_database.tables import networks, projects

DEFAULTS: Mapping[str, int] = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
}
"""Neutron's own; -1 is unlimited. Interfaces that instances are given count as ports and are not limited by
it: the quota of instances does that."""


RESERVED: Mapping[str, sa.Table] = {"subnet": networks, "security_group_rule": security_group_rules}
"""What is counted before its row is there (`networking.reservations`), and where the row will be."""


def _count(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(table).where(*conditions)


def used(conn: sa.Connection, project: str, resource: str) -> int:
    """How much of `resource` (a key of DEFAULTS) the project has."""
    groups = security_groups.c
    of_networks = _count(networks, networks.c.owner == project, networks.c.removed_at.is_(None))
    of_drafts = _count(network_drafts, network_drafts.c.owner == project)
    mine = sa.select(groups.id).where(groups.project == project)
    counts: dict[str, list[sa.Select[Any]]] = {
        "network": [of_networks, of_drafts],
        "subnet": [of_networks],
        "port": [_count(ports, ports.c.project == project)],
        "floatingip": [_count(floating_ips, floating_ips.c.project == project)],
        "security_group": [_count(security_groups, groups.project == project)],
        "security_group_rule": [_count(security_group_rules, security_group_rules.c.group_id.in_(mine))],
    }
    statements = counts.get(resource, [])
    if resource in RESERVED:
        statements = [*statements, _reserved(project, resource)]
    return sum(int(conn.scalar(statement) or 0) for statement in statements)


def _reserved(project: str, resource: str) -> sa.Select[Any]:
    """How many are on their way, and not among the rows yet."""
    columns, row = network_reservations.c, RESERVED[resource].c
    return _count(
        network_reservations,
        columns.project == project,
        columns.resource == resource,
        columns.until > now(),
        ~sa.exists().where(row.id == columns.key),
    )


def limits(conn: sa.Connection, project: str) -> dict[str, int]:
    """The project's limits."""
    columns = network_quotas.c
    rows = conn.execute(sa.select(columns.resource, columns.hard_limit).where(columns.project == project))
    return {**DEFAULTS, **{resource: int(limit) for resource, limit in rows}}


def check_quota(conn: sa.Connection, project: str, resource: str, requested: int) -> None:
    """Inside the transaction that makes them: there may be so many more. Others of the same project that ask
    wait until the transaction ends. Raises NetworkQuotaExceeded."""
    conn.execute(sa.select(projects.c.name).where(projects.c.name == project).with_for_update()).all()
    limit = limits(conn, project)[resource]
    if 0 <= limit < used(conn, project, resource) + requested:
        raise NetworkQuotaExceeded(resource)


async def report(db: Database, project: str) -> dict[str, tuple[int, int]]:
    """(limit, used) by resource."""

    def query(conn: sa.Connection) -> dict[str, tuple[int, int]]:
        return {name: (limit, used(conn, project, name)) for name, limit in limits(conn, project).items()}

    return await db.read(query)


async def set_limits(db: Database, project: str, new: Mapping[str, int] | None) -> None:
    """Set limits (None: back to the defaults)."""
    columns = network_quotas.c

    def transaction(conn: sa.Connection) -> None:
        chosen = columns.resource.in_(list(new)) if new is not None else sa.true()
        conn.execute(sa.delete(network_quotas).where(columns.project == project, chosen))
        rows = [
            {"project": project, "resource": resource, "hard_limit": limit}
            for resource, limit in (new or {}).items()
        ]
        if rows:
            conn.execute(sa.insert(network_quotas), rows)

    await db.run(transaction)


async def changed_projects(db: Database) -> list[tuple[str, str]]:
    """(name, id) of the projects whose limits somebody has set."""
    statement = (
        sa.select(projects.c.name, projects.c.id)
        .where(
            projects.c.removed_at.is_(None),
            projects.c.name.in_(sa.select(network_quotas.c.project).distinct()),
        )
        .order_by(projects.c.name)
    )
    return await db.read(lambda conn: [(row.name, row.id) for row in conn.execute(statement)])
