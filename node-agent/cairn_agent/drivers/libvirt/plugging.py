"""Interfaces and volumes of a machine that there is: plugged in and out, now and for its next start.

What is to come is in the definition first and then in the running machine, what is to go the other way round:
cut off anywhere, the difference is still to be seen, and a guest that does not let go keeps all of it.

Nova API: POST and DELETE /servers/{id}/os-interface, /servers/{id}/os-volume_attachments.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

import libvirt

from cairn_agent.drivers.api import DriverError, Unsupported
from cairn_agent.drivers.api_operations import OperationFailed
from cairn_agent.drivers.libvirt import volume_files
from cairn_agent.drivers.libvirt.device_kinds import DeviceKind, device_kinds
from cairn_agent.drivers.libvirt.errors import Unreachable, is_code
from cairn_agent.drivers.libvirt.workshop import Machine
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState

POLL_SECONDS = 0.1
ASK_AGAIN_SECONDS = 5.0
"""A guest that is still booting does not hear the first request."""
_STORED = libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE
Wanted = Mapping[str, Element]
"""The devices of one kind, by what tells them apart."""


async def reconfigure(machine: Machine, spec: GuestSpec) -> None:
    """As `Devices.reconfigure`."""
    record = await machine.require()
    networks = machine.workshop.networks
    wanted = tuple(spec.networks)
    both = (*record.networks, *(network for network in wanted if network not in record.networks))
    if both != tuple(record.networks):
        await machine.write(record.updated(networks=both))
    await networks.plug(await networks.unplugged(wanted))
    await volume_files.require(machine, spec)
    volumes = machine.volume_elements(spec)
    for kind in device_kinds(spec, machine.workshop.host, volumes):
        await _Plugging(machine, kind).run()
    await volume_files.grow_plugged(machine, spec)
    gone = [network for network in both if network not in wanted]
    await networks.unplug(gone)
    if tuple(record.networks) != wanted:
        await machine.write(record.updated(networks=wanted))


@dataclass(frozen=True)
class _Plugging:
    """The devices of one kind brought in line with what is wanted."""

    machine: Machine
    kind: DeviceKind

    async def run(self) -> None:
        before = await self.machine.with_domain(lambda domain: domain.XMLDesc(_STORED))
        live = await self._live()
        await self._store(before, keep_others=True)
        try:
            await self._plug_in()
            await self._plug_out()
        except Unreachable:
            raise
        except DriverError as error:
            await self._take_back(before, live or {})
            if isinstance(error, (OperationFailed, Unsupported)):
                raise
            raise OperationFailed(self._explain(error)) from error
        await self._store(await self.machine.with_domain(lambda d: d.XMLDesc(_STORED)), keep_others=False)

    async def _store(self, definition: str, *, keep_others: bool) -> None:
        """The definition for the next start, where it differs; `keep_others`: with those that are to go."""
        root = fromstring(definition)  # noqa: S314 - written by libvirt
        devices = root.find("devices")
        assert devices is not None  # noqa: S101 - every domain has some
        found = self.kind.found(root)
        changed = False
        for name, element in self.kind.wanted.items():
            there = found.get(name)
            if there is None:
                devices.append(element)
            elif not self.kind.same_at_start(there, element):
                _replace(devices, there, element)
            else:
                continue
            changed = True
        for name in () if keep_others else found.keys() - self.kind.wanted.keys():
            devices.remove(found[name])
            changed = True
        if changed:
            await self._define(tostring(root, encoding="unicode"))

    async def _define(self, definition: str) -> None:
        await self.machine.workshop.connection.run(lambda c: c.defineXML(definition))

    async def _take_back(self, before: str, live: Wanted) -> None:
        """The definition as it was; what has been plugged in meanwhile goes once the guest lets go of it."""
        await self._define(before)
        for name, element in (await self._live() or {}).items():
            if name not in live:
                text = tostring(element, encoding="unicode")
                await self._change(lambda d, t=text: _ask(d, t))

    async def _plug_in(self) -> None:
        """Those that the running machine lacks, and those that are not as they should be."""
        live = await self._live()
        for name, element in self.kind.wanted.items() if live is not None else ():
            there = live.get(name) if live is not None else None
            text = tostring(element, encoding="unicode")
            if there is None:
                await self._change(lambda d, t=text: d.attachDeviceFlags(t, libvirt.VIR_DOMAIN_AFFECT_LIVE))
            elif not self.kind.same(there, element):
                await self._change(lambda d, t=text: d.updateDeviceFlags(t, libvirt.VIR_DOMAIN_AFFECT_LIVE))

    async def _plug_out(self) -> None:
        """Ask the guest to let go of those that are to go, and wait until it has."""
        loop = asyncio.get_running_loop()
        seconds = self.machine.workshop.settings.detach_seconds
        deadline, ask_at = loop.time() + seconds, loop.time()
        while surplus := await self._surplus():
            if await self.machine.power_state() is PowerState.PAUSED:
                raise OperationFailed(
                    f"machine {self.machine.instance_id} is paused and cannot let go of "
                    f"{self.kind.name} {surplus[0][0]}: resume it first"
                )
            if loop.time() >= deadline:
                raise OperationFailed(
                    f"the guest of machine {self.machine.instance_id} did not let go of {self.kind.name} "
                    f"{surplus[0][0]} within {seconds:g} s: detach it inside the guest, or stop it first"
                )
            if loop.time() >= ask_at:
                for _, text in surplus:
                    await self._change(lambda d, t=text: _ask(d, t))
                ask_at = loop.time() + ASK_AGAIN_SECONDS
            await asyncio.sleep(POLL_SECONDS)

    async def _surplus(self) -> Sequence[tuple[str, str]]:
        live = await self._live() or {}
        gone = live.keys() - self.kind.wanted.keys()
        return sorted((name, tostring(live[name], encoding="unicode")) for name in gone)

    async def _live(self) -> Wanted | None:
        """What the running machine has; None where it is off."""

        def read(domain: Any) -> str | None:
            return domain.XMLDesc(libvirt.VIR_DOMAIN_XML_SECURE) if domain.isActive() else None

        definition = await self.machine.with_domain(read)
        return None if definition is None else self.kind.found(fromstring(definition))  # noqa: S314

    async def _change(self, change: Any) -> None:
        await self.machine.with_domain(change)

    def _explain(self, error: DriverError) -> str:
        message = f"machine {self.machine.instance_id} takes no other {self.kind.name}: {error}"
        if "PCI" in str(error):
            message += "; stop it and start it again, and it has room for more"
        return message


def _ask(domain: Any, device: str) -> None:
    """Ask for a device to be let go of; asking again, or for one that has just gone, is no error."""
    try:
        domain.detachDeviceFlags(device, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        gone = is_code(error, libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_INVALID)
        if not gone and "unplug" not in (error.get_error_message() or ""):
            raise


def _replace(devices: Element, there: Element, element: Element) -> None:
    """Put it in the other's place, at its address on the bus."""
    address = there.find("address")
    if address is not None:
        with contextlib.suppress(ValueError):
            element.append(address)
    devices.insert(list(devices).index(there), element)
    devices.remove(there)
