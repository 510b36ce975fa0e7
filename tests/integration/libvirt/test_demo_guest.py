"""The demo image through the driver: name, address, config drive, and a polite end."""

from __future__ import annotations

import pytest

from cairn_crds.guest import GuestConfig
from cairn_crds.instance import PowerState
from cairn_local.images import BuiltImage
from contract.backends import NODE, PATIENCE
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import power, spawn
from integration.libvirt.demo import console_says, guest_image

pytestmark = pytest.mark.qemu


async def test_it_gets_its_name_address_and_config_drive(
    qemu: LibvirtQemuBackend, instance_id: str, demo_image: BuiltImage
) -> None:
    image, config = guest_image(demo_image), GuestConfig(hostname="first-guest")
    spec = qemu.spec(image=image, memory_mib=128, root_disk_gib=1, config=config)
    await spawn(qemu, instance_id, spec)
    await qemu.driver.power_on(NODE, instance_id)
    await console_says(qemu, instance_id, "cairn-demo: hostname first-guest")
    await console_says(qemu, instance_id, f"cairn-demo: network eth0 {spec.networks[0].address}")
    await console_says(qemu, instance_id, "cairn-demo: ready")
    await qemu.driver.power_off(NODE, instance_id, graceful_seconds=PATIENCE)
    assert await power(qemu.driver, instance_id) is PowerState.SHUTDOWN
    await console_says(qemu, instance_id, "cairn-demo: power button")
