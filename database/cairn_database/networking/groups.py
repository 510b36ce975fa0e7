"""Security groups in SQL: mirrored from the resources, with their rules as rows of their own.

A group's id and its rules' ids are stable: the resource's (`spec.id` or its uid), and for a rule one made
from the group's id and what the rule says (each rule is there once). A project's group `default` is made when
it is first needed, by whichever transaction needs it; its resource follows (a row without `resource_uid` is
one that the conductor still has to make the resource of).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.security_group import Direction, EtherType, SecurityGroupRule, SecurityGroupSpec
from cairn_database.engine import Database
from cairn_database.networking.errors import SecurityGroupInUse, SecurityGroupNotFound
from cairn_database.networking.tables import (
    port_security_groups,
    security_group_rules,
    security_groups,
)
from cairn_database.records import Json
from cairn_database.rows import now

DEFAULT = "default"
DEFAULT_DESCRIPTION = "Default security group"
_DEFAULT_IDS = uuid.UUID("5a0e1c2e-5f0c-4a7e-9a55-6d2f0c8b7d11")


class GroupKey(NamedTuple):
    """Where a group's resource is."""

    project: str
    namespace: str
    name: str


class Source(NamedTuple):
    """Which version of which resource a spec is from."""

    uid: str
    generation: int | None = None
    """None: the newest."""


@dataclass(frozen=True)
class GroupRecord:
    """A security group."""

    id: str
    project: str
    namespace: str
    name: str
    """The resource's."""
    display_name: str
    spec: SecurityGroupSpec
    resource_uid: str | None
    created_at: datetime
    updated_at: datetime
    revision: int


@dataclass(frozen=True)
class RuleRecord:
    """One rule, as rows have it."""

    id: str
    group_id: str
    project: str
    direction: str
    ethertype: str
    protocol: str | None
    port_min: int | None
    port_max: int | None
    remote_prefix: str | None
    remote_group_id: str | None
    description: str | None
    created_at: datetime


_BY_NAMES = sa.select(security_groups.c.id, security_groups.c.name).where(
    security_groups.c.namespace == bindparam("in_namespace"),
    security_groups.c.name.in_(bindparam("names", expanding=True)),
)
_RULES_OF = sa.select(security_group_rules.c.id).where(security_group_rules.c.group_id == bindparam("group"))


def default_id(namespace: str) -> str:
    """The id of the namespace's group `default`, unless its resource says another."""
    return str(uuid.uuid5(_DEFAULT_IDS, namespace))


def default_spec(namespace: str) -> SecurityGroupSpec:
    """Everything may go out; what comes in must come from the group itself (Neutron's default rules)."""
    return SecurityGroupSpec(
        id=default_id(namespace),
        description=DEFAULT_DESCRIPTION,
        rules=[
            SecurityGroupRule(
                direction=direction,
                ether_type=ether_type,
                remote_group=DEFAULT if direction is Direction.INGRESS else None,
            )
            for direction in (Direction.EGRESS, Direction.INGRESS)
            for ether_type in EtherType
        ],
    )


def rule_id(group_id: str, rule: SecurityGroupRule) -> str:
    """A rule's id: what it says but for the description, so that a rule cannot be there twice."""
    said = rule.to_api()
    said.pop("description", None)
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()
    return str(uuid.uuid5(uuid.UUID(group_id), text))


# --- inside transactions ---------------------------------------------------------------------------------


def ids_of(
    conn: sa.Connection, project: str, namespace: str, names: Sequence[str], moment: datetime
) -> list[str]:
    """The ids of the groups of these names, in their order; `default` is made where it is missing.

    Raises SecurityGroupNotFound.
    """
    found = {
        row.name: row.id for row in conn.execute(_BY_NAMES, {"in_namespace": namespace, "names": list(names)})
    }
    for name in names:
        if name in found:
            continue
        if name != DEFAULT:
            raise SecurityGroupNotFound(name, project)
        key = GroupKey(project, namespace, DEFAULT)
        found[name] = write(conn, key, default_spec(namespace), None, moment)
    return list(dict.fromkeys(found[name] for name in names))


