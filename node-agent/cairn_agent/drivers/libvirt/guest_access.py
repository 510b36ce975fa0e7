"""Reaching into a guest: its password by the guest agent, its kernel by an NMI.

Nova API: POST /servers/{id}/action changePassword, trigger_crash_dump.
"""

from __future__ import annotations

from typing import Any

import libvirt

from cairn_agent.drivers.api import WrongPowerState
from cairn_agent.drivers.api_operations import GuestAgentMissing, OperationFailed
from cairn_agent.drivers.libvirt import domains
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_agent.drivers.libvirt.workshop import Machine
from cairn_crds.instance import PowerState

_NO_AGENT = (
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
)


async def set_password(machine: Machine, user: str, password_hash: str) -> None:
    """As `GuestAccess.set_password`. Raises OperationFailed for what the agent refuses (no such user)."""
    seconds = machine.workshop.settings.guest_agent_seconds

    def change(domain: Any) -> None:
        _check(domain, machine.instance_id, PowerState.RUNNING)
        try:
            domain.agentSetResponseTimeout(seconds)
            domain.setUserPassword(user, password_hash, libvirt.VIR_DOMAIN_PASSWORD_ENCRYPTED)
        except libvirt.libvirtError as error:
            message = error.get_error_message() or str(error)
            if is_code(error, *_NO_AGENT):
                raise GuestAgentMissing(
                    f"machine {machine.instance_id} runs no QEMU guest agent that answers ({message}): "
                    "install it, and give the image the property hw_qemu_guest_agent=yes"
                ) from error
            raise OperationFailed(f"the guest agent has not set the password: {message}") from error
        except (SystemError, UnicodeDecodeError) as error:
            # libvirt's message has the answer in it, and its binding wants text: the guest can send anything.
            raise GuestAgentMissing(
                f"what answers as the guest agent of machine {machine.instance_id} makes no sense"
            ) from error

    await machine.with_domain(change)


async def crash_dump(machine: Machine) -> None:
    """As `GuestAccess.crash_dump`."""

    def inject(domain: Any) -> None:
        _check(domain, machine.instance_id, PowerState.RUNNING, PowerState.PAUSED)
        domain.injectNMI(0)

    await machine.with_domain(inject)


def _check(domain: Any, instance_id: str, *states: PowerState) -> None:
    power = domains.power_state(domain)
    if power not in states:
        raise WrongPowerState(f"machine {instance_id} is {power}: start it first")
