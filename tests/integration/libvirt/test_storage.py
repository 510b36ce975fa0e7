"""Disks: sizes, formats, and what outlives what."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cairn_agent.drivers.api import DiskTooSmall, DriverError, NoSpace, Step
from cairn_agent.drivers.libvirt import storage
from cairn_agent.drivers.libvirt.storage import MachineFiles, until_closed
from contract.backends import NODE
from contract.guests import IMAGE_BYTES
from contract.libvirt_backends import LibvirtTestBackend
from contract.machines import Cut, Steps, spawn

GIB = 1024**3


def _files(backend: LibvirtTestBackend, instance_id: str) -> MachineFiles:
    return MachineFiles(backend.settings.instances_directory / instance_id, backend.settings.run_directory)


def _run(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _info(path: Path) -> dict[str, Any]:
    info = json.loads(_run("qemu-img", "info", "--output=json", path))
    assert isinstance(info, dict)
    return info


@pytest.mark.parametrize(("gib", "size"), [(0, IMAGE_BYTES), (2, 2 * GIB)])
async def test_the_root_disk_has_the_flavors_size(
    in_memory: LibvirtTestBackend, instance_id: str, gib: int, size: int
) -> None:
    await spawn(in_memory, instance_id, in_memory.spec(root_disk_gib=gib))
    info = _info(_files(in_memory, instance_id).root)
    assert (info["format"], info["virtual-size"]) == ("qcow2", size)


async def test_a_root_disk_smaller_than_its_image_is_refused_for_good(
    in_memory: LibvirtTestBackend, instance_id: str, tmp_path: Path
) -> None:
    large = tmp_path / "large.raw"
    with large.open("wb") as file:
        file.truncate(GIB + 1)
    image = in_memory.deaf.model_copy(update={"url": large.as_uri(), "name": "large"})
    with pytest.raises(DiskTooSmall, match="image large needs 2 GiB") as caught:
        await spawn(in_memory, instance_id, in_memory.spec(image=image, root_disk_gib=1))
    assert caught.value.permanent
    await in_memory.driver.destroy(NODE, instance_id)
    assert in_memory.leftovers(instance_id, in_memory.spec()) == []


async def test_ephemeral_and_swap_disks_are_ready_for_use(
    in_memory: LibvirtTestBackend, instance_id: str
) -> None:
    await spawn(in_memory, instance_id, in_memory.spec(ephemeral_disk_gib=1, swap_mib=8))
    files = _files(in_memory, instance_id)
    assert "TYPE=ext4" in _run("blkid", "-p", "-o", "export", files.ephemeral)
    assert "TYPE=swap" in _run("blkid", "-p", "-o", "export", files.swap)


async def test_the_image_may_go_from_the_cache(in_memory: LibvirtTestBackend, instance_id: str) -> None:
    await spawn(in_memory, instance_id)
    _run("rm", in_memory.listening.url.removeprefix("file://"))
    _run("qemu-img", "check", "-q", _files(in_memory, instance_id).root)


async def test_images_of_machines_are_kept_in_the_cache(
    in_memory: LibvirtTestBackend, instance_id: str
) -> None:
    await spawn(in_memory, instance_id)
    await in_memory.driver.sweep(NODE, keep=[])
    assert in_memory.images.kept == {in_memory.listening.sha256}


async def test_a_disk_is_not_made_twice(in_memory: LibvirtTestBackend, instance_id: str) -> None:
    spec = in_memory.spec()
    with pytest.raises(Cut):
        await in_memory.driver.spawn(NODE, instance_id, spec, Steps(cut_at=Step.DEFINE))
    root = _files(in_memory, instance_id).root
    before = root.stat().st_ino
    await spawn(in_memory, instance_id, spec)
    assert root.stat().st_ino == before


async def test_what_a_killed_agent_left_half_made_is_swept(
    in_memory: LibvirtTestBackend, instance_id: str
) -> None:
    instances = in_memory.settings.instances_directory
    kept = instance_id[:-4] + "0000"
    for name in (f".{instance_id}.{NODE}.new", f".{instance_id}.{NODE}.gone", f".{kept}.{NODE}.new"):
        (instances / name).mkdir()
    (in_memory.settings.run_directory / f"{instance_id}.vnc").touch()
    await in_memory.driver.sweep(NODE, keep=[kept])
    assert [path.name for path in instances.iterdir()] == [f".{kept}.{NODE}.new"]
    assert list(in_memory.settings.run_directory.iterdir()) == []


async def test_a_full_disk_is_no_space(
    in_memory: LibvirtTestBackend, instance_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    fallen = tools / "qemu-img"
    fallen.write_text("#!/bin/sh\necho 'qemu-img: could not write: No space left on device' >&2\nexit 1\n")
    fallen.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    with pytest.raises(NoSpace):
        await spawn(in_memory, instance_id)
    monkeypatch.undo()
    await spawn(in_memory, instance_id)


async def test_a_file_is_waited_for_until_its_writer_closes_it(tmp_path: Path) -> None:
    path = tmp_path / "copy.qcow2"
    _run("qemu-img", "create", "-f", "qcow2", path, "1M")
    writer = await asyncio.create_subprocess_exec(
        "qemu-io", "-f", "qcow2", str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(b"write -P 7 0 64k\n")
    await writer.stdout.readuntil(b"ops/sec")
    waiting = asyncio.create_task(until_closed(path))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)
    writer.stdin.write(b"quit\n")
    await waiting
    assert await writer.wait() == 0
    assert _run("qemu-io", "-r", "-f", "qcow2", "-c", "read -P 7 0 64k", path)


async def test_a_file_that_is_never_closed_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "CLOSING_SECONDS", 0.2)
    path = tmp_path / "copy.qcow2"
    _run("qemu-img", "create", "-f", "qcow2", path, "1M")
    writer = await asyncio.create_subprocess_exec(
        "qemu-io", "-f", "qcow2", str(path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    await writer.stdout.read(1)
    with pytest.raises(DriverError, match=r"copy\.qcow2 is still being written"):
        await until_closed(path)
    writer.kill()
    await writer.wait()
    await until_closed(path)


async def test_a_file_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="qemu-img failed"):
        await until_closed(tmp_path / "copy.qcow2")
