"""A password by the guest agent, in a real Linux."""

from __future__ import annotations

import asyncio
import base64
import dataclasses

import pytest

from cairn_agent.drivers.api_operations import GuestAgentMissing, OperationFailed
from cairn_crds.guest import GuestConfig
from cairn_crds.image_source import GuestImage
from cairn_local.images import BuiltImage
from cairn_local.images.demo import PROPERTIES, RECIPE, ensure_demo_image
from contract.backends import NODE, PATIENCE
from contract.libvirt_backends import LibvirtQemuBackend
from contract.machines import spawn

pytestmark = [pytest.mark.qemu, pytest.mark.slow]
HASH = "$6$salt$" + "x" * 86

AGENT = r"""#!/bin/sh
port=/dev/$(basename /sys/class/virtio-ports/vport*)
exec 3<>"$port"
echo "agent: listening on $port" > /dev/console
while :; do
  # No line comes as long as nobody is connected at the host's end.
  read -r line <&3 || { sleep 1; continue; }
  id=$(echo "$line" | sed -n 's/.*"id": *\([0-9]*\).*/\1/p')
  case "$line" in
    *guest-sync-delimited*) printf '\377{"return": %s}\n' "$id" >&3 ;;
    *guest-sync*) echo "{\"return\": $id}" >&3 ;;
    *garbage*) printf '\377garbage\n' >&3 ;;
    *nobody*) echo '{"error": {"class": "GenericError", "desc": "no such user"}}' >&3 ;;
    *) echo "agent: $line" > /dev/console; echo '{"return": {}}' >&3 ;;
  esac
done
"""
"""As much of the QEMU guest agent as libvirt needs for this, for busybox."""


@pytest.fixture(scope="module")
def image_with_ports() -> BuiltImage:
    """The demo image with the driver that the agent's channel needs."""
    modules = (*RECIPE.early_modules, "virtio_console")
    return ensure_demo_image(print, recipe=dataclasses.replace(RECIPE, early_modules=modules))


async def _console(backend: LibvirtQemuBackend, instance_id: str, text: str) -> bytes:
    async with asyncio.timeout(2 * PATIENCE):
        log = b""
        while text.encode() not in log:
            await asyncio.sleep(0.1)
            log = await backend.driver.console_log(NODE, instance_id, 1024**2)
    return log


async def _set_once_it_answers(backend: LibvirtQemuBackend, instance_id: str, user: str) -> None:
    """libvirt connects to the channel a moment after the guest has opened its end."""
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            try:
                return await backend.driver.set_password(NODE, instance_id, user, HASH)
            except GuestAgentMissing:
                await asyncio.sleep(0.2)


async def test_the_agent_gets_the_hash(
    qemu: LibvirtQemuBackend, instance_id: str, image_with_ports: BuiltImage
) -> None:
    image = GuestImage(
        name="demo-agent",
        url=image_with_ports.path.as_uri(),
        sha256=image_with_ports.sha256,
        disk_format="qcow2",
        properties={**PROPERTIES, "hw_qemu_guest_agent": "yes"},
    )
    script = base64.b64encode(AGENT.encode()).decode()
    config = GuestConfig(hostname="agent", user_data_base64=script)
    await spawn(qemu, instance_id, qemu.spec(image=image, memory_mib=128, root_disk_gib=1, config=config))
    await qemu.driver.power_on(NODE, instance_id)
    qemu.lose_patience()
    with pytest.raises(GuestAgentMissing):
        await qemu.driver.set_password(NODE, instance_id, "root", HASH)
    await _console(qemu, instance_id, "agent: listening")
    await _set_once_it_answers(qemu, instance_id, "admin")
    log = await _console(qemu, instance_id, "guest-set-user-password")
    assert base64.b64encode(HASH.encode()) in log
    assert b'"crypted":true' in log.replace(b" ", b"")
    assert b'"admin"' in log
    with pytest.raises(OperationFailed, match="no such user"):
        await qemu.driver.set_password(NODE, instance_id, "nobody", HASH)
    with pytest.raises(GuestAgentMissing):
        await qemu.driver.set_password(NODE, instance_id, "garbage", HASH)
