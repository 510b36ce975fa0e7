"""What `ImageCache.fetch` promises: whole and right images, once, or an error that says what to do."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cairn_agent.drivers.api import ImageCorrupt, ImageUnavailable, NoSpace, Unsupported
from cairn_agent.images import ImageCache, Limits, virtual_size
from cairn_crds.image_source import GuestImage

from .conftest import MIB, ImageServer

ImageOf = Callable[..., GuestImage]

FETCH_IN_ANOTHER_PROCESS = """
import asyncio, sys
from pathlib import Path
from cairn_agent.images import ImageCache
from cairn_crds.guest import GuestImage

async def main(directory, url, sha256):
    cache = ImageCache(Path(directory))
    print("started", flush=True)
    print(await cache.fetch(GuestImage(name="test", url=url, sha256=sha256)), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


def files_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


async def test_the_file_is_the_served_image(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    path = await cache.fetch(image)
    assert path.read_bytes() == qcow2
    assert files_in(cache.directory) == [f"{image.sha256}.qcow2"]
    assert virtual_size(path) == 8 * MIB


async def test_an_image_in_the_cache_is_not_fetched_again(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    first = await cache.fetch(image_of(content=qcow2))
    renamed = image_of("/status/500")
    assert await cache.fetch(renamed) == first
    assert server.requests == ["/image"]


async def test_an_image_without_announced_length_is_fetched(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes
) -> None:
    assert (await cache.fetch(image_of("/chunked", content=qcow2))).read_bytes() == qcow2


async def test_a_raw_image_keeps_its_holes(cache: ImageCache, image_of: ImageOf) -> None:
    content = b"boot" + bytes(16 * MIB) + b"end" + bytes(2 * MIB)
    path = await cache.fetch(image_of(content=content, disk_format="raw"))
    assert path.read_bytes() == content
    assert virtual_size(path) == len(content)
    assert path.stat().st_blocks * 512 < 8 * MIB


async def test_a_wrong_checksum_is_refused_for_good(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes
) -> None:
    image = image_of(content=qcow2, sha256="0" * 64)
    with pytest.raises(ImageCorrupt, match="has SHA-256") as caught:
        await cache.fetch(image)
    assert caught.value.permanent
    assert files_in(cache.directory) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/status/500", "answered 500"),
        ("/status/404", "answered 404"),
        ("/truncated", "broke off before the end"),
        ("/silent", "did not answer in time"),
        ("/hops/9", "redirects too often"),
        ("/elsewhere", "redirects to one that is none"),
    ],
)
async def test_a_failing_server_is_worth_another_try(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, path: str, message: str
) -> None:
    with pytest.raises(ImageUnavailable, match=message) as caught:
        await cache.fetch(image_of(path, content=qcow2))
    assert not caught.value.permanent
    assert files_in(cache.directory) == []
    assert (await cache.fetch(image_of())).read_bytes() == qcow2


async def test_a_server_that_is_not_there_is_worth_another_try(cache: ImageCache, image_of: ImageOf) -> None:
    with pytest.raises(ImageUnavailable, match="cannot be reached: Connection refused"):
        await cache.fetch(image_of(url="http://127.0.0.1:1/image"))


async def test_a_few_redirects_are_followed(cache: ImageCache, image_of: ImageOf, qcow2: bytes) -> None:
    assert (await cache.fetch(image_of("/hops/3", content=qcow2))).read_bytes() == qcow2


@pytest.mark.parametrize("path", ["/image", "/chunked"])
async def test_an_image_beyond_the_limit_is_refused(
    tmp_path: Path, image_of: ImageOf, qcow2: bytes, path: str
) -> None:
    cache = ImageCache(tmp_path / "cache", max_download_bytes=MIB)
    with pytest.raises(NoSpace, match="larger than the 1048576 bytes"):
        await cache.fetch(image_of(path, content=qcow2))
    assert files_in(cache.directory) == []


@pytest.mark.parametrize("path", ["/status/403", "/truncated", "/hops/9"])
async def test_no_secret_of_the_url_is_told(
    cache: ImageCache, image_of: ImageOf, server: ImageServer, path: str
) -> None:
    url = server.url.replace("http://", "http://joe:hunter2@") + path + "?signature=hunter2#hunter2"
    with pytest.raises(ImageUnavailable) as caught:
        await cache.fetch(image_of(content=b"x" * 4096, url=url))
    assert "hunter2" not in str(caught.value)
    assert "joe" not in str(caught.value)
    assert path in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("url", ["ftp://server/image", "glance://image", "http:///", "http://[::1/image"])
async def test_other_addresses_are_refused(cache: ImageCache, image_of: ImageOf, url: str) -> None:
    with pytest.raises((Unsupported, ImageUnavailable)):
        await cache.fetch(image_of(url=url))


async def test_other_formats_are_refused(cache: ImageCache, image_of: ImageOf) -> None:
    with pytest.raises(Unsupported, match="use qcow2 or raw"):
        await cache.fetch(image_of(disk_format="../../etc/passwd"))


async def test_callers_at_once_share_one_download(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    server.open_gate.clear()
    callers = [asyncio.create_task(cache.fetch(image)) for _ in range(10)]
    await server.first_request.wait()
    server.open_gate.set()
    assert len(set(await asyncio.gather(*callers))) == 1
    assert server.requests == ["/image"]


async def test_two_caches_of_one_directory_share_one_download(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    other = ImageCache(cache.directory)
    server.open_gate.clear()
    callers = [asyncio.create_task(each.fetch(image)) for each in (cache, other)]
    await server.first_request.wait()
    server.open_gate.set()
    assert len(set(await asyncio.gather(*callers))) == 1
    assert server.requests == ["/image"]


async def test_two_processes_share_one_download(
    tmp_path: Path, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    server.open_gate.clear()
    directory = tmp_path / "cache"
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", FETCH_IN_ANOTHER_PROCESS, str(directory), image.url, image.sha256),
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"started\n"
    await server.first_request.wait()
    server.open_gate.set()
    for process in processes:
        output, _ = await process.communicate()
        assert output.decode().splitlines()[-1] == str(directory / f"{image.sha256}.qcow2")
    assert server.requests == ["/image"]
    assert files_in(directory) == [f"{image.sha256}.qcow2"]


async def test_a_download_goes_on_while_somebody_waits_for_it(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    server.open_gate.clear()
    impatient, patient = (asyncio.create_task(cache.fetch(image)) for _ in range(2))
    await server.first_request.wait()
    impatient.cancel()
    server.open_gate.set()
    assert (await patient).read_bytes() == qcow2
    assert impatient.cancelled()
    assert server.requests == ["/image"]


async def test_a_download_that_nobody_waits_for_stops_and_leaves_nothing(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    image = image_of(content=qcow2)
    server.open_gate.clear()
    caller = asyncio.create_task(cache.fetch(image))
    await server.first_request.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    server.open_gate.set()
    assert (await cache.fetch(image)).read_bytes() == qcow2
    assert files_in(cache.directory) == [f"{image.sha256}.qcow2"]


async def test_what_a_crashed_download_left_is_overwritten(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes
) -> None:
    image = image_of(content=qcow2)
    cache.directory.mkdir()
    (cache.directory / f".{image.sha256}.qcow2.part").write_bytes(qcow2 * 2)
    assert (await cache.fetch(image)).read_bytes() == qcow2
    assert files_in(cache.directory) == [f"{image.sha256}.qcow2"]


async def test_a_file_of_an_allowed_folder_is_taken(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, tmp_path: Path
) -> None:
    source = tmp_path / "allowed" / "my image.qcow2"
    source.parent.mkdir()
    source.write_bytes(qcow2)
    path = await cache.fetch(image_of(content=qcow2, url=source.as_uri()))
    assert path.read_bytes() == qcow2
    source.write_bytes(b"changed afterwards")
    assert path.read_bytes() == qcow2


async def test_no_link_and_no_dots_lead_out_of_the_allowed_folders(
    cache: ImageCache, image_of: ImageOf, qcow2: bytes, tmp_path: Path
) -> None:
    allowed, secret = tmp_path / "allowed", tmp_path / "secret"
    allowed.mkdir()
    secret.write_bytes(qcow2)
    (allowed / "link").symlink_to(secret)
    for path in (allowed / "link", allowed / ".." / "secret", secret, tmp_path / "absent"):
        with pytest.raises(Unsupported, match="in none of the folders"):
            await cache.fetch(image_of(content=qcow2, url=f"file://{path}"))


async def test_a_missing_file_is_worth_another_try(
    cache: ImageCache, image_of: ImageOf, tmp_path: Path
) -> None:
    (tmp_path / "allowed").mkdir()
    with pytest.raises(ImageUnavailable, match="No such file"):
        await cache.fetch(image_of(url=f"file://{tmp_path}/allowed/image"))


async def test_a_pipe_is_no_image(cache: ImageCache, image_of: ImageOf, tmp_path: Path) -> None:
    (tmp_path / "allowed").mkdir()
    os.mkfifo(tmp_path / "allowed" / "pipe")
    with pytest.raises(Unsupported, match="not a regular file"):
        await cache.fetch(image_of(url=f"file://{tmp_path}/allowed/pipe"))


async def test_the_whole_download_is_bounded(
    tmp_path: Path, image_of: ImageOf, qcow2: bytes, server: ImageServer
) -> None:
    cache = ImageCache(tmp_path / "cache", limits=Limits(total_seconds=0.2))
    server.open_gate.clear()
    with pytest.raises(ImageUnavailable, match="in time"):
        await cache.fetch(image_of(content=qcow2))
