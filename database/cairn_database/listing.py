"""Lists of instances, as the Compute API's users ask for them: filtered, sorted, a page at a time.

A list says of each instance what lists are about and which state of it that is (`ListedInstance`), from
columns alone: 1 µs an instance, where a whole record, with six JSON documents to be parsed, takes 25. Whoever
shows more, and has not shown that very state before, reads the records (`instances.get_many`).

Statements are made once per shape of question (which filters, which order) and kept; the values are bound.
Source of the filters and their meaning: Nova API, GET /servers (`nova/compute/api.py` get_all).
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_database.engine import Database
from cairn_database.errors import DatabaseError
from cairn_database.networking.interfaces import Interface, read_interfaces
from cairn_database.networking.tables import ports
from cairn_database.tables import LIVE, addresses, instance_metadata, instance_tags, instances

LONGEST_PATTERN = 255
MOST_QUANTIFIERS = 4
_QUANTIFIED_GROUP = re.compile(r"\)[*+?{]")
_QUANTIFIER = re.compile(r"(?<!\\)[*+{]")


class Operator(enum.Enum):
    """How a filter compares."""

    EQUAL = "equal"
    NOT_EQUAL = "not equal"
    IN = "one of"
    NULL = "nothing there"
    MATCHES = "matches a regular expression"
    FROM = "at or after"
    TO = "at or before"
    ADDRESS_MATCHES = "an address of it matches a regular expression"
    ALL_TAGS = "has all the tags"
    ANY_TAG = "has one of the tags"
    NOT_ALL_TAGS = "lacks one of the tags"
    NOT_ANY_TAG = "has none of the tags"
    METADATA = "has these pairs of metadata"


@dataclass(frozen=True)
class Filter:
    """One condition. `column`: of the table `instances`, where the operator needs one."""

    operator: Operator
    column: str
    value: Any


class Deleted(enum.Enum):
    """Which of the deleted ones a list has."""

    NO = "the living"
    ONLY = "the deleted"
    TOO = "both"


@dataclass(frozen=True)
class InstanceQuery:
    """What is asked for."""

    project: str | None = None
    """The project's name; None: all."""
    deleted: Deleted = Deleted.NO
    filters: tuple[Filter, ...] = ()
    sort: tuple[tuple[str, bool], ...] = (("created_at", False), ("id", False))
    """(column, ascending). `id` is added, so that pages never overlap."""
    marker: str | None = None
    """The id of the last instance of the page before."""
    limit: int = 1000


class MarkerNotFound(DatabaseError):
    """The instance that a page should begin after does not exist."""

    def __init__(self, marker: str) -> None:
        super().__init__(f"marker [{marker}] not found")


class PatternRefused(DatabaseError):
    """A regular expression that is broken, or so large that matching it could take for ever."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(f"Invalid filter value {pattern[:50]!r}: {reason}")


def check_pattern(pattern: str) -> str:
    """`pattern`, when it can be matched in good time. Raises PatternRefused."""
    if len(pattern) > LONGEST_PATTERN:
        raise PatternRefused(pattern, f"a regular expression may have {LONGEST_PATTERN} characters.")
    if _QUANTIFIED_GROUP.search(pattern) or len(_QUANTIFIER.findall(pattern)) > MOST_QUANTIFIERS:
        raise PatternRefused(pattern, "the regular expression is too complex.")
    try:
        re.compile(pattern)
    except re.error as error:
        raise PatternRefused(pattern, f"it is no regular expression: {error}.") from error
    return pattern


class ListedInstance(NamedTuple):
    """One instance of a list."""

    id: str
    display_name: str
    """The server's name in the Compute API."""
    project: str
    user_id: str | None
    host: str | None
    version: int
    """Raised by every change."""
    updated_at: Any
    """The moment of the last change in the database's own form, to be compared only. It tells states apart
    that have the same version: a database may have been restored from a copy."""
    is_deleted: bool
    plugged: bool
    """Whether it has interfaces."""


@dataclass(frozen=True)
class Page:
    """Instances in order, and what they are plugged into at that moment."""

    instances: list[ListedInstance]
    interfaces: dict[str, list[Interface]] = field(default_factory=dict)
    """By instance id; those without any are left out, and so are all where they were not asked for."""


