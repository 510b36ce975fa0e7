"""Finding Cairn's domains and reading their state. All functions block."""

from __future__ import annotations

import contextlib
from typing import Any

import libvirt

from cairn_agent.drivers.api import MachineNotFound, MachineState
from cairn_agent.drivers.libvirt.domain_xml import MACHINE_NAMESPACE, Ownership
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_crds.instance import PowerState

_STATES: dict[int, PowerState] = {
    libvirt.VIR_DOMAIN_NOSTATE: PowerState.NO_STATE,
    libvirt.VIR_DOMAIN_RUNNING: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.RUNNING,  # on its way down, and not there yet
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
}
_BY_REASON: dict[tuple[int, int], PowerState] = {
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): PowerState.CRASHED,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP): PowerState.SHUTDOWN,
    # About to run elsewhere, or running there while its memory follows.
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION): PowerState.RUNNING,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY): PowerState.RUNNING,
}


def find(connection: Any, instance_id: str) -> Any:
    """The domain with that UUID, whoever made it; None where there is none."""
    try:
        return connection.lookupByUUIDString(instance_id)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def ownership(domain: Any) -> Ownership | None:
    """What Cairn wrote into the domain; None where it is somebody else's, or gone."""
    try:
        return Ownership.parse(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, MACHINE_NAMESPACE))
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise


def find_owned(connection: Any, node: str, instance_id: str) -> Any:
    """The node's domain, complete or not; None where there is none or it is somebody else's."""
    domain = find(connection, instance_id)
    owner = ownership(domain) if domain is not None else None
    return domain if owner is not None and owner.node == node else None


def require(connection: Any, node: str, instance_id: str) -> Any:
    """The node's complete domain. Raises MachineNotFound."""
    domain = find(connection, instance_id)
    owner = ownership(domain) if domain is not None else None
    if owner is None or owner.node != node or not owner.complete or is_arriving(domain):
        raise MachineNotFound(f"no machine {instance_id} on {node}")
    return domain


def is_arriving(domain: Any) -> bool:
    """Whether it is the receiving end of a live migration: not a machine yet, and never to be touched."""
    return domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED and not domain.isPersistent()


def power_state(domain: Any) -> PowerState:
    """Nova's power state; a domain that is off with saved memory is SUSPENDED."""
    return _power_state(domain, *domain.state())


def _power_state(domain: Any, state: int, reason: int) -> PowerState:
    power = _BY_REASON.get((state, reason), _STATES.get(state, PowerState.NO_STATE))
    if state == libvirt.VIR_DOMAIN_SHUTOFF and domain.hasManagedSaveImage():
        return PowerState.SUSPENDED
    return power


def machine_state(connection: Any, node: str, instance_id: str) -> MachineState | None:
    """The machine, as far as there is a domain for it."""
    domain = find(connection, instance_id)
    return _describe(domain, node) if domain is not None else None


def machine_states(connection: Any, node: str) -> list[MachineState]:
    """All of the node's machines that have a domain."""
    states = (_describe(domain, node) for domain in connection.listAllDomains())
    return [state for state in states if state is not None]


def owners(connection: Any) -> dict[str, str]:
    """Instance id to node, for all of Cairn's domains."""
    found = ((domain.UUIDString(), ownership(domain)) for domain in connection.listAllDomains())
    return {instance_id: owner.node for instance_id, owner in found if owner is not None}


def _describe(domain: Any, node: str) -> MachineState | None:
    owner = ownership(domain)
    if owner is None or owner.node != node:
        return None
    try:
        state, reason = domain.state()
        if state == libvirt.VIR_DOMAIN_PAUSED and not domain.isPersistent():
            return MachineState(domain.UUIDString(), PowerState.NO_STATE, owner.fencing_epoch, complete=False)
        power = _power_state(domain, state, reason)
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
            return None  # undefined between two calls
        raise
    return MachineState(domain.UUIDString(), power, owner.fencing_epoch, owner.complete)


def remove(connection: Any, node: str, instance_id: str) -> None:
    """Stop and undefine the node's domain, with its saved memory and snapshots; nothing where it is not."""
    domain = find_owned(connection, node, instance_id)
    if domain is None:
        return
    with _already(libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
        if domain.isActive():
            domain.destroy()
    with _already(libvirt.VIR_ERR_NO_DOMAIN):
        if domain.isPersistent():
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            )


@contextlib.contextmanager
def _already(*codes: int) -> Any:
    """Lets errors pass that say it is already so."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not is_code(error, *codes):
            raise
