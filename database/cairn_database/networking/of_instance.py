"""The security groups of an instance: what its spec says, and what its ports are in, changed together.

`spec.securityGroups` names the groups of the interfaces that were made for the instance. The Compute API's
actions change it along with the ports; an edit of it changes the ports. A port that is changed by itself,
through the Network API, stays so until the instance's groups are set anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from cairn_database.asking import Asked, live_row, with_spec
from cairn_database.engine import Database
from cairn_database.errors import ConcurrentUpdate
from cairn_database.networking.groups import DEFAULT, ids_of
from cairn_database.networking.tables import port_security_groups, ports
from cairn_database.records import InstanceRecord
from cairn_database.rows import compare_and_set, now

_LINKS = port_security_groups


async def add_group(db: Database, instance_id: str, group_id: str, name: str) -> InstanceRecord:
    """Put all its ports into a group (the resource's `name`), and say so in the spec (Nova API: server action
    addSecurityGroup). Raises InstanceNotFound."""

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        port_ids = _ports(conn, instance_id)
        there = sa.select(_LINKS.c.port_id).where(
            _LINKS.c.port_id.in_(port_ids), _LINKS.c.group_id == group_id
        )
        missing = set(port_ids) - set(conn.scalars(there))
        _link(conn, sorted(missing), [group_id])
        names = groups_of(record)
        return _say(conn, record, names if name in names else [*names, name])

    return await db.run(transaction)


async def remove_group(
    db: Database, instance_id: str, group_id: str, name: str
) -> tuple[InstanceRecord, bool]:
    """Take all its ports out of a group, and the spec's word for it; whether any was in it (Nova API: server
    action removeSecurityGroup). Raises InstanceNotFound."""

    def transaction(conn: sa.Connection) -> tuple[InstanceRecord, bool]:
        record = live_row(conn, instance_id)
        mine = _LINKS.c.port_id.in_(_ports(conn, instance_id))
        gone = conn.execute(sa.delete(_LINKS).where(mine, _LINKS.c.group_id == group_id)).rowcount
        rest = [other for other in groups_of(record) if other != name]
        return _say(conn, record, rest), gone > 0

    return await db.run(transaction)


async def set_groups(
    db: Database, instance_id: str, names: Sequence[str] | None, asked: Asked
) -> InstanceRecord:
    """The ports that were made for it are in exactly these groups from now on; None: in `default`.

    Raises InstanceNotFound, ConcurrentUpdate, SecurityGroupNotFound.
    """

    def transaction(conn: sa.Connection) -> InstanceRecord:
        record = live_row(conn, instance_id)
        if asked.version is not None and record.version != asked.version:
            raise ConcurrentUpdate(
                "Instance", instance_id, f"version {asked.version}", f"version {record.version}"
            )
        moment = now()
        wanted = [DEFAULT] if names is None else list(names)
        group_ids = ids_of(conn, record.project, record.namespace, wanted, moment)
        port_ids = _ports(conn, instance_id, transient=True)
        conn.execute(sa.delete(_LINKS).where(_LINKS.c.port_id.in_(port_ids)))
        _link(conn, port_ids, group_ids)
        request = with_spec(record, securityGroups=None if names is None else wanted)
        request = {**request, **(asked.seen or {})}
        request.pop("projection", None)
        return compare_and_set(conn, record, moment=moment, request=request)

    return await db.run(transaction)


def groups_of(record: InstanceRecord) -> list[str]:
    """The names (the resources') that its spec says; `default` where it says nothing."""
    names = record.spec.get("securityGroups")
    return [DEFAULT] if names is None else list(names)


def _ports(conn: sa.Connection, instance_id: str, *, transient: bool = False) -> list[str]:
    """Its ports, locked; `transient`: only those that were made for it."""
    statement = sa.select(ports.c.id).where(ports.c.instance_id == instance_id).order_by(ports.c.id)
    if transient:
        statement = statement.where(ports.c.transient.is_(sa.true()))
    return list(conn.scalars(statement.with_for_update()))


def _link(conn: sa.Connection, port_ids: Sequence[str], group_ids: Sequence[str]) -> None:
    rows = [{"port_id": port_id, "group_id": key} for port_id in port_ids for key in group_ids]
    if rows:
        conn.execute(sa.insert(_LINKS), rows)


def _say(conn: sa.Connection, record: InstanceRecord, names: list[str]) -> InstanceRecord:
    if names == groups_of(record):
        return record
    return compare_and_set(conn, record, moment=now(), request=with_spec(record, securityGroups=names))
