"""The query string of `GET /v2/images`: filters, sorting, pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from cairn_database.images.listing import Filter, ImageQuery, Viewer
from cairn_database.images.records import Visibility
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import _boolean as boolean

SORT_KEYS = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "id",
    "created_at",
    "updated_at",
)
LISTS = ("name", "id", "status", "container_format", "disk_format")
"""Columns that take `in:a,b`."""
EXACT = ("checksum", "os_hash_value")
MOMENTS = ("created_at", "updated_at")
RANGES = ("size", "min_disk", "min_ram", "virtual_size")
COMPARISONS = ("eq", "neq", "gt", "gte", "lt", "lte")
DEFAULT_LIMIT = 25
"""Glance's limit_param_default."""
MAX_LIMIT = 1000
"""Glance's api_limit_max."""
_QUOTED_OR_PLAIN = re.compile(r'"((?:[^"\\]|\\.)*)"(?:,|$)|([^",]*)(?:,|$)')


def parse(fields: Iterable[tuple[str, str]], viewer: Viewer) -> ImageQuery:
    """What is asked for. Raises BadRequest.

    A value of `None` is no filter: clients send it for options that nobody has set.
    """
    single: dict[str, str] = {}
    tags: list[str] = []
    sorting: list[tuple[str, str]] = []
    for name, value in fields:
        if "\0" in value or "\0" in name:
            raise BadRequest(f"The query parameter {name!r} has a null character.")
        if name == "tag":
            tags.append(value.strip())
        elif name in ("sort", "sort_key", "sort_dir"):
            sorting.append((name, value))
        elif value != "None":
            single[name] = value
    values: dict[str, Any] = {
        "limit": _limit(single.pop("limit", None)),
        "marker": single.pop("marker", None),
        "member_status": _word(
            "status", single.pop("member_status", "accepted"), ("pending", "accepted", "rejected", "all")
        ),
        "owner": single.pop("owner", None),
        "sort": _sort(sorting),
        "tags": tuple(tags),
    }
    visibility = single.pop("visibility", None)
    if visibility is not None:
        values["visibility"] = _word("visibility value", visibility, (*Visibility, "all"))
    if "changes-since" in single:
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    filters = [Filter("hidden", "eq", _boolean("os_hidden", single.pop("os_hidden", "false")))]
    if "protected" in single:
        filters.append(Filter("protected", "eq", _boolean("protected", single.pop("protected"))))
    filters += _filters(single)
    return ImageQuery(viewer=viewer, filters=tuple(filters), properties=single, **values)


def _filters(single: dict[str, str]) -> list[Filter]:
    """Takes the fields that are columns out of `single`; what is left are custom properties."""
    found = []
    for name in list(single):
        if name in LISTS:
            found.append(_list_filter(name, single.pop(name)))
        elif name in EXACT:
            found.append(Filter(name, "eq", single.pop(name)))
        elif name in MOMENTS:
            found.append(_moment_filter(name, single.pop(name)))
        elif name in RANGES:
            found.append(Filter(name, "eq", _integer(single.pop(name))))
        elif name.removesuffix("_min").removesuffix("_max") in RANGES:
            operator = "gte" if name.endswith("_min") else "lte"
            found.append(Filter(name[:-4], operator, _integer(single.pop(name))))
    return found


def _list_filter(name: str, expression: str) -> Filter:
    operator, colon, rest = expression.partition(":")
    if colon and operator == "in":
        return Filter(name, "in", split_list(rest))
    if colon and operator == "eq":
        return Filter(name, "eq", rest)
    if colon:
        raise BadRequest(f"Unable to filter by unknown operator '{operator}'.")
    return Filter(name, "eq", expression)


def split_list(text: str) -> list[str]:
    """`a,"b,c"` is two. Raises BadRequest for quotes that do not match."""
    found, position = [], 0
    while position < len(text):
        match = _QUOTED_OR_PLAIN.match(text, position)
        if match is None:
            raise BadRequest(f"Invalid filter value {text}. The quotes in it do not match.")
        quoted, plain = match.groups()
        found.append(re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
        position = match.end()
    return found


def _moment_filter(name: str, expression: str) -> Filter:
    value = _moment(expression)
    if value is not None:
        return Filter(name, "eq", value)
    operator, _, rest = expression.partition(":")
    value = _moment(rest)
    if value is None:
        raise BadRequest(f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.')
    if operator not in COMPARISONS:
        raise BadRequest(f"Unable to filter by unknown operator '{operator}'.")
    return Filter(name, operator, value)


def _moment(text: str) -> datetime | None:
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _sort(given: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """`sort=name:asc,size`, or the older `sort_key=name&sort_dir=asc`, each as often as wanted."""
    new = [value for name, value in given if name == "sort"]
    keys = [value.strip() for name, value in given if name == "sort_key"]
    directions = [value.strip() for name, value in given if name == "sort_dir"]
    if new and (keys or directions):
        raise BadRequest("Old and new sorting syntax cannot be combined")
    if new:
        pairs = [part.strip().partition(":") for part in new[-1].strip().split(",")]
        wanted = [(key.strip(), direction.strip() or "desc") for key, _, direction in pairs]
    else:
        keys = keys or ["created_at"]
        if len(directions) > 1 and len(directions) != len(keys):
            raise BadRequest("Number of sort dirs does not match the number of sort keys")
        directions = directions or ["desc"]
        wanted = list(zip(keys, directions * len(keys) if len(directions) == 1 else directions, strict=False))
    for key, direction in wanted:
        if key not in SORT_KEYS:
            raise BadRequest(
                f"Invalid sort key: {key}. It must be one of the following: {', '.join(SORT_KEYS)}."
            )
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction}")
    return tuple(dict(reversed(wanted)).items())[::-1]


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise BadRequest("limit param must be an integer")
    if int(text) < 0:
        raise BadRequest("limit param must be positive")
    return min(int(text), MAX_LIMIT)


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise BadRequest("Unable to filter on a range with a non-numeric value.")
    return int(text)


def _boolean(name: str, text: str) -> bool:
    try:
        return bool(boolean(text))
    except ValueError:
        raise BadRequest(f"Invalid value '{text}' for '{name}': it is true or false.") from None


def _word(what: str, value: str, allowed: Iterable[str]) -> str:
    if value not in allowed:
        raise BadRequest(f"Invalid {what}: {value}")
    return str(value)
