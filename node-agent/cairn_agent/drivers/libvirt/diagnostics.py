"""What a domain has used, by libvirt's counters. All functions block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import libvirt

from cairn_agent.drivers.api import WrongPowerState
from cairn_agent.drivers.libvirt import domains
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_crds.instance import PowerState
from cairn_runtime.diagnostics import (
    CpuDiagnostics,
    DiskDiagnostics,
    MachineDiagnostics,
    NicDiagnostics,
)

UNCOUNTED = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_OPERATION_UNSUPPORTED)
"""A hypervisor that keeps no such counter."""
GONE = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_FAILED)
"""A device that was unplugged since it was listed, or has no counters (an empty CD-ROM drive)."""


def read_diagnostics(connection: Any, node: str, instance_id: str, virt_type: str) -> MachineDiagnostics:
    """The machine's counters. Raises MachineNotFound, WrongPowerState."""
    domain = domains.require(connection, node, instance_id)
    state = domains.power_state(domain)
    if state is not PowerState.RUNNING:
        raise WrongPowerState(f"machine {instance_id} is {state}: it has to run")
    _state, maximum_kib, used_kib, vcpus, _time = domain.info()
    described = ElementTree.fromstring(domain.XMLDesc())  # noqa: S314 - written by libvirt
    return MachineDiagnostics(
        state=state,
        driver="libvirt",
        hypervisor=virt_type,
        hypervisor_os="linux",
        memory_maximum_kib=maximum_kib,
        memory_used_kib=used_kib,
        memory_statistics_kib=_memory(domain),
        cpus=tuple(_cpus(domain, vcpus)),
        nics=tuple(_nic(domain, element) for element in described.iterfind("devices/interface")),
        disks=tuple(_disk(domain, element) for element in described.iterfind("devices/disk")),
    )


def _memory(domain: Any) -> dict[str, int]:
    try:
        return dict(domain.memoryStats())
    except libvirt.libvirtError as error:
        if is_code(error, *UNCOUNTED):
            return {}
        raise


def _cpus(domain: Any, count: int) -> Iterator[CpuDiagnostics]:
    try:
        infos, _maps = domain.vcpus()
    except libvirt.libvirtError as error:
        if not is_code(error, *UNCOUNTED):
            raise
        infos = [(number, None, None, None) for number in range(count)]
    for number, _state, time_ns, _cpu in infos:
        yield CpuDiagnostics(id=number, time_ns=time_ns)


def _nic(domain: Any, element: ElementTree.Element) -> NicDiagnostics:
    """libvirt counts at the host's end, where what the guest sends comes in: it turns that round itself."""
    target, mac = element.find("target"), element.find("mac")
    device = target.get("dev") if target is not None else None
    address = mac.get("address") if mac is not None else None
    found = _counters(domain.interfaceStats, device, 8)
    rx_octets, rx_packets, rx_errors, rx_drop, tx_octets, tx_packets, tx_errors, tx_drop = found
    return NicDiagnostics(
        device=device,
        mac_address=address,
        rx_octets=rx_octets,
        rx_packets=rx_packets,
        rx_errors=rx_errors,
        rx_drop=rx_drop,
        tx_octets=tx_octets,
        tx_packets=tx_packets,
        tx_errors=tx_errors,
        tx_drop=tx_drop,
    )


def _disk(domain: Any, element: ElementTree.Element) -> DiskDiagnostics:
    target = element.find("target")
    device = target.get("dev") if target is not None else None
    read_requests, read_bytes, write_requests, write_bytes, errors = _counters(domain.blockStats, device, 5)
    return DiskDiagnostics(
        device=device,
        read_bytes=read_bytes,
        read_requests=read_requests,
        write_bytes=write_bytes,
        write_requests=write_requests,
        errors_count=errors,
    )


def _counters(call: Any, device: str | None, count: int) -> list[int | None]:
    """What libvirt counted of the device; it says -1 for what the hypervisor does not count."""
    nothing: list[int | None] = [None] * count
    if device is None:
        return nothing
    try:
        return [None if value < 0 else value for value in call(device)]
    except libvirt.libvirtError as error:
        if is_code(error, *UNCOUNTED, *GONE):
            return nothing
        raise
