"""Power changes of one domain. The functions block; `Power` waits for guests in the event loop."""

from __future__ import annotations

import asyncio
from typing import Any

import libvirt

from cairn_agent.drivers.api import WrongPowerState
from cairn_agent.drivers.libvirt import domains
from cairn_agent.drivers.libvirt.connection import Connection
from cairn_agent.drivers.libvirt.errors import is_code
from cairn_agent.drivers.libvirt.events import Changes
from cairn_crds.instance import PowerState

ASK_AGAIN_SECONDS = 10
"""A guest that is still booting does not hear the first request (Nova: shutdown_retry_interval)."""


def start(connection: Any, node: str, instance_id: str) -> None:
    """RUNNING afterwards, whatever it was."""
    domain = domains.require(connection, node, instance_id)
    power = domains.power_state(domain)
    if power is PowerState.RUNNING:
        return
    if power is not PowerState.PAUSED:
        domain.create()
    # A machine that was saved while it was paused comes back paused.
    if domains.power_state(domain) is PowerState.PAUSED:
        domain.resume()


def pull_plug(connection: Any, node: str, instance_id: str) -> None:
    """SHUTDOWN afterwards, at once."""
    domain = domains.require(connection, node, instance_id)
    power = domains.power_state(domain)
    if power is PowerState.SUSPENDED:
        domain.managedSaveRemove()
    elif power is PowerState.CRASHED:
        # libvirt says "crashed" until the next start: start it, without letting it run, and stop it.
        domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        domain.destroy()
    elif power is not PowerState.SHUTDOWN:
        _unless_off(domain.destroy)


def pause(connection: Any, node: str, instance_id: str) -> None:
    """PAUSED afterwards."""
    domain = domains.require(connection, node, instance_id)
    power = domains.power_state(domain)
    if power is PowerState.RUNNING:
        domain.suspend()
    elif power is not PowerState.PAUSED:
        raise WrongPowerState(f"machine {instance_id} is {power}: only a running one pauses")


def suspend(connection: Any, node: str, instance_id: str) -> None:
    """SUSPENDED afterwards."""
    domain = domains.require(connection, node, instance_id)
    power = domains.power_state(domain)
    if power in {PowerState.RUNNING, PowerState.PAUSED}:
        domain.managedSave()
    elif power is not PowerState.SUSPENDED:
        raise WrongPowerState(f"machine {instance_id} is {power}: only a running one suspends")


def reset(connection: Any, node: str, instance_id: str) -> None:
    """RUNNING afterwards, from the start: memory, saved memory too, is lost."""
    domain = domains.require(connection, node, instance_id)
    power = domains.power_state(domain)
    if power is PowerState.SUSPENDED:
        domain.managedSaveRemove()
    if power in {PowerState.RUNNING, PowerState.PAUSED}:
        domain.reset()
    start(connection, node, instance_id)


def ask_to_shut_down(connection: Any, node: str, instance_id: str) -> bool:
    """Press the power button; False when the machine is off already."""
    domain = domains.require(connection, node, instance_id)
    if domains.power_state(domain) is not PowerState.RUNNING:
        return False
    return _unless_off(domain.shutdown)


def _unless_off(call: Any) -> bool:
    """Call; False where the machine went off by itself just before."""
    try:
        call()
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_OPERATION_INVALID):
            return False
        raise
    return True


class GracefulPower:
    """Shutting down with the guest's help."""

    def __init__(self, connection: Connection, changes: Changes) -> None:
        self._connection = connection
        self._changes = changes

    async def shut_down(self, node: str, instance_id: str, seconds: float) -> None:
        """Ask a running guest to shut down and wait up to `seconds` until it no longer runs."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        ask_at = loop.time()
        with self._changes.watching(instance_id) as changed:
            while True:
                changed.clear()
                if loop.time() >= ask_at:
                    running = await self._connection.run(lambda c: ask_to_shut_down(c, node, instance_id))
                    ask_at = loop.time() + ASK_AGAIN_SECONDS
                else:
                    running = await self._connection.run(lambda c: _is_running(c, node, instance_id))
                remaining = deadline - loop.time()
                if not running or remaining <= 0:
                    return
                try:
                    async with asyncio.timeout(min(remaining, max(0.0, ask_at - loop.time()))):
                        await changed.wait()
                except TimeoutError:
                    continue


def _is_running(connection: Any, node: str, instance_id: str) -> bool:
    return domains.power_state(domains.require(connection, node, instance_id)) is PowerState.RUNNING
