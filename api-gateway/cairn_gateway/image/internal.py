"""`/image/internal/blobs/{image_id}`: where compute hosts fetch images, and put those that they have made of
servers. The signature is the right to either."""

from __future__ import annotations

import structlog

from cairn_crds.image import DiskFormat
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.routes import Route
from cairn_gateway.image.backend import HostsImages
from cairn_gateway.image.from_hosts import take_in

log = structlog.get_logger()


async def blob(call: Call) -> Answer:
    """An image's data, for a compute host."""
    images = call.services.images
    image_id = call.params["image_id"]
    signature = call.query_dict().get("signature", "")
    if not isinstance(images, HostsImages) or not (await images.keys()).valid(image_id, signature):
        log.warning("image.signature_refused", image=image_id[:64], remote=call.remote)
        raise NotFound("There is no such image, or the address has not been signed for it.")
    return await images.blob(image_id, call.headers.get("range"))


async def put_blob(call: Call) -> Answer:
    """An image's data, from a compute host."""
    images = call.services.images
    image_id = call.params["image_id"]
    signature = call.query_dict().get("signature", "")
    if not isinstance(images, HostsImages) or not (await images.keys()).valid_upload(image_id, signature):
        log.warning("image.signature_refused", image=image_id[:64], remote=call.remote)
        raise NotFound("There is no such image, or the address has not been signed for it.")
    disk_format = call.headers.get("x-cairn-disk-format", DiskFormat.QCOW2.value)
    size = call.headers.get("content-length", "")
    await take_in(
        images,
        image_id,
        call.chunks(images.settings.max_bytes),
        disk_format,
        int(size) if size.isdecimal() else None,
    )
    return Answer()


ROUTES = (
    Route("GET", "/internal/blobs/{image_id}", blob, rule=None),
    Route("PUT", "/internal/blobs/{image_id}", put_blob, rule=None, status=204, raw=True),
)
