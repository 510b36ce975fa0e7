"""Pages, their links, and the links of what is on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest

T = TypeVar("T")
PREFIX = "/compute/v2.1"
BOOKMARK = "/compute"
MAX_LIMIT = 1000
"""Nova's `max_limit`: more is never on a page."""


def page_limit(value: str | None) -> int:
    """How many things a page holds. Raises BadRequest for what is not a number from 0 on."""
    if value is None:
        return MAX_LIMIT
    if not value.isascii() or not value.isdigit():
        raise BadRequest(
            f"Invalid input for query parameters limit. Value: {value}. It must be 0 or a positive integer."
        )
    return min(int(value), MAX_LIMIT) if int(value) > 0 else MAX_LIMIT


def links(call: Call, collection: str, key: str) -> list[dict[str, str]]:
    """`self` and `bookmark` of one thing."""
    return [
        {"rel": "self", "href": f"{call.base_url}{PREFIX}/{collection}/{key}"},
        {"rel": "bookmark", "href": f"{call.base_url}{BOOKMARK}/{collection}/{key}"},
    ]


def bookmark(call: Call, collection: str, key: str) -> list[dict[str, str]]:
    """What a server says of its image and flavor."""
    return [{"rel": "bookmark", "href": f"{call.base_url}{BOOKMARK}/{collection}/{key}"}]


def next_link(call: Call, marker: str, drop: Iterable[str] = ()) -> list[dict[str, str]]:
    """The link to the page after the one that ends with `marker`."""
    dropped = {"marker", *drop}
    fields = [(name, value) for name, value in call.query() if name not in dropped]
    query = urlencode([*fields, ("marker", marker)])
    return [{"rel": "next", "href": f"{call.base_url}{call.path}?{query}"}]


def page_of(items: Sequence[T], *, marker: str | None, limit: int, key: Any) -> tuple[list[T], bool]:
    """The items after the one whose `key` is `marker`, at most `limit`, and whether more follow.

    For lists that are short enough to be read whole. Raises BadRequest for a marker that is not there.
    """
    start = 0
    if marker is not None:
        keys = [key(item) for item in items]
        if marker not in keys:
            raise BadRequest(f"marker [{marker}] not found")
        start = keys.index(marker) + 1
    return list(items[start : start + limit]), len(items) > start + limit
