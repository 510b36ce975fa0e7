"""`PATCH /v2/images/{image_id}`: Glance's two kinds of JSON patch, checked and applied."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cairn_database.images.records import ImageRecord, ImageStatus
from cairn_gateway.http.faults import BadRequest, Conflict, Forbidden, UnsupportedMediaType
from cairn_gateway.image import fields

V20 = "application/openstack-images-v2.0-json-patch"
"""`{"replace": "/name", "value": …}`."""
V21 = "application/openstack-images-v2.1-json-patch"
"""`{"op": "replace", "path": "/name", "value": …}`."""
OPERATIONS = ("add", "remove", "replace")
MOST_CHANGES = 512


@dataclass(frozen=True)
class Change:
    """One operation on one field."""

    operation: str
    name: str
    value: Any = None
    old_style: bool = False
    """Of V20, where adding what is there is refused."""


def parse(content_type: str, body: Any) -> list[Change]:
    """The changes. Raises UnsupportedMediaType, BadRequest, Forbidden."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    if kind not in (V20, V21):
        raise UnsupportedMediaType(
            f"Image PATCH expects Content-Type one of: {V20}, {V21}",
            headers={"Accept-Patch": f"{V20}, {V21}"},
        )
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    if len(body) > MOST_CHANGES:
        raise BadRequest(f"There are more than {MOST_CHANGES} operations.")
    return [_change(item, kind == V20) for item in body]


def _change(item: Any, old_style: bool) -> Change:
    if not isinstance(item, dict):
        raise BadRequest("Operations must be JSON objects.")
    operation, pointer = _old(item) if old_style else _new(item)
    name = _name(pointer)
    if operation != "remove" and "value" not in item:
        raise BadRequest(f'Operation "{operation}" requires a member named "value".')
    if name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    fields.check_settable(name)
    value = item.get("value")
    if operation != "remove":
        check: Callable[[str, Any], Any] = fields.FIELDS.get(name, fields.check_property)
        value = check(name, value)
    return Change(operation, name, value, old_style)


def _new(item: dict[str, Any]) -> tuple[str, Any]:
    if item.get("op") not in OPERATIONS:
        raise BadRequest(
            f"Invalid operation: `{item.get('op')}`. It must be one of these: {', '.join(OPERATIONS)}."
        )
    if "path" not in item:
        raise BadRequest("Unable to find 'path' in JSON Schema change")
    return item["op"], item["path"]


def _old(item: dict[str, Any]) -> tuple[str, Any]:
    named = [operation for operation in OPERATIONS if operation in item]
    if len(named) != 1:
        raise BadRequest(
            'Operation objects must contain exactly one member named "add", "remove", or "replace".'
        )
    return named[0], item[named[0]]


def _name(pointer: Any) -> str:
    """The field that a JSON pointer (RFC 6901) names; images have no deeper ones."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{pointer}` does not start with "/".')
    if re.search("~(?![01])", pointer):
        raise BadRequest(f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    parts = pointer[1:].split("/")
    if len(parts) != 1 or not parts[0].strip():
        raise BadRequest(f"Invalid JSON pointer for this resource: '{pointer}'")
    return parts[0].replace("~1", "/").replace("~0", "~").strip()


def apply(record: ImageRecord, changes: list[Change]) -> ImageRecord:
    """What `record` is afterwards. Raises Conflict, Forbidden, BodyTooLarge."""
    properties = dict(record.properties)
    values: dict[str, Any] = {}
    for change in changes:
        known = change.name in fields.FIELDS
        if known:
            if change.operation == "remove":
                raise Forbidden(f"Property {change.name} may not be removed.")
            if change.operation == "add" and change.old_style:
                raise Conflict(f"Property {change.name} already present.")
            values[fields.record_field(change.name)] = change.value
        else:
            _apply_to(properties, change)
    if record.status is not ImageStatus.QUEUED:
        _check_formats(record, values)
    fields.check_count(properties)
    return replace(record, **values, properties=properties)


def _check_formats(record: ImageRecord, values: dict[str, Any]) -> None:
    for name in ("disk_format", "container_format"):
        if name in values and values[name] != getattr(record, name):
            raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")


def _apply_to(properties: dict[str, str], change: Change) -> None:
    there = change.name in properties
    if change.operation == "remove":
        if not there:
            raise Conflict(f"Property {change.name} does not exist.")
        del properties[change.name]
        return
    if change.operation == "replace" and not there:
        raise Conflict(f"Property {change.name} does not exist.")
    if change.operation == "add" and there and change.old_style:
        raise Conflict(f"Property {change.name} already present.")
    properties[change.name] = change.value
