"""`/v2/images/{image_id}/tags/{tag}`."""

from __future__ import annotations

from dataclasses import replace

from cairn_database.images.records import ImageRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BodyTooLarge, NotFound
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.image.fields import MOST_TAGS, tag_of
from cairn_gateway.image.serving import load, store


async def add(call: Call) -> Answer:
    """Tag an image; once is enough."""
    record = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    tag = tag_of(call.params["tag"])

    def decide(now: ImageRecord) -> ImageRecord:
        tags = sorted({*now.tags, tag})
        if len(tags) > MOST_TAGS:
            raise BodyTooLarge(f"The limit has been exceeded on the number of image tags: {MOST_TAGS}.")
        return replace(now, tags=tags)

    await images.change(record, decide)
    return Answer()


async def remove(call: Call) -> Answer:
    """Take a tag off an image."""
    record = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    tag = call.params["tag"]
    if tag not in record.tags:
        raise NotFound(f"Image {record.id} has no tag '{tag}'.")
    await images.change(record, lambda now: replace(now, tags=[known for known in now.tags if known != tag]))
    return Answer()


_TAG = "/v2/images/{image_id}/tags/{tag}"
ROUTES = (
    Route("PUT", _TAG, add, "modify_image", status=204, enforce=Enforce.HANDLER),
    Route("DELETE", _TAG, remove, "modify_image", status=204, enforce=Enforce.HANDLER),
)
