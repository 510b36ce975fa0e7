"""An image's bytes as an answer, whole or in part."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from cairn_database.images.records import ImageRecord
from cairn_gateway.http.call import Answer
from cairn_gateway.http.faults import Fault, NotFound, ServiceUnavailable
from cairn_gateway.image.blobs import BlobMissing, BlobStore, BlobStoreUnavailable
from cairn_gateway.image.elsewhere import fetch

OCTETS = "application/octet-stream"
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeNotSatisfiable(Fault):
    """Nothing of the file is in the range that was asked for."""

    status = 416


async def data_of(blobs: BlobStore, record: ImageRecord, wanted: str | None = None) -> Answer:
    """The image's bytes; `wanted` is a Range header."""
    if record.blob is None:
        return Answer(await fetch(record), headers=_headers(record, record.size))
    size = record.size or 0
    start, length, status = 0, size, 200
    headers = _headers(record, size)
    if wanted is not None and (found := _range(wanted, size)) is not None:
        start, length = found
        status = 206
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        headers["Content-Length"] = str(length)
    return Answer(await _begun(blobs.read(record.blob, start, length)), status, headers)


def _headers(record: ImageRecord, size: int | None) -> dict[str, str]:
    headers = {"Content-Type": OCTETS, "Accept-Ranges": "bytes"}
    if record.checksum:
        headers["Content-MD5"] = record.checksum
    if size is not None:
        headers["Content-Length"] = str(size)
    return headers


def _range(text: str, size: int) -> tuple[int, int] | None:
    """First byte and length of a single range (RFC 9110, 14); None for what is to be ignored.

    Raises RangeNotSatisfiable.
    """
    match = RANGE.fullmatch(text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        length = (min(int(last), size - 1) if last else size - 1) - start + 1
    if start >= size or length <= 0:
        raise RangeNotSatisfiable(
            f"The image has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, length


async def _begun(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The blocks, once the first is there: before it, failing can still be answered properly."""
    try:
        first = await anext(blocks, b"")
    except BlobMissing as error:
        raise NotFound("The image's data is not in the store.") from error
    except BlobStoreUnavailable as error:
        raise ServiceUnavailable(str(error)) from error

    async def all_of_them() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return all_of_them()
