"""Whole guests for these tests, by plain libvirt XML: disk, config drive, network card, console log."""

from __future__ import annotations

import base64
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import libvirt

from cairn_agent.config_drive import build_config_drive
from cairn_crds.guest import GuestSpec
from cairn_local.hypervisor import HypervisorRoom
from cairn_local.images import BuiltImage
from cairn_local.waiting import wait_until

NETWORK = """
<network>
  <name>lab</name><forward mode="nat"/><bridge name="cairn-lab" stp="off" delay="0"/>
  <ip address="10.79.0.1" prefix="24"><dhcp>
    <host mac="52:54:00:79:00:05" ip="10.79.0.5"/><host mac="52:54:00:79:00:06" ip="10.79.0.6"/>
  </dhcp></ip>
</network>
"""
DOMAIN = """
<domain type="qemu">
  <name>{name}</name><uuid>{uuid}</uuid><memory unit="MiB">{memory}</memory><vcpu>1</vcpu>
  <os><type machine="{machine}">hvm</type></os><features><acpi/><apic/></features>
  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>
  <devices>
    <disk type="file"><driver name="qemu" type="qcow2"/><source file="{disk}"/>
      <target dev="vda" bus="virtio"/></disk>
    <disk type="file" device="{device}"><driver name="qemu" type="raw"/><source file="{config}"/>
      <target dev="{target}" bus="{bus}"/><readonly/></disk>
    <interface type="network"><source network="lab"/><mac address="{mac}"/><model type="virtio"/></interface>
    <serial type="file"><source path="{log}"/></serial>
    <rng model="virtio"><backend model="random">/dev/urandom</backend></rng>
  </devices>
</domain>
"""


@dataclass
class BootedGuest:
    """A guest that was started."""

    domain: libvirt.virDomain
    address: str
    log: Path

    @property
    def console(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, text: str, *, times: int = 1, seconds: float = 90) -> str:
        """Wait until the console shows `text` so many times; returns the rest of its last line."""
        try:
            wait_until(lambda: self.console.count(text) >= times, f"{text!r} on the console", seconds)
        except Exception as error:
            raise AssertionError(f"{error}; the console ends with:\n{self.console[-3000:]}") from error
        return self.console.rpartition(text)[2].splitlines()[0].strip()

    def wait_until_off(self, seconds: float = 60) -> None:
        wait_until(lambda: not self.domain.isActive(), "the guest to be off", seconds)


class Lab:
    """A room with a network, whose guests boot an image."""

    def __init__(self, room: HypervisorRoom, folder: Path, connection: libvirt.virConnect) -> None:
        self.room = room
        self._folder = folder
        self._connection = connection
        connection.networkCreateXML(NETWORK)

    def boot(
        self,
        image: BuiltImage,
        number: int,
        *,
        user_data: str = "",
        public_key: str = "",
        password_hash: str | None = None,
        machine: str = "pc",
        memory: int = 128,
        config_drive: tuple[str, str, str] = ("vdb", "virtio", "disk"),
        disk_size: str = "",
    ) -> BootedGuest:
        """Start guest `number` (5 or 6), called guest-<number>.

        config_drive: its target, bus and device. disk_size: the image's when left out.
        """
        name = f"guest-{number}"
        disk, log, config = (self._folder / f"{name}.{suffix}" for suffix in ("qcow2", "log", "iso"))
        backing = ("-b", str(image.path), "-F", "qcow2")
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", *backing, disk, *disk_size.split()], check=True
        )
        identity, mac, address = str(uuid.uuid4()), f"52:54:00:79:00:0{number}", f"10.79.0.{number}"
        spec = guest_spec(name, mac, address, user_data, public_key, password_hash=password_hash)
        build_config_drive(config, identity, spec)
        target, bus, device = config_drive
        domain = self._connection.defineXML(
            DOMAIN.format(name=name, uuid=identity, memory=memory, machine=machine, disk=disk, config=config,
                          mac=mac, log=log, target=target, bus=bus, device=device)
        )  # fmt: skip
        domain.create()
        return BootedGuest(domain, address, log)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the room's network, return what it prints."""
        argv = self.room.exec_argv(command)
        return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=check, timeout=60).stdout


def ssh(lab: Lab, key: Path, target: str, command: str) -> str:
    """What `command` prints on the guest `user@address`."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR")
    return lab.run("ssh", "-i", str(key), *(f"-o{option}" for option in options), target, command)


def ssh_by_password(lab: Lab, folder: Path, password: str, target: str, command: str) -> str:
    """The same with a password, which ssh asks a program for."""
    ask = folder / "ask"
    ask.write_text(f"#!/bin/sh\necho '{password}'\n")
    ask.chmod(0o700)
    options = (
        "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "PubkeyAuthentication=no",
        "NumberOfPasswordPrompts=1", "LogLevel=ERROR",
    )  # fmt: skip
    asking = (f"SSH_ASKPASS={ask}", "SSH_ASKPASS_REQUIRE=force")
    return lab.run("env", *asking, "ssh", *(f"-o{option}" for option in options), target, command)


def guest_spec(
    name: str, mac: str, address: str, user_data: str, public_key: str, *, password_hash: str | None
) -> GuestSpec:
    return GuestSpec.model_validate(
        {
            "instance": {"namespace": "demo", "name": name, "project": "demo"},
            "vcpus": 1,
            "memoryMiB": 128,
            "image": {"name": "image", "url": "file:///image", "sha256": "0" * 64},
            "networks": [{"network": "lab", "cidr": "10.79.0.0/24", "mac": mac, "address": address}],
            "config": {
                "hostname": name,
                "publicKeys": {"test": public_key} if public_key else {},
                "userDataBase64": base64.b64encode(user_data.encode()).decode() if user_data else None,
                "adminPasswordHash": password_hash,
            },
        }
    )