_LISTED = (
    instances.c.id,
    instances.c.display_name,
    instances.c.project,
    instances.c.user_id,
    instances.c.host,
    instances.c.version,
    sa.type_coerce(instances.c.updated_at, sa.types.NullType()),
    instances.c.deleted != LIVE,
    sa.type_coerce(instances.c.interfaces, sa.Text()) != "[]",
)
_BY_ID = sa.select(*_LISTED).where(instances.c.id == bindparam("instance"))
_MARKER = sa.select(instances).where(instances.c.id == bindparam("instance"))


async def list_instances(db: Database, query: InstanceQuery, *, interfaces: bool = False) -> Page:
    """A page, with the instances' interfaces or without. Raises MarkerNotFound."""

    def read(conn: sa.Connection) -> Page:
        parameters: dict[str, Any] = {"maximum": query.limit, "project": query.project}
        for number, item in enumerate(query.filters):
            parameters |= _values(number, item)
        order = _order(query.sort)
        if query.marker is not None:
            row = conn.execute(_MARKER, {"instance": query.marker}).one_or_none()
            if row is None:
                raise MarkerNotFound(query.marker)
            parameters |= {f"after_{name}": _comparable(name, row._mapping[name]) for name, _up in order}
        statement = _statement(
            query.project is not None,
            query.deleted,
            tuple((item.operator, item.column, _size(item)) for item in query.filters),
            order,
            query.marker is not None,
        )
        return _page(conn, statement, parameters, interfaces=interfaces)

    return await db.read(read)


async def look_up(db: Database, instance_id: str) -> Page:
    """The instance with its interfaces, deleted or not; an empty page when there is none."""
    return await db.read(lambda conn: _page(conn, _BY_ID, {"instance": instance_id}, interfaces=True))


def _page(
    conn: sa.Connection, statement: sa.Select[Any], parameters: dict[str, Any], *, interfaces: bool
) -> Page:
    listed = [ListedInstance(*row) for row in conn.execute(statement, parameters)]
    plugged = [one.id for one in listed if one.plugged] if interfaces else []
    return Page(listed, read_interfaces(conn, plugged))


_Shape = tuple[Operator, str, int]


def _order(sort: Sequence[tuple[str, bool]]) -> tuple[tuple[str, bool], ...]:
    """Without repeats, and with the id last, in the direction of the first."""
    seen: dict[str, bool] = {}
    for name, ascending in sort:
        seen.setdefault(name, ascending)
    if "id" not in seen:
        seen["id"] = next(iter(seen.values()), False)
    return tuple(seen.items())


def _size(item: Filter) -> int:
    """How many parameters the filter has, where that shapes the statement."""
    sized = (Operator.ALL_TAGS, Operator.NOT_ALL_TAGS, Operator.METADATA)
    return len(item.value) if item.operator in sized else 0


def _values(number: int, item: Filter) -> dict[str, Any]:
    key = f"value_{number}"
    if item.operator is Operator.NULL:
        return {}
    if item.operator in (Operator.ALL_TAGS, Operator.NOT_ALL_TAGS):
        return {f"{key}_{index}": tag for index, tag in enumerate(item.value)}
    if item.operator is Operator.METADATA:
        pairs = sorted(item.value.items())
        names = {f"{key}_name_{index}": pair[0] for index, pair in enumerate(pairs)}
        return names | {f"{key}_{index}": pair[1] for index, pair in enumerate(pairs)}
    return {key: item.value}


@lru_cache(maxsize=256)
def _statement(
    of_project: bool,
    deleted: Deleted,
    filters: tuple[_Shape, ...],
    order: tuple[tuple[str, bool], ...],
    after_marker: bool,
) -> sa.Select[Any]:
    conditions: list[sa.ColumnElement[bool]] = []
    if of_project:
        conditions.append(instances.c.project == bindparam("project"))
    if deleted is Deleted.NO:
        conditions.append(instances.c.deleted == LIVE)
    elif deleted is Deleted.ONLY:
        conditions.append(instances.c.deleted != LIVE)
    conditions += [_condition(number, shape, of_project=of_project) for number, shape in enumerate(filters)]
    if after_marker:
        conditions += [_not_before(order[0]), _after(order)]
    columns = [(_sortable(name).asc() if ascending else _sortable(name).desc()) for name, ascending in order]
    return sa.select(*_LISTED).where(*conditions).order_by(*columns).limit(bindparam("maximum"))


