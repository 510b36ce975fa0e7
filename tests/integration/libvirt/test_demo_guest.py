"""The demo image through the driver: name, address, config drive, and a polite end."""

from __future__ import annotations

import asyncio

import pytest

from cairn_crds.guest import GuestConfig
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import PowerState
from cairn_local.images import BuiltImage
from cairn_local.images.demo import PROPERTIES, ensure_demo_image
from contract.backends import NODE, PATIENCE, LibvirtQemuBackend
from contract.machines import power, spawn

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def demo_image() -> BuiltImage:
    return ensure_demo_image(print)


async def _wait_for(backend: LibvirtQemuBackend, instance_id: str, text: str) -> None:
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            if text.encode() in await backend.driver.console_log(NODE, instance_id, 1024**2):
                return
            await asyncio.sleep(0.05)


async def test_it_gets_its_name_address_and_config_drive(
    qemu: LibvirtQemuBackend, instance_id: str, demo_image: BuiltImage
) -> None:
    image = GuestImage(
        name="demo",
        url=demo_image.path.as_uri(),
        sha256=demo_image.sha256,
        disk_format="qcow2",
        properties=PROPERTIES,
    )
    spec = qemu.spec(image=image, memory_mib=128, root_disk_gib=1, config=GuestConfig(hostname="first-guest"))
    await spawn(qemu, instance_id, spec)
    await qemu.driver.power_on(NODE, instance_id)
    await _wait_for(qemu, instance_id, "cairn-demo: hostname first-guest")
    await _wait_for(qemu, instance_id, f"cairn-demo: network eth0 {spec.networks[0].address}")
    await _wait_for(qemu, instance_id, "cairn-demo: ready")
    await qemu.driver.power_off(NODE, instance_id, graceful_seconds=PATIENCE)
    assert await power(qemu.driver, instance_id) is PowerState.SHUTDOWN
    await _wait_for(qemu, instance_id, "cairn-demo: power button")
