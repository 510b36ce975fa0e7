"""Disks from other hosts: what is checked of them, and what happens without their image."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cairn_agent.drivers.api import ImageCorrupt, ImageUnavailable
from cairn_crds.guest import GuestSpec
from contract.disks import run
from contract.libvirt_backends import LibvirtTestBackend, SecretTestBackend
from contract.machines import Steps, spawn
from contract.pairs import Pair, arrival
from integration.libvirt.crashes import arrives_though_killed

FULL = {"root_disk_gib": 1, "ephemeral_disk_gib": 1, "swap_mib": 1}


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    here = tmp_path / "here"
    here.mkdir()
    async with Pair(LibvirtTestBackend(here), SecretTestBackend(tmp_path / "there")) as pair:
        yield pair


async def _with_disks(pair: Pair, instance_id: str, **size: int) -> GuestSpec:
    spec = await spawn(pair.source, instance_id, pair.source.spec(**(size or FULL)))
    pair.source.scribble(instance_id, "mine")
    return spec


async def test_all_of_its_disks_come_along(pair: Pair, instance_id: str) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())
    assert sorted(courier.carried) == ["disk", "disk.config", "disk.eph0", "disk.swap"]


async def test_a_swap_disk_of_another_size_is_made_anew(pair: Pair, instance_id: str) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    larger = arrival(instance_id, spec.model_copy(update={"swap_mib": 2, "ephemeral_disk_gib": 2}))
    await pair.destination.driver.import_disks(larger, courier.source, Steps())
    assert isinstance(pair.destination, LibvirtTestBackend)
    files = pair.destination.files(instance_id)
    assert files.swap.stat().st_size == 2 * 1024**2
    assert files.ephemeral.stat().st_size == 2 * 1024**3


async def test_without_the_image_server_the_other_host_has_the_image(pair: Pair, instance_id: str) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    pair.destination.break_images(ImageUnavailable("the image was deleted"))
    await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())
    assert "base.raw" in courier.carried
    assert pair.destination.disk_text(instance_id) == "listening mine"


async def test_another_image_is_not_taken_for_it(pair: Pair, instance_id: str, tmp_path: Path) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    courier.paths["base.raw"] = Path(pair.source.deaf.url.removeprefix("file://"))
    pair.destination.break_images(ImageUnavailable("the image was deleted"))
    with pytest.raises(ImageCorrupt):
        await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())


async def test_a_disk_that_refers_to_files_of_this_host_is_refused(
    pair: Pair, instance_id: str, tmp_path: Path
) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    evil = tmp_path / "evil"
    options = f"data_file={tmp_path}/secret"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, evil, "1M")
    courier.paths["disk"] = evil
    with pytest.raises(ImageCorrupt, match="external data file"):
        await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())


async def test_a_disk_reads_no_other_backing_file(pair: Pair, instance_id: str, tmp_path: Path) -> None:
    spec = await _with_disks(pair, instance_id)
    courier = await pair.disks(instance_id, "move")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(1024**2, b"!"))
    evil = tmp_path / "evil"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", evil, "1G")
    courier.paths["disk"] = evil
    await pair.destination.driver.import_disks(arrival(instance_id, spec), courier.source, Steps())
    assert pair.destination.disk_text(instance_id) == "listening"


async def test_killed_anywhere_it_is_finished(pair: Pair) -> None:
    await arrives_though_killed(pair)
