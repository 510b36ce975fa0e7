"""Files of images in an S3-compatible object store.

The client is loaded when the first file is asked for: most clouds keep images in a directory. Its calls
block, so they run in threads. Give the bucket a lifecycle rule that ends incomplete multipart uploads: what a
gateway that dies in an upload leaves behind there cannot be seen from here.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from cairn_gateway.image.blobs import BLOCK_BYTES, BlobMissing, BlobStoreUnavailable, BlobWriter
from cairn_gateway.image.settings import S3Settings

MISSING = frozenset({"NoSuchKey", "NoSuchObject", "NotFound"})
AWS = "https://s3.amazonaws.com"
CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
CONNECTIONS = 32
ATTEMPTS = 4
LOOK_SECONDS = 1.0
"""How often a writer that waits for room looks whether anybody still empties the queue."""


class S3Store:
    """One object for each file: `prefix` + its name. It appears when all of it is there, and not before."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._loading = threading.Lock()

    def client(self) -> Any:
        """The client, which threads may share. Blocks."""
        with self._loading:
            if self._client is None:
                self._client = _make_client(self._settings)
            return self._client

    def _where(self, blob: str) -> tuple[str, str]:
        return self._settings.bucket, self._settings.prefix + blob

    def writer(self, blob: str) -> BlobWriter:
        """A new object."""
        return _S3Writer(self.client(), self._where(blob), self._settings.part_mib * 1024**2)

    async def read(self, blob: str, start: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Blocks of the object."""
        if length == 0:
            return

        def begin() -> Any:
            with _s3_errors(blob):
                return self.client().get_object(*self._where(blob), offset=start, length=length or 0)

        def more() -> bytes:
            with _s3_errors(blob):
                block: bytes = response.read(BLOCK_BYTES)
                return block

        response = await asyncio.to_thread(begin)
        try:
            while block := await asyncio.to_thread(more):
                yield block
        finally:
            response.close()
            response.release_conn()

    async def delete(self, blob: str) -> None:
        """Remove the object."""

        def remove() -> None:
            with _s3_errors(blob):
                self.client().remove_object(*self._where(blob))

        await asyncio.to_thread(remove)

    async def close(self) -> None:
        """Connections that nobody uses close by themselves."""


def _make_client(settings: S3Settings) -> Any:
    import certifi
    import urllib3
    from minio import Minio

    endpoint = urlsplit(settings.endpoint or AWS)
    access, secret = settings.access_key, settings.secret_key
    pool = urllib3.PoolManager(
        timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        maxsize=CONNECTIONS,
        cert_reqs="CERT_REQUIRED",
        ca_certs=str(settings.ca_file or certifi.where()),
        retries=urllib3.Retry(total=ATTEMPTS, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )
    return Minio(
        endpoint=endpoint.netloc,
        access_key=access.get_secret_value() if access else None,
        secret_key=secret.get_secret_value() if secret else None,
        secure=endpoint.scheme == "https",
        region=settings.region,
        http_client=pool,
    )


class _Abandoned(Exception):
    """The upload is not wanted any more."""


class _Pipe:
    """What one thread writes, the client's thread reads."""

    def __init__(self) -> None:
        self._blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=4)
        self._rest = b""
        self._ended = False
        self.abandoned = False

    def put(self, block: bytes | None, reader: threading.Thread) -> bool:
        """Hand over a block, None at the end; False when nobody reads any more."""
        while reader.is_alive():
            try:
                self._blocks.put(block, timeout=LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def read(self, size: int) -> bytes:
        """What the client calls: `size` bytes, fewer at the end only."""
        parts, missing = [], size
        while missing > 0 and not self._ended:
            if not self._rest:
                block = self._blocks.get()
                if self.abandoned:
                    raise _Abandoned
                if block is None:
                    self._ended = True
                    break
                self._rest = block
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)


class _S3Writer:
    """A multipart upload in a thread of its own, which asks for bytes as it needs them."""

    def __init__(self, client: Any, where: tuple[str, str], part_bytes: int) -> None:
        self._client = client
        self._where = where
        self._part_bytes = part_bytes
        self._pipe = _Pipe()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="image-upload", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with _s3_errors(self._where[1]):
                self._client.put_object(*self._where, self._pipe, -1, part_size=self._part_bytes)
        except BaseException as error:  # noqa: BLE001 - handed to whoever writes
            self._failure = error

    def write(self, block: bytes) -> None:
        if not self._pipe.put(block, self._thread):
            self._raise()

    def commit(self) -> None:
        self._pipe.put(None, self._thread)
        self._thread.join()
        if self._failure is not None:
            self._raise()

    def abort(self) -> None:
        # The client ends its multipart upload by itself when what it reads from fails.
        self._pipe.abandoned = True
        self._pipe.put(None, self._thread)
        self._thread.join(READ_SECONDS)

    def _raise(self) -> None:
        failure = self._failure
        if isinstance(failure, BlobStoreUnavailable):
            raise failure
        raise BlobStoreUnavailable("the object store did not take the image") from failure


@contextmanager
def _s3_errors(blob: str) -> Iterator[None]:
    """The client's errors in our words, which hold no credentials."""
    from minio.error import MinioException, S3Error
    from urllib3.exceptions import HTTPError

    try:
        yield
    except S3Error as error:
        if error.code in MISSING:
            raise BlobMissing(blob) from error
        raise BlobStoreUnavailable(f"the object store refuses: {error.code}") from error
    except (MinioException, HTTPError, OSError) as error:
        raise BlobStoreUnavailable(f"the object store does not answer: {type(error).__name__}") from error
