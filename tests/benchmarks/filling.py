"""A large cloud's tables, without booting it: the rows of one instance, again and again under other names.

They are what Cairn itself wrote for the pattern; only ids, names, addresses and moments differ.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from cairn_database import Database
from cairn_database.networking.tables import port_security_groups, ports
from cairn_database.tables import (
    addresses,
    allocations,
    instance_action_events,
    instance_actions,
    instances,
    metadata,
    projects,
)

Row = dict[str, Any]
AT_A_TIME = 500
OF_INSTANCE = (instances, instance_actions, instance_action_events, allocations, ports, addresses,
               port_security_groups)  # fmt: skip
"""The tables that have rows of an instance, in the order in which they are filled."""
AGE = timedelta(days=300)
"""The oldest was made that long ago."""


@dataclass(frozen=True)
class Pattern:
    """What Cairn wrote for one instance and its project."""

    project: Row
    rows: dict[str, list[Row]]
    instance_id: str
    port_id: str
    action_id: int


def fill(url: str, instance_id: str, have: int, wanted: int, spread: int) -> None:
    """Go on from `have` instances to `wanted`, over `spread` projects, all like the one given."""

    async def write() -> None:
        async with Database(url) as db:
            pattern = await db.read(lambda conn: _pattern(conn, instance_id))
            await _fill_projects(db, pattern, have, wanted, spread)
            for start in range(have, wanted, AT_A_TIME):
                numbers = range(start, min(wanted, start + AT_A_TIME))
                await db.run(lambda conn, numbers=numbers: _write(conn, pattern, numbers, spread))
            if not url.startswith("sqlite"):
                await db.run(_analyse)  # as autovacuum and its like do within a minute

    asyncio.run(write())


def _pattern(conn: sa.Connection, instance_id: str) -> Pattern:
    def rows(table: sa.Table, condition: sa.ColumnElement[bool]) -> list[Row]:
        return [dict(row._mapping) for row in conn.execute(sa.select(table).where(condition))]

    found = {instances.name: rows(instances, instances.c.id == instance_id)}
    [instance] = found[instances.name]
    for table in (instance_actions, allocations, ports):
        found[table.name] = rows(table, table.c.instance_id == instance_id)
    actions = [action["id"] for action in found[instance_actions.name]]
    found[instance_action_events.name] = rows(
        instance_action_events, instance_action_events.c.action_id.in_(actions)
    )
    [port] = found[ports.name]
    for table in (addresses, port_security_groups):
        found[table.name] = rows(table, table.c.port_id == port["id"])
    [project] = rows(projects, projects.c.name == instance["project"])
    return Pattern(project, found, instance_id, port["id"], instance["action_id"])


@dataclass(frozen=True)
class Clone:
    """One more instance like the pattern: what of its rows differs."""

    id: str
    """And the uid of its Instance."""
    name: str
    host: str
    renamed: dict[str, str]
    """Texts of the pattern's rows and resources, and what they are here."""


def fill_hosts(url: str, instance_id: str, count: int, hosts: int) -> list[Clone]:
    """`count` more in the project of the one given, dealt out to `node-0` to `node-(hosts - 1)`."""
    made: list[Clone] = []

    async def write() -> None:
        async with Database(url) as db:
            pattern = await db.read(lambda conn: _pattern(conn, instance_id))
            for start in range(0, count, AT_A_TIME):
                numbers = range(start, min(count, start + AT_A_TIME))
                made.extend(
                    await db.run(lambda conn, numbers=numbers: _write_on_hosts(conn, pattern, numbers, hosts))
                )

    asyncio.run(write())
    return made


