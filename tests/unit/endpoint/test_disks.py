"""Disks that another host fetches."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest

from cairn_runtime import disk_fetch
from cairn_runtime.agent_client import fingerprint
from cairn_runtime.agent_errors import AgentFailed, AgentUnreachable, DiskIncomplete, MachineNotFound
from cairn_runtime.disk_fetch import part_of
from cairn_runtime.peer_tokens import disks_token
from unit.endpoint.conftest import OPERATION, House

CONTENT = random.Random(1).randbytes(3 * 1024 * 1024 + 17)  # the same in every process of a test run


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_fetch, "FIRST_PAUSE_SECONDS", 0.001)


async def test_a_disk_arrives_as_it_is(house: House, tmp_path: Path) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    house.disk(instance_id, b"", "disk.eph0")
    for name, content in (("disk", CONTENT), ("disk.eph0", b"")):
        target = tmp_path / f"new.{name}"
        await house.client.fetch_disk(house.peer, instance_id, OPERATION, name, target)
        assert target.read_bytes() == content
        assert not part_of(target, OPERATION).exists()


async def test_a_fetch_goes_on_where_it_ended(house: House, tmp_path: Path) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    target = tmp_path / "new"
    # What is not asked for again is not compared: a mark shows that it is the old beginning.
    part_of(target, OPERATION).write_bytes(b"\1" * 1000)
    part_of(target, "another").write_bytes(b"\2" * 2000)
    await house.client.fetch_disk(house.peer, instance_id, OPERATION, "disk", target)
    assert target.read_bytes() == b"\1" * 1000 + CONTENT[1000:]


async def test_a_fetch_that_has_been_done_does_nothing(house: House, tmp_path: Path) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    target = tmp_path / "new"
    target.write_bytes(b"\1" * len(CONTENT))
    await house.client.fetch_disk(house.peer, instance_id, OPERATION, "disk", target)
    assert target.read_bytes() == b"\1" * len(CONTENT)


@pytest.mark.parametrize("name", ["disk2", "../disk", "..", "%2e%2e%2fdisk", "/etc/passwd", "disk/", "."])
async def test_a_name_only_chooses_among_what_is_handed_out(house: House, name: str, tmp_path: Path) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    with pytest.raises(MachineNotFound):
        await house.client.fetch_disk(house.peer, instance_id, OPERATION, name, tmp_path / "new")
    url = f"{house.peer.url}/v1/machines/{instance_id}/disks/{OPERATION}/{name}"
    headers = {"Authorization": f"Bearer {house.peer.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, ssl=fingerprint(house.peer.certificate)) as response,
    ):
        assert response.status in {401, 404}


async def test_an_operation_that_nobody_began(house: House) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    for operation in ("another", "..", "a b", "x" * 200):
        with pytest.raises(MachineNotFound):
            await house.client.disks(house.peer, instance_id, operation)


@pytest.mark.parametrize(
    ("range_", "status", "content", "told"),
    [
        (None, 200, CONTENT, None),
        ("bytes=0-", 206, CONTENT, f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"),
        ("bytes=5-9", 206, CONTENT[5:10], f"bytes 5-9/{len(CONTENT)}"),
        ("bytes=-3", 206, CONTENT[-3:], f"bytes {len(CONTENT) - 3}-{len(CONTENT) - 1}/{len(CONTENT)}"),
        (f"bytes={len(CONTENT) - 1}-", 206, CONTENT[-1:], None),
        (f"bytes={len(CONTENT)}-", 416, None, f"bytes */{len(CONTENT)}"),
        ("bytes=7-3", 400, None, None),
        ("lines=1-2", 400, None, None),
    ],
)
async def test_ranges(
    house: House, range_: str | None, status: int, content: bytes | None, told: str | None
) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    headers = {"Authorization": f"Bearer {disks_token(house.peer.token, instance_id, OPERATION)}"}
    if range_ is not None:
        headers["Range"] = range_
    url = f"{house.peer.url}/v1/machines/{instance_id}/disks/{OPERATION}/disk"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(url, ssl=fingerprint(house.peer.certificate)) as response,
    ):
        assert response.status == status
        body = await response.read()
        assert content is None or body == content
        assert told is None or response.headers["Content-Range"] == told


async def test_a_file_that_is_shorter_than_told_never_counts_as_whole(house: House, tmp_path: Path) -> None:
    instance_id = await house.machine()
    disk = house.disk(instance_id, CONTENT)
    with disk.path.open("r+b") as file:
        file.truncate(1000)
    target = tmp_path / "new"
    with pytest.raises((AgentUnreachable, AgentFailed)):
        await house.client.fetch_disk(house.peer, instance_id, OPERATION, "disk", target)
    assert not target.exists()
    assert part_of(target, OPERATION).stat().st_size == 1000


async def test_a_file_that_has_gone_is_told(house: House, tmp_path: Path) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT).path.unlink()
    with pytest.raises(AgentFailed):
        await house.client.fetch_disk(house.peer, instance_id, OPERATION, "disk", tmp_path / "new")


async def test_a_full_disk_here_is_not_the_other_hosts_failure(house: House) -> None:
    instance_id = await house.machine()
    house.disk(instance_id, CONTENT)
    with pytest.raises(OSError, match="No space left"):
        await disk_fetch.fetch(lambda _: _piece(CONTENT), len(CONTENT), Path("/dev/none"), Path("/dev/full"))


async def _piece(content: bytes) -> AsyncGenerator[bytes]:
    yield content


async def test_interruptions_are_gone_over_as_long_as_something_comes(tmp_path: Path) -> None:
    asked: list[int] = []

    async def trickle(offset: int) -> AsyncGenerator[bytes]:
        asked.append(offset)
        yield CONTENT[offset : offset + 100]
        raise AgentUnreachable("the network is cut")

    target = tmp_path / "new"
    await disk_fetch.fetch(trickle, 1000, target, part_of(target, OPERATION))
    assert target.read_bytes() == CONTENT[:1000]
    assert asked == list(range(0, 1000, 100))


async def test_it_is_given_up_where_nothing_comes(tmp_path: Path) -> None:
    asked: list[int] = []

    async def cut(offset: int) -> AsyncGenerator[bytes]:
        asked.append(offset)
        raise AgentUnreachable("the network is cut")
        yield b""

    target = tmp_path / "new"
    with pytest.raises(AgentUnreachable):
        await disk_fetch.fetch(cut, 1000, target, part_of(target, OPERATION))
    assert len(asked) == disk_fetch.ATTEMPTS
    assert not target.exists()


async def test_more_than_was_told_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "new"
    with pytest.raises(DiskIncomplete):
        await disk_fetch.fetch(lambda _: _piece(CONTENT), 1000, target, part_of(target, OPERATION))
    assert os.listdir(tmp_path) == []


async def test_a_cancelled_fetch_keeps_what_has_come(tmp_path: Path) -> None:
    here = asyncio.Event()

    async def stuck(offset: int) -> AsyncGenerator[bytes]:
        yield CONTENT[:500]
        here.set()
        await asyncio.sleep(3600)

    target = tmp_path / "new"
    task = asyncio.create_task(disk_fetch.fetch(stuck, 1000, target, part_of(target, OPERATION)))
    await here.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert part_of(target, OPERATION).read_bytes() == CONTENT[:500]