def write(
    conn: sa.Connection,
    key: GroupKey,
    spec: SecurityGroupSpec,
    source: Source | None,
    moment: datetime,
) -> str:
    """Make row and rules say what `spec` says; the group's id.

    An older version of the resource than the one taken in changes nothing: the mirror and a gateway may come
    in either order.

    The id of a row that is there stays, unless the resource says another one itself (`spec.id`) or is another
    resource of the same name: that is a new group, and no port is in it.
    """
    row = conn.execute(sa.select(security_groups).where(_at(key)).with_for_update()).one_or_none()
    uid, generation = source or (None, None)
    if row is not None and uid is not None and _is_newer(row, uid, generation):
        return str(row.id)
    replaced = row is not None and uid is not None and row.resource_uid not in (None, uid)
    replaced = replaced and key.name != DEFAULT
    group_id = spec.id or (row.id if row is not None and not replaced else uid or str(uuid.uuid4()))
    values = {
        "id": group_id,
        "project": key.project,
        "display_name": spec.display_name or key.name,
        "spec": spec.to_api(),
    }
    if uid is not None:
        values |= {"resource_uid": uid, "resource_generation": generation}
    if row is None:
        times = {"created_at": moment, "updated_at": moment, "revision": 1}
        conn.execute(sa.insert(security_groups), {**values, **times, **key._asdict()})
    elif any(row._mapping[column] != value for column, value in values.items()):
        if row.id != group_id:
            _drop_links(conn, row.id)
        changes = {**values, "updated_at": moment, "revision": row.revision + 1}
        conn.execute(sa.update(security_groups).where(security_groups.c.id == row.id).values(changes))
    _write_rules(conn, key, group_id, spec, moment)
    return str(group_id)


def _is_newer(row: Any, uid: str, generation: int | None) -> bool:
    """Whether the row was written from a newer version of that same resource."""
    same = generation is not None and row.resource_uid == uid
    return same and (row.resource_generation or 0) > (generation or 0)


def _write_rules(
    conn: sa.Connection, key: GroupKey, group_id: str, spec: SecurityGroupSpec, moment: datetime
) -> None:
    wanted = {rule_id(group_id, rule): rule for rule in spec.rules}
    there = set(conn.scalars(_RULES_OF, {"group": group_id}))
    gone, new = there - wanted.keys(), [item for item in wanted if item not in there]
    if gone:
        conn.execute(sa.delete(security_group_rules).where(security_group_rules.c.id.in_(gone)))
    if not new:
        return
    remote = {wanted[item].remote_group for item in new} - {None}
    ids = {key.name: group_id}
    if remote - {key.name}:
        parameters = {"in_namespace": key.namespace, "names": [item for item in remote if item]}
        ids |= {row.name: row.id for row in conn.execute(_BY_NAMES, parameters)}
    for missing in sorted(item for item in remote if item and item not in ids):
        raise SecurityGroupNotFound(missing, key.project)
    conn.execute(
        sa.insert(security_group_rules),
        [_rule_row(item, group_id, wanted[item], ids, moment) for item in new],
    )


def _rule_row(
    key: str, group_id: str, rule: SecurityGroupRule, ids: Mapping[str, str], moment: datetime
) -> Json:
    return {
        "id": key,
        "group_id": group_id,
        "direction": rule.direction.value,
        "ethertype": rule.ether_type.value,
        "protocol": rule.protocol,
        "port_min": rule.port_min,
        "port_max": rule.port_max,
        "remote_prefix": rule.remote_prefix,
        "remote_group_id": ids[rule.remote_group] if rule.remote_group else None,
        "description": rule.description,
        "created_at": moment,
    }


def _drop_links(conn: sa.Connection, group_id: str) -> None:
    conn.execute(sa.delete(port_security_groups).where(port_security_groups.c.group_id == group_id))
    conn.execute(sa.delete(security_group_rules).where(security_group_rules.c.group_id == group_id))


# --- mirroring -------------------------------------------------------------------------------------------


async def upsert(db: Database, key: GroupKey, spec: SecurityGroupSpec, source: Source | None) -> str:
    """Take the group in; its id. `source`: None while the resource has not been made.

    Raises SecurityGroupNotFound when a rule names a group that is not there (yet).
    """
    return await db.run(lambda conn: write(conn, key, spec, source, now()))


