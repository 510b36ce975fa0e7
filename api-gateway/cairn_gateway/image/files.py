"""`/v2/images/{image_id}/file`: an image's data, up and down."""

from __future__ import annotations

from cairn_database.images.records import ImageStatus
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import Forbidden, UnsupportedMediaType
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.image.outgoing import OCTETS, data_of
from cairn_gateway.image.serving import load, store


async def upload(call: Call) -> Answer:
    """Upload an image's data; it becomes active."""
    record = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    kind = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != OCTETS:
        raise UnsupportedMediaType(f"Unsupported Content-Type '{kind}': send {OCTETS}.")
    await images.upload(record, call.chunks(images.settings.max_bytes))
    return Answer()


async def download(call: Call) -> Answer:
    """Download an image's data, or a range of it."""
    record = await load(call)
    images = store(call)
    call.enforce(images.target(call, record))
    if record.status is ImageStatus.DEACTIVATED and not images.is_admin(call):
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    if not record.has_data:
        return Answer(status=204)
    return await data_of(images.blobs, record, call.headers.get("range"))


ROUTES = (
    Route(
        "PUT",
        "/v2/images/{image_id}/file",
        upload,
        "upload_image",
        status=204,
        enforce=Enforce.HANDLER,
        raw=True,
    ),
    Route("GET", "/v2/images/{image_id}/file", download, "download_image", enforce=Enforce.HANDLER),
)
