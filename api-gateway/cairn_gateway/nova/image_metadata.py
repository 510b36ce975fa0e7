"""/images/{image_id}/metadata until 2.38: an image's custom properties. Source of behaviour: Nova API."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cairn_database import quota_limits
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.models import RequestModel
from cairn_gateway.http.routes import Route
from cairn_gateway.image.view import properties_of
from cairn_gateway.nova.images import image_of
from cairn_gateway.nova.microversions import IMAGE_METADATA_REMOVED, before
from cairn_gateway.nova.servers.create import check_metadata_count
from cairn_gateway.nova.servers.create_models import Metadata
from cairn_gateway.policy.base import AUTHENTICATED

LAST = before(IMAGE_METADATA_REMOVED)


class MetadataBody(RequestModel):
    """`{"metadata": {"key": "value"}}`."""

    metadata: Metadata


class MetadataItem(RequestModel):
    """`{"meta": {"key": "value"}}`."""

    meta: Annotated[Metadata, Field(min_length=1, max_length=1)]


async def _write(call: Call, before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Make the properties `after`. Raises NotFound, Forbidden."""
    limits = await quota_limits.project_limits(call.services.db, call.caller.project or "")
    check_metadata_count(len(after), limits["metadata_items"])
    changes: dict[str, str | None] = {name: None for name in before if name not in after}
    changes |= {name: value for name, value in after.items() if before.get(name) != value}
    image = await call.services.images.change_properties(call, call.params["image_id"], changes)
    if image is None:
        raise NotFound("Image not found.")
    return properties_of(image)


async def list_metadata(call: Call) -> Answer:
    """All of an image's metadata."""
    return Answer({"metadata": properties_of(await image_of(call))})


async def show(call: Call) -> Answer:
    """One item of it."""
    properties, key = properties_of(await image_of(call)), call.params["key"]
    if key not in properties:
        raise NotFound("The resource could not be found.")
    return Answer({"meta": {key: properties[key]}})


async def add(call: Call) -> Answer:
    """Set some items and leave the others."""
    properties = properties_of(await image_of(call))
    after = await _write(call, properties, {**properties, **call.checked.metadata})
    return Answer({"metadata": after})


async def replace_all(call: Call) -> Answer:
    """Set these items, and no others."""
    properties = properties_of(await image_of(call))
    return Answer({"metadata": await _write(call, properties, dict(call.checked.metadata))})


async def replace_one(call: Call) -> Answer:
    """Set one item."""
    item, key = call.checked.meta, call.params["key"]
    if key not in item:
        raise BadRequest("Request body and URI mismatch")
    properties = properties_of(await image_of(call))
    await _write(call, properties, {**properties, **item})
    return Answer({"meta": item})


async def remove(call: Call) -> Answer:
    """Remove one item."""
    properties, key = properties_of(await image_of(call)), call.params["key"]
    if key not in properties:
        raise NotFound("Invalid metadata key")
    await _write(call, properties, {name: value for name, value in properties.items() if name != key})
    return Answer()


_ALL = "/images/{image_id}/metadata"
_ONE = _ALL + "/{key}"
ROUTES = (
    Route("GET", _ALL, list_metadata, AUTHENTICATED, until=LAST),
    Route("POST", _ALL, add, AUTHENTICATED, until=LAST, body=MetadataBody),
    Route("PUT", _ALL, replace_all, AUTHENTICATED, until=LAST, body=MetadataBody),
    Route("GET", _ONE, show, AUTHENTICATED, until=LAST),
    Route("PUT", _ONE, replace_one, AUTHENTICATED, until=LAST, body=MetadataItem),
    Route("DELETE", _ONE, remove, AUTHENTICATED, status=204, until=LAST),
)