async def remove(db: Database, namespace: str, name: str) -> None:
    """Let go of it: no port is in it any more, and rules of others that name it are gone."""

    def transaction(conn: sa.Connection) -> None:
        where = _at(GroupKey("", namespace, name))
        group_id = conn.scalar(sa.select(security_groups.c.id).where(where))
        if group_id is None:
            return
        _drop_links(conn, group_id)
        rules = security_group_rules.c
        conn.execute(sa.delete(security_group_rules).where(rules.remote_group_id == group_id))
        conn.execute(sa.delete(security_groups).where(security_groups.c.id == group_id))

    await db.run(transaction)


async def refuse_use(db: Database, group_id: str) -> None:
    """Raises SecurityGroupInUse when a port is in the group. Rules that name it do not keep it (Neutron)."""

    def query(conn: sa.Connection) -> bool:
        links = port_security_groups.c
        used = sa.select(links.port_id).where(links.group_id == group_id).limit(1)
        return conn.execute(used).first() is not None

    if await db.read(query):
        raise SecurityGroupInUse(group_id)


# --- reading ---------------------------------------------------------------------------------------------


async def get(db: Database, group_id: str) -> GroupRecord | None:
    """The group of that id."""
    found = await find(db, security_groups.c.id == group_id)
    return found[0] if found else None


async def at(db: Database, namespace: str, name: str) -> GroupRecord | None:
    """The group whose resource has that name."""
    found = await find(db, _at(GroupKey("", namespace, name)))
    return found[0] if found else None


async def find(db: Database, *conditions: sa.ColumnElement[bool]) -> list[GroupRecord]:
    """The groups that meet the conditions on `tables.security_groups`, in the order of their ids."""
    statement = sa.select(security_groups).where(*conditions).order_by(security_groups.c.id)
    return await db.read(lambda conn: [_group(row) for row in conn.execute(statement)])


async def list_rules(db: Database, *conditions: sa.ColumnElement[bool]) -> list[RuleRecord]:
    """The rules that meet the conditions on `tables.security_group_rules` or their groups, oldest first."""
    rules = security_group_rules
    statement = (
        sa.select(rules, security_groups.c.project)
        .join_from(rules, security_groups, security_groups.c.id == rules.c.group_id)
        .where(*conditions)
        .order_by(rules.c.created_at, rules.c.id)
    )
    return await db.read(lambda conn: [RuleRecord(**row._mapping) for row in conn.execute(statement)])


async def resolve(db: Database, project: str, namespace: str, wanted: Iterable[str]) -> list[GroupRecord]:
    """The project's groups of these API names or ids, in their order; `default` is made where it is missing.

    Raises SecurityGroupNotFound, and AmbiguousName for a name that several have.
    """
    words = list(dict.fromkeys(wanted))
    await ensure_default(db, project, namespace)
    named = await find(
        db,
        security_groups.c.project == project,
        sa.or_(security_groups.c.id.in_(words), security_groups.c.display_name.in_(words)),
    )
    chosen = []
    for word in words:
        matches = [item for item in named if item.id == word] or [
            item for item in named if item.display_name == word
        ]
        if not matches:
            raise SecurityGroupNotFound(word, project)
        if len(matches) > 1:
            raise AmbiguousName(word)
        chosen.append(matches[0])
    return chosen


class AmbiguousName(LookupError):
    """Several groups of the project have the name (Nova: 409 NoUniqueMatch)."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Multiple security groups found matching '{name}'. Use an ID to be more specific.")


async def ensure_default(db: Database, project: str, namespace: str) -> tuple[GroupRecord, bool]:
    """The project's group `default`, and whether its resource has still to be made."""

    async def look() -> list[GroupRecord]:
        return await find(db, security_groups.c.namespace == namespace, security_groups.c.name == DEFAULT)

    found = await look()
    if not found:
        await db.run(lambda conn: ids_of(conn, project, namespace, [DEFAULT], now()))
        found = await look()
    return found[0], found[0].resource_uid is None


def _at(key: GroupKey) -> sa.ColumnElement[bool]:
    return sa.and_(security_groups.c.namespace == key.namespace, security_groups.c.name == key.name)


def _group(row: Any) -> GroupRecord:
    values = {name: value for name, value in row._mapping.items() if name != "resource_generation"}
    return GroupRecord(**(values | {"spec": SecurityGroupSpec.model_validate(values["spec"])}))
