"""/images until 2.35: the Image API once more, in the Compute API's words.

Source of behaviour: Nova API, /images. Nova has no policy of its own for it; the Image API's decides.
"""

from __future__ import annotations

from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Forbidden, NotFound
from cairn_gateway.http.routes import Route
from cairn_gateway.image.view import properties_of
from cairn_gateway.nova.microversions import PROXIES_REMOVED, before
from cairn_gateway.nova.paging import links, next_link, page_limit
from cairn_gateway.policy.base import AUTHENTICATED

LAST = before(PROXIES_REMOVED)
STATUSES = {
    "active": "ACTIVE",
    "queued": "SAVING",
    "saving": "SAVING",
    "deleted": "DELETED",
    "pending_delete": "DELETED",
    "killed": "ERROR",
}
PROGRESS = {"queued": 25, "saving": 50, "active": 100}
FILTERS = {
    "name": "name",
    "status": "status",
    "server": "instance_uuid",
    "type": "image_type",
    "minRam": "min_ram",
    "minDisk": "min_disk",
}
"""Nova's names of filters to Glance's."""
PROPERTY = "property-"
ImageView = dict[str, Any]


async def image_of(call: Call) -> ImageView:
    """The image of the path, as Glance shows it. Raises NotFound."""
    image = await call.services.images.show_legacy(call, call.params["image_id"])
    if image is None:
        raise NotFound("Image not found.")
    return image


def _links(call: Call, image_id: str) -> list[dict[str, str]]:
    alternate = {
        "rel": "alternate",
        "type": "application/vnd.openstack.image",
        "href": f"{call.base_url}/image/images/{image_id}",
    }
    return [*links(call, "images", image_id), alternate]


def _brief(call: Call, image: ImageView) -> ImageView:
    return {"id": image["id"], "name": image["name"], "links": _links(call, image["id"])}


def _full(call: Call, image: ImageView) -> ImageView:
    properties = properties_of(image)
    shown = {
        **_brief(call, image),
        "minRam": image["min_ram"] or 0,
        "minDisk": image["min_disk"] or 0,
        "metadata": properties,
        "created": image["created_at"],
        "updated": image["updated_at"],
        "status": STATUSES.get(image["status"], "UNKNOWN"),
        "progress": PROGRESS.get(image["status"], 0),
        "OS-EXT-IMG-SIZE:size": image["size"] or 0,
    }
    server = properties.get("instance_uuid")
    if server is not None:
        shown["server"] = {"id": server, "links": links(call, "servers", server)}
    automatic = properties.get("auto_disk_config")
    if automatic is not None:
        shown["OS-DCF:diskConfig"] = "AUTO" if automatic.lower() in ("true", "1", "yes") else "MANUAL"
    return shown


async def _page(call: Call) -> tuple[list[ImageView], list[dict[str, str]]]:
    """The images, and the link to the next ones."""
    fields = call.query_dict()
    limit = page_limit(fields.get("limit"))
    filters = {"limit": str(limit), **_filters(fields)}
    if "marker" in fields:
        filters["marker"] = fields["marker"]
    found = [image async for image in call.services.images.list_legacy(call, filters)]
    more = "limit" in fields and len(found) == limit > 0
    return found, next_link(call, found[-1]["id"]) if more else []


def _filters(fields: dict[str, str]) -> dict[str, str]:
    filters: dict[str, str] = {}
    for name, value in fields.items():
        if name in FILTERS:
            filters[FILTERS[name]] = value
        elif name.startswith(PROPERTY):
            filters[name.removeprefix(PROPERTY)] = value
        elif name == "changes-since":
            filters["updated_at"] = f"gte:{value}"
    if "status" in filters:
        filters["status"] = filters["status"].lower()
    if "instance_uuid" in filters:  # a server's address will do as well
        filters["instance_uuid"] = filters["instance_uuid"].rsplit("/", 1)[-1]
    for name in ("min_ram", "min_disk"):
        if name in filters and not filters[name].isdecimal():
            raise BadRequest(f"Invalid filter: {name} must be a number.")
    return filters


def _list_answer(images: list[ImageView], following: list[dict[str, str]]) -> Answer:
    body: dict[str, Any] = {"images": images}
    if following:
        body["images_links"] = following
    return Answer(body)


async def list_images(call: Call) -> Answer:
    """The images: ids and names."""
    found, following = await _page(call)
    return _list_answer([_brief(call, image) for image in found], following)


async def detail(call: Call) -> Answer:
    """The images, in full."""
    found, following = await _page(call)
    return _list_answer([_full(call, image) for image in found], following)


async def show(call: Call) -> Answer:
    """One image."""
    return Answer({"image": _full(call, await image_of(call))})


async def delete(call: Call) -> Answer:
    """Delete an image."""
    try:
        there = await call.services.images.delete(call, call.params["image_id"])
    except Forbidden as error:
        raise Forbidden("You are not allowed to delete the image.") from error
    if not there:
        raise NotFound("Image not found.")
    return Answer()


ROUTES = (
    Route("GET", "/images", list_images, AUTHENTICATED, until=LAST),
    Route("GET", "/images/detail", detail, AUTHENTICATED, until=LAST),
    Route("GET", "/images/{image_id}", show, AUTHENTICATED, until=LAST),
    Route("DELETE", "/images/{image_id}", delete, AUTHENTICATED, status=204, until=LAST),
)