def _write_on_hosts(conn: sa.Connection, pattern: Pattern, numbers: range, hosts: int) -> list[Clone]:
    rows: dict[str, list[Row]] = {table.name: [] for table in OF_INSTANCE}
    clones: list[Clone] = []
    [before] = pattern.rows[instances.name]
    [address] = pattern.rows[addresses.name]
    [port] = pattern.rows[ports.name]
    for number in numbers:
        own: dict[str, Row] = {}
        for table, row in _clone(pattern, number, pattern.project["name"]):
            if "host" in row:
                row["host"] = f"node-{number % hosts}"
            rows[table].append(row)
            own[table] = row
        row = own[instances.name]
        row["resource_uid"] = row["id"]  # as where the Instance was there first
        renamed = {
            before["id"]: row["id"], before["name"]: row["name"],
            pattern.port_id: own[ports.name]["id"], address["address"]: own[addresses.name]["address"],
            port["mac"]: own[ports.name]["mac"], before["host"]: row["host"],
        }  # fmt: skip
        clones.append(Clone(row["id"], row["name"], row["host"], renamed))
    for table in OF_INSTANCE:
        if rows[table.name]:
            conn.execute(sa.insert(metadata.tables[table.name]), rows[table.name])
    return clones


async def _fill_projects(db: Database, pattern: Pattern, have: int, wanted: int, spread: int) -> None:
    each = (wanted + spread - 1) // spread
    names = [f"{name}_used" for name in ("instances", "cores", "memory_mib")]
    used = {name: pattern.project[name] * each // pattern.project["instances_used"] for name in names}

    def write(conn: sa.Connection) -> None:
        if have:
            conn.execute(sa.update(projects).where(projects.c.name.like("filled-%")).values(used))
            return
        made = [
            {**pattern.project, **used, "name": name, "namespace": name, "display_name": name,
             "id": uuid.uuid4().hex, "resource_uid": str(uuid.uuid4())}
            for name in map(_project, range(spread))
        ]  # fmt: skip
        conn.execute(sa.insert(projects), made)

    await db.run(write)


def _project(number: int) -> str:
    return f"filled-{number}"


def _write(conn: sa.Connection, pattern: Pattern, numbers: range, spread: int) -> None:
    made: dict[str, list[Row]] = {table.name: [] for table in OF_INSTANCE}
    for number in numbers:
        for table, row in _clone(pattern, number, _project(number % spread)):
            made[table].append(row)
    for table in OF_INSTANCE:
        if made[table.name]:
            conn.execute(sa.insert(metadata.tables[table.name]), made[table.name])


def _clone(pattern: Pattern, number: int, project: str) -> Iterator[tuple[str, Row]]:
    """All rows of another instance."""
    chance = random.Random(number)  # the same cloud every time
    name = f"filled-{number}"
    instance_id, port_id = (str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(2))
    moment = datetime.now(UTC) - AGE * chance.random()
    action_id = number + 1  # real ones are far above
    octets = number.to_bytes(3, "big")
    own: Row = {
        "project": project, "namespace": project, "created_at": moment, "updated_at": moment,
        "launched_at": moment, "started_at": moment, "finished_at": moment,
        "resource_uid": str(uuid.uuid4()), "host": f"node-{number // 10}",
        "address": f"100.{octets[0]}.{octets[1]}.{octets[2]}", "mac": f"52:54:01:{octets.hex(':')}",
    }  # fmt: skip
    new_ids = {pattern.instance_id: instance_id, pattern.port_id: port_id}
    for table, rows in pattern.rows.items():
        for index, row in enumerate(rows):
            values = {key: own.get(key, value) for key, value in row.items()}
            if table == instances.name:
                values |= {"name": name, "display_name": name, "action_id": action_id}
            elif table == instance_actions.name:
                values["id"] = action_id if row["id"] == pattern.action_id else 2**40 + number * 8 + index
            elif table == instance_action_events.name:
                values |= {"id": number * 8 + index + 1, "action_id": action_id}
            yield table, {key: _renamed(value, new_ids) for key, value in values.items()}


def _renamed(value: Any, new_ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return new_ids.get(value, value)
    if isinstance(value, dict | list):
        text = orjson.dumps(value).decode()
        for old, new in new_ids.items():
            text = text.replace(old, new)
        return orjson.loads(text)
    return value


def _analyse(conn: sa.Connection) -> None:
    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("ANALYZE"))
        return
    for table in metadata.sorted_tables:
        conn.execute(sa.text(f"ANALYZE TABLE {table.name}"))
