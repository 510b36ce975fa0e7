"""Which images somebody sees, filtered, sorted and in pages (Glance API: GET /v2/images)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.errors import DatabaseError
from cairn_database.images import rows
from cairn_database.images.records import ImageRecord, Visibility, record_of
from cairn_database.images.tables import image_members, images

BATCH = 200
"""Rows that are read at once where tags or properties decide, which SQL does not look into."""
LOWEST: Mapping[str, Any] = {"name": "", "container_format": "", "disk_format": "", "size": -1}
"""What stands for NULL where images are sorted, because databases differ on where it goes."""


class MarkerNotFound(DatabaseError):
    """The page is to begin after an image that is not there."""

    def __init__(self, marker: str) -> None:
        super().__init__(f"Image {marker}, the marker, could not be found. Begin again without a marker.")


@dataclass(frozen=True)
class Viewer:
    """Who is looking."""

    project: str | None
    """The Project's name."""
    everything: bool = False
    """An administrator, who sees every project's."""


@dataclass(frozen=True)
class Filter:
    """One condition on a column."""

    column: str
    operator: str
    """eq, neq, gt, gte, lt, lte or in."""
    value: Any


@dataclass(frozen=True)
class ImageQuery:
    """What is asked for."""

    viewer: Viewer
    visibility: str | None = None
    """One of Visibility, or `all`; None: all but what is only found by its id."""
    member_status: str = "accepted"
    """How the viewer's project has answered to shared ones; `all`: however."""
    filters: tuple[Filter, ...] = ()
    owner: str | None = None
    """The owner as the API names it."""
    tags: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"),)
    """Columns, each `asc` or `desc`; ties go by `created_at` and `id`."""
    marker: str | None = None
    """The id of the image before the page."""
    limit: int = 25


async def page(db: Database, query: ImageQuery) -> list[ImageRecord]:
    """The images, at most `limit`. Raises MarkerNotFound."""
    return await db.read(lambda conn: _page(conn, query))


async def visible(db: Database, image_id: str, viewer: Viewer) -> ImageRecord | None:
    """The image, if the viewer may know of it: knowing the id of a community image is enough, as is being
    a member of a shared one, whatever the answer was."""
    return await db.read(lambda conn: rows.find(conn, images.c.id == image_id, *_seen_by_id(viewer)))


def _page(conn: sa.Connection, query: ImageQuery) -> list[ImageRecord]:
    found: list[ImageRecord] = []
    if query.limit == 0:
        return found
    for record in _records(conn, query):
        if set(query.tags) <= set(record.tags) and query.properties.items() <= record.properties.items():
            found.append(record)
            if len(found) == query.limit:
                break
    return found


def _records(conn: sa.Connection, query: ImageQuery) -> Iterator[ImageRecord]:
    """All that SQL lets through, in order, a batch at a time."""
    sort = _sort(query.sort)
    conditions = [rows.LIVE, *_listed_for(query), *_conditions(query)]
    position = None if query.marker is None else _position(conn, query, sort)
    order = [_ordered(_expression(column), direction) for column, direction in sort]
    size = BATCH if query.tags or query.properties else query.limit
    while True:
        after = [] if position is None else [_after(sort, position)]
        statement = rows.SELECT.add_columns(
            *(_expression(column).label(f"sort_{number}") for number, (column, _) in enumerate(sort))
        )
        batch = conn.execute(statement.where(*conditions, *after).order_by(*order).limit(size)).all()
        for row in batch:
            yield record_of(row)
        if len(batch) < size:
            return
        position = tuple(getattr(batch[-1], f"sort_{number}") for number in range(len(sort)))


def _sort(wanted: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    direction = wanted[0][1] if wanted else "desc"
    named = [column for column, _ in wanted]
    ties = [(column, direction) for column in ("created_at", "id") if column not in named]
    return [*wanted, *ties]


def _expression(column: str) -> sa.ColumnElement[Any]:
    expression: sa.ColumnElement[Any] = images.c[column]
    return sa.func.coalesce(expression, LOWEST[column]) if column in LOWEST else expression


def _ordered(expression: sa.ColumnElement[Any], direction: str) -> sa.ColumnElement[Any]:
    return expression.asc() if direction == "asc" else expression.desc()


def _position(conn: sa.Connection, query: ImageQuery, sort: list[tuple[str, str]]) -> tuple[Any, ...]:
    marker = query.marker or ""
    row = conn.execute(
        sa.select(*(_expression(column) for column, _ in sort)).where(
            images.c.id == marker, rows.LIVE, *_seen_by_id(query.viewer)
        )
    ).first()
    if row is None:
        raise MarkerNotFound(marker)
    return tuple(row)


def _after(sort: list[tuple[str, str]], position: tuple[Any, ...]) -> sa.ColumnElement[bool]:
    """The rows after `position`: the first key is further, or is the same and the second is further …"""
    alternatives = []
    for number, (column, direction) in enumerate(sort):
        same = [_expression(name) == position[at] for at, (name, _) in enumerate(sort[:number])]
        expression = _expression(column)
        value = position[number]
        further = expression > value if direction == "asc" else expression < value
        alternatives.append(sa.and_(*same, further))
    return sa.or_(*alternatives)


# --- who sees what ---------------------------------------------------------------------------------------


def _membership(project: str, status: str = "all") -> sa.ColumnElement[bool]:
    conditions = [image_members.c.image_id == images.c.id, image_members.c.project == project]
    if status != "all":
        conditions.append(image_members.c.status == status)
    shared = images.c.visibility == Visibility.SHARED.value
    return sa.and_(shared, sa.exists().where(*conditions))


def _seen_by_id(viewer: Viewer) -> list[sa.ColumnElement[bool]]:
    if viewer.everything:
        return []
    seen: list[sa.ColumnElement[bool]] = [
        images.c.visibility.in_((Visibility.PUBLIC.value, Visibility.COMMUNITY.value)),
        images.c.owner.is_(None),
    ]
    if viewer.project is not None:
        seen += [images.c.owner == viewer.project, _membership(viewer.project)]
    return [sa.or_(*seen)]


def _listed_for(query: ImageQuery) -> list[sa.ColumnElement[bool]]:
    project = query.viewer.project
    conditions: list[sa.ColumnElement[bool]] = []
    if not query.viewer.everything:
        listed: list[sa.ColumnElement[bool]] = [
            images.c.visibility.in_((Visibility.PUBLIC.value, Visibility.COMMUNITY.value))
        ]
        if project is not None:
            listed += [images.c.owner == project, _membership(project, query.member_status)]
        conditions.append(sa.or_(*listed))
    if query.visibility is None:
        own = [] if project is None else [images.c.owner == project]
        conditions.append(sa.or_(images.c.visibility != Visibility.COMMUNITY.value, *own))
    elif query.visibility != "all":
        conditions.append(images.c.visibility == query.visibility)
    return conditions


def _conditions(query: ImageQuery) -> list[sa.ColumnElement[bool]]:
    conditions = [_condition(item) for item in query.filters]
    if query.owner is not None:
        conditions.append(rows.OWNER_ID.element == query.owner)
    return conditions


def _condition(item: Filter) -> sa.ColumnElement[bool]:
    column, value = images.c[item.column], item.value
    compare = {
        "eq": column.__eq__,
        "neq": column.__ne__,
        "gt": column.__gt__,
        "gte": column.__ge__,
        "lt": column.__lt__,
        "lte": column.__le__,
        "in": column.in_,
    }[item.operator]
    condition: sa.ColumnElement[bool] = compare(value)
    return condition
