"""What the handlers of the Image API begin with."""

from __future__ import annotations

from cairn_database.images.records import ImageRecord
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import Forbidden, NotFound
from cairn_gateway.image.builtin import BuiltinImages


def store(call: Call) -> BuiltinImages:
    """The built-in store. Raises NotFound where images are in an external Glance."""
    images = call.services.images
    if not isinstance(images, BuiltinImages):
        raise NotFound("Images are in the Glance that the catalog names, not here.")
    return images


async def load(call: Call) -> ImageRecord:
    """The image of the path, which the caller may see. Raises NotFound."""
    images = store(call)
    record = await images.load(call, call.params["image_id"])
    try:
        call.enforce(images.target(call, record), "get_image")
    except Forbidden as error:
        raise NotFound(f"Failed to find image {record.id}") from error
    return record
