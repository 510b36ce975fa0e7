"""`/image/internal/blobs/{image_id}`: where compute hosts fetch images. The signature is the right to."""

from __future__ import annotations

import structlog

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Route
from cairn_gateway.image.backend import ServesBlobs

log = structlog.get_logger()


async def blob(call: Call) -> Answer:
    """An image's data, for a compute host."""
    images = call.services.images
    image_id = call.params["image_id"]
    signature = call.query_dict().get("signature", "")
    if not isinstance(images, ServesBlobs) or not (await images.keys()).valid(image_id, signature):
        log.warning("image.signature_refused", image=image_id[:64], remote=call.remote)
        raise NotFound("There is no such image, or the address has not been signed for it.")
    return await images.blob(image_id, call.headers.get("range"))


ROUTES = (Route("GET", "/internal/blobs/{image_id}", blob, rule=None),)