NULLS_FIRST = {
    "host", "task_state", "key_name", "description", "image_id", "flavor_id", "availability_zone", "user_id",
    "reservation_id", "access_ip_v4", "access_ip_v6", "fault_message",
}  # fmt: skip
"""Columns of text that can be empty; they sort as if they held no characters."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = {"launched_at", "terminated_at", "deleted_at"}


def _sortable(name: str) -> sa.ColumnElement[Any]:
    column = instances.c[name]
    if name in NULLS_FIRST:
        return sa.func.coalesce(column, "")
    if name in MOMENTS:
        return sa.func.coalesce(column, sa.literal(_EPOCH, type_=column.type))
    if name in ("launch_index", "config_drive"):
        return sa.func.coalesce(sa.cast(column, sa.Integer), -1)
    return column


def _comparable(name: str, value: Any) -> Any:
    if value is None:
        return _EPOCH if name in MOMENTS else (-1 if name in ("launch_index", "config_drive") else "")
    return int(value) if name == "config_drive" else value


def _after(order: Sequence[tuple[str, bool]]) -> sa.ColumnElement[bool]:
    """(a, b, id) comes after the marker's: a > :a OR (a = :a AND (b > :b OR …))."""
    found: sa.ColumnElement[bool] = sa.false()
    for name, ascending in reversed(order):
        column = _sortable(name)
        value = bindparam(f"after_{name}", type_=instances.c[name].type if name in MOMENTS else None)
        beyond = column > value if ascending else column < value
        found = sa.or_(beyond, sa.and_(column == value, found))
    return found


def _not_before(first: tuple[str, bool]) -> sa.ColumnElement[bool]:
    """a >= :a, which `_after` implies: an index can begin there, and read no page before this one."""
    name, ascending = first
    column = _sortable(name)
    value = bindparam(f"after_{name}", type_=instances.c[name].type if name in MOMENTS else None)
    return column >= value if ascending else column <= value


def _condition(number: int, shape: _Shape, *, of_project: bool) -> sa.ColumnElement[bool]:
    operator, name, size = shape
    key = f"value_{number}"
    if operator is Operator.ADDRESS_MATCHES:
        matching = (
            sa.select(ports.c.instance_id)
            .join(addresses, addresses.c.port_id == ports.c.id)
            .where(ports.c.instance_id.is_not(None), addresses.c.address.regexp_match(bindparam(key)))
        )
        if of_project:  # a look at each of its instances; else one at each address
            return matching.where(ports.c.instance_id == instances.c.id).correlate(instances).exists()
        return instances.c.id.in_(matching)
    if of_project and name == "vm_state":
        # Without statistics SQLite takes the index of states for as good as that of the project, and most
        # of a cloud is in the same state.
        return _compare(operator, sa.func.coalesce(instances.c.vm_state, ""), key)
    if operator is Operator.METADATA:
        pairs = instance_metadata.c
        return sa.and_(
            *(
                sa.exists().where(
                    pairs.instance_id == instances.c.id,
                    pairs.name == bindparam(f"{key}_name_{index}"),
                    pairs.value == bindparam(f"{key}_{index}"),
                )
                for index in range(size)
            )
        )
    if operator in (Operator.ALL_TAGS, Operator.NOT_ALL_TAGS):
        every = sa.and_(*(_has_tag(bindparam(f"{key}_{index}")) for index in range(size)))
        return sa.not_(every) if operator is Operator.NOT_ALL_TAGS else every
    if operator in (Operator.ANY_TAG, Operator.NOT_ANY_TAG):
        having = sa.select(instance_tags.c.instance_id).where(
            instance_tags.c.tag.in_(bindparam(key, expanding=True))
        )
        inside = instances.c.id.in_(having)
        return sa.not_(inside) if operator is Operator.NOT_ANY_TAG else inside
    return _compare(operator, instances.c[name], key)


def _has_tag(value: Any) -> sa.ColumnElement[bool]:
    return sa.exists().where(instance_tags.c.instance_id == instances.c.id, instance_tags.c.tag == value)


def _compare(operator: Operator, column: sa.ColumnElement[Any], key: str) -> sa.ColumnElement[bool]:
    if operator is Operator.NULL:
        return column.is_(None)
    if operator is Operator.IN:
        return column.in_(bindparam(key, expanding=True))
    if operator is Operator.MATCHES:
        return column.regexp_match(bindparam(key))
    value = bindparam(key, type_=column.type)
    if operator is Operator.NOT_EQUAL:
        return column != value
    if operator is Operator.FROM:
        return column >= value
    if operator is Operator.TO:
        return column <= value
    return column == value
