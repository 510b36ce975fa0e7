"""What happens to hosts and resources behind Cairn's back, at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cairn_crds import ComputeNode, Guest, Instance
from cairn_crds.instance import PowerState
from cairn_database import VmState, instances
from faults.actors import Play


async def lose_instance(play: Play) -> str | None:
    """Somebody takes the finalizer off and deletes the resource: the row stays."""
    body = play.some()
    if body is None or "deletionTimestamp" in body["metadata"]:
        return None
    name = body["metadata"]["name"]
    play.world.change(Instance, name, {"metadata": {"finalizers": None}})
    if play.world.instance(name) is None:
        return None
    play.touched.add(body["metadata"]["uid"])  # one without a row was just deleted
    play.world.remove(Instance, name)
    return f"lose Instance {name}"


async def lose_guest(play: Play) -> str | None:
    """An administrator deletes a Guest."""
    found = list(play.world.server.bodies("guests"))
    if not found:
        return None
    metadata = play.rng.choice(found)["metadata"]
    play.world.remove(Guest, metadata["name"], metadata["namespace"])
    return f"lose Guest {metadata['name']}"


async def stop_outside(play: Play) -> str | None:
    """The guest shuts itself down, or its process dies."""
    return _outside(play, lambda driver, machine: driver.stop(machine.instance_id), "stop")


async def crash_outside(play: Play) -> str | None:
    """The machine's process dies."""
    return _outside(play, lambda driver, machine: driver.crash(machine.instance_id), "crash")


async def start_outside(play: Play) -> str | None:
    """virsh start. Not of what moves: what a migration has shut down is not for anybody to start. Nor of what
    is soft-deleted: that is wanted off, and switched off at the next order to its host."""
    left_alone = await _moving(play) | set(play.ids(VmState.SOFT_DELETED))

    def start(driver: Any, machine: Any) -> None:
        is_off = machine.power_state in (PowerState.SHUTDOWN, PowerState.CRASHED)
        if is_off and machine.instance_id not in left_alone:
            machine.boot()
            driver._changed(machine)

    return _outside(play, start, "start")


async def _moving(play: Play) -> set[str]:
    return {record.id for record in await instances.list_live(play.world.db, limit=1000) if record.move}


async def undefine_outside(play: Play) -> str | None:
    """virsh undefine: the disks stay. Not of what moves: that is found out when the move's time is up."""
    moving = await _moving(play)

    def undefine(driver: Any, machine: Any) -> None:
        if machine.instance_id not in moving:
            driver.undefine(machine.instance_id)

    return _outside(play, undefine, "undefine")


async def remove_outside(play: Play) -> str | None:
    """Somebody removes the machine with its disks. Not of what moves, as above."""
    moving = await _moving(play)

    def remove(driver: Any, machine: Any) -> None:
        if machine.instance_id not in moving:
            driver._nodes[machine.node].pop(machine.instance_id)
            driver._tell(machine)

    return _outside(play, remove, "remove")


def _outside(play: Play, act: Callable[[Any, Any], None], what: str) -> str | None:
    hosts = [host for name, host in play.world.hosts.items() if name not in play.world.lost_hosts]
    found = [(host.driver, machine) for host in hosts for machine in host.machines() if machine.complete]
    if not found:
        return None
    driver, machine = play.rng.choice(found)
    play.touched.add(machine.instance_id)
    play.world.trace.add(f"{what} machine {machine.instance_id} outside")
    act(driver, machine)
    return f"{what} {machine.instance_id} outside"


async def reboot_host(play: Play) -> str | None:
    """Power failure of a host."""
    name = play.rng.choice(list(play.world.hosts))
    for machine in play.world.hosts[name].machines():
        play.touched.add(machine.instance_id)
    play.world.reboot_host(name)
    return f"reboot host {name}"


async def disable_host(play: Play) -> str | None:
    """An administrator takes a host out, or back in."""
    name = play.rng.choice(list(play.world.hosts))
    disabled = play.rng.random() < 0.3
    play.world.change(ComputeNode, name, {"spec": {"disabled": disabled}})
    return f"host {name} disabled: {disabled}"
