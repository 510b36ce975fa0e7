"""Lists: Neutron's filters, fields, sorting and pages, over what has been read and may be seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest

View = dict[str, Any]
MOST_ON_A_PAGE = 5000
RESERVED = frozenset(("fields", "limit", "marker", "sort_key", "sort_dir", "page_reverse"))
UNFILTERED = "None"
"""Clients write it for a filter that they leave out."""


def filters(call: Call) -> dict[str, list[str]]:
    """The query's filters: values by field, any of which will do."""
    found: dict[str, list[str]] = {}
    for name, value in call.query():
        if name in RESERVED or value == UNFILTERED:
            continue
        found.setdefault("project_id" if name == "tenant_id" else name, []).append(value)
    return found


def the(chosen: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The one value that a field is filtered by; None without, or with several."""
    values = chosen.get(name, ())
    return values[0] if len(values) == 1 else None


def matches(view: View, chosen: Mapping[str, Sequence[str]]) -> bool:
    """Whether it meets every filter. Fields that it does not have filter nothing, as in Neutron."""
    return all(name not in view or _meets(view[name], values) for name, values in chosen.items())


def _meets(value: Any, wanted: Sequence[str]) -> bool:
    if isinstance(value, bool):
        return any((word.lower() in ("true", "1", "yes", "on")) is value for word in wanted)
    if isinstance(value, list):
        return any(_in_list(value, word) for word in wanted)
    return ("" if value is None else str(value)) in wanted


def _in_list(items: list[Any], word: str) -> bool:
    """`fixed_ips=ip_address=10.0.0.3`, or a plain word of a plain list."""
    key, equals, text = word.partition("=")
    if not equals:
        return word in items
    if key.endswith("_substr"):
        return any(text in str(item.get(key.removesuffix("_substr"), "")) for item in items)
    return any(isinstance(item, dict) and str(item.get(key)) == text for item in items)


def only_fields(call: Call, view: View) -> View:
    """The fields that were asked for; all without."""
    names = [value for name, value in call.query() if name == "fields" and value]
    return {name: view[name] for name in names if name in view} if names else view


def page(call: Call, collection: str, views: Iterable[View], chosen: Mapping[str, Sequence[str]]) -> Answer:
    """The answer to a list: `{collection: […], collection_links: […]}`. Raises BadRequest."""
    query = dict(call.query())
    kept = [view for view in views if matches(view, chosen)]
    _sort(call, kept)
    limit = _limit(query.get("limit"))
    backwards = query.get("page_reverse", "").lower() in ("true", "1")
    start, stop = _window(kept, query.get("marker") or None, limit, backwards=backwards)
    shown = kept[start:stop]
    key = collection.replace("-", "_")
    body: View = {key: [only_fields(call, view) for view in shown]}
    links = []
    if stop < len(kept) and shown:
        links.append(_link(call, "next", shown[-1]["id"], backwards=False))
    if start > 0 and shown and "limit" in query:
        links.append(_link(call, "previous", shown[0]["id"], backwards=True))
    if links:
        body[f"{key}_links"] = links
    return Answer(body)


def _limit(value: str | None) -> int:
    if value is None:
        return MOST_ON_A_PAGE
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise BadRequest(f"Bad limit '{value}': it is 0 or a positive integer.")
    return min(int(value) or MOST_ON_A_PAGE, MOST_ON_A_PAGE)


def _window(views: list[View], marker: str | None, limit: int, *, backwards: bool) -> tuple[int, int]:
    at = None
    if marker is not None:
        at = next((index for index, view in enumerate(views) if view["id"] == marker), None)
        if at is None:
            raise BadRequest(f"Invalid input for operation: marker {marker} could not be found.")
    if backwards:
        stop = len(views) if at is None else at
        return max(stop - limit, 0), stop
    start = 0 if at is None else at + 1
    return start, min(start + limit, len(views))


def _sort(call: Call, views: list[View]) -> None:
    keys = [value for name, value in call.query() if name == "sort_key"]
    directions = [value for name, value in call.query() if name == "sort_dir"]
    directions += ["asc"] * (len(keys) - len(directions))
    for key, direction in reversed(list(zip(keys, directions, strict=False))):
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction '{direction}': it is asc or desc.")
        if views and key not in views[0]:
            raise BadRequest(f"Invalid input for operation: '{key}' is not a field to sort by.")
        views.sort(key=lambda view: str(view[key]), reverse=direction == "desc")


def _link(call: Call, rel: str, marker: str, *, backwards: bool) -> dict[str, str]:
    fields = [(name, value) for name, value in call.query() if name not in ("marker", "page_reverse")]
    fields += [("marker", marker)] + ([("page_reverse", "True")] if backwards else [])
    return {"rel": rel, "href": f"{call.base_url}{call.path}?{urlencode(fields)}"}
