"""The body of `POST /v2/images`."""

from __future__ import annotations

import uuid
from typing import Any

from cairn_database.images.changing import NewImage
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.image import fields


def new_image(body: Any, project_id: str | None) -> NewImage:
    """What the caller of `project_id` asks for. Raises BadRequest, Forbidden, BodyTooLarge."""
    if not isinstance(body, dict):
        raise BadRequest("Expected a JSON object that describes the image.")
    image_id = _image_id(body.get("id"))
    values: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        if name == "id":
            continue
        fields.check_settable(name)
        if name in fields.FIELDS:
            values[fields.record_field(name)] = fields.FIELDS[name](name, value)
        else:
            properties[name] = fields.check_property(name, value)
    fields.check_count(properties)
    owner = values.pop("owner", None) or project_id
    return NewImage(id=image_id, owner_id=owner, properties=properties, **values)


def _image_id(value: Any) -> str:
    if value is None:
        return str(uuid.uuid4())
    if not isinstance(value, str) or not fields.IMAGE_ID.fullmatch(value):
        raise BadRequest("Provided object does not match schema 'image': the id is no UUID.")
    return value.lower()
