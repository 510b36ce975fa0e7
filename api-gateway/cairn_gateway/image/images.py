"""`/v2/images`: make, list, show, change, delete, deactivate."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson

from cairn_database.images.records import ImageRecord, ImageStatus, Visibility
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.image import patching, query
from cairn_gateway.image.creating import new_image
from cairn_gateway.image.serving import load, store
from cairn_gateway.image.view import image_view

VISIBILITY_RULES = {
    Visibility.PUBLIC: "publicize_image",
    Visibility.COMMUNITY: "communitize_image",
}


async def create(call: Call) -> Answer:
    """Make an image; its data is uploaded afterwards."""
    new = new_image(await call.json(), call.caller.project_id)
    target = {"project_id": new.owner_id, "owner": new.owner_id, "visibility": str(new.visibility)}
    call.enforce(target)
    if new.visibility in VISIBILITY_RULES:
        call.enforce(target, VISIBILITY_RULES[new.visibility])
    record = await store(call).create(new)
    headers = {"Location": f"{call.base_url}/image/v2/images/{record.id}"}
    return Answer(image_view(record), headers=headers)


async def list_images(call: Call) -> Answer:
    """The images that one may see, filtered, sorted, in pages."""
    images = store(call)
    fields = call.query()
    wanted = query.parse(fields, images.viewer(call))
    found = await images.page(wanted)
    without_marker = [(name, value) for name, value in fields if name != "marker"]
    body = {
        "images": [image_view(record) for record in found],
        "first": _href(without_marker),
        "schema": "/v2/schemas/images",
    }
    if found and len(found) == wanted.limit:
        body["next"] = _href([*without_marker, ("marker", found[-1].id)])
    return Answer(body)


def _href(fields: list[tuple[str, str]]) -> str:
    return "/v2/images" + (f"?{urlencode(fields)}" if fields else "")


async def show(call: Call) -> Answer:
    """One image."""
    return Answer(image_view(await load(call)))


async def update(call: Call) -> Answer:
    """Change an image by a JSON patch."""
    record = await load(call)
    raw = await call.read()
    kind = call.headers.get("content-type", "")
    changes = patching.parse(kind, _json(raw) if kind.startswith("application/openstack-images-v2") else None)
    images = store(call)
    target = images.target(call, record)
    call.enforce(target)
    for change in changes:
        rule = VISIBILITY_RULES.get(change.value) if change.name == "visibility" else None
        if rule is not None:
            call.enforce(target, rule)
    changed = await images.change(record, lambda now: patching.apply(now, changes))
    return Answer(image_view(changed))


def _json(raw: bytes) -> object:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"Malformed request body: it is not JSON ({error}).") from error


async def delete(call: Call) -> Answer:
    """Delete an image and its data."""
    record = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    await images.remove(record)
    return Answer()


async def deactivate(call: Call) -> Answer:
    """Take an image out of use: nobody boots it, only administrators download it."""
    return await _set_status(call, ImageStatus.DEACTIVATED)


async def reactivate(call: Call) -> Answer:
    """Take an image into use again."""
    return await _set_status(call, ImageStatus.ACTIVE)


async def _set_status(call: Call, status: ImageStatus) -> Answer:
    record: ImageRecord = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    await images.set_status(record, status)
    return Answer()


ROUTES = (
    Route("POST", "/v2/images", create, "add_image", status=201, enforce=Enforce.HANDLER),
    Route("GET", "/v2/images", list_images, "get_images"),
    Route("GET", "/v2/images/{image_id}", show, "get_image", enforce=Enforce.HANDLER),
    Route("PATCH", "/v2/images/{image_id}", update, "modify_image", enforce=Enforce.HANDLER, raw=True),
    Route("DELETE", "/v2/images/{image_id}", delete, "delete_image", status=204, enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2/images/{image_id}/actions/deactivate",
        deactivate,
        "deactivate",
        status=204,
        enforce=Enforce.HANDLER,
    ),
    Route(
        "POST",
        "/v2/images/{image_id}/actions/reactivate",
        reactivate,
        "reactivate",
        status=204,
        enforce=Enforce.HANDLER,
    ),
)
