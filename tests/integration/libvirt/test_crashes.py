"""An operation that is killed before any of its side effects is finished by the next agent."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from cairn_agent.drivers.api_operations import MachineOperation
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from contract.backends import NODE, Shape
from contract.libvirt_backends import LibvirtBackend
from contract.machines import Steps, operation, power, spawn
from integration.libvirt.crashes import survives

SMALL = {"vcpus": 1, "memory_mib": 32, "root_disk_gib": 1, "swap_mib": 1}
LARGE = {"vcpus": 2, "memory_mib": 48, "root_disk_gib": 2, "ephemeral_disk_gib": 1, "swap_mib": 2}


@dataclass(frozen=True)
class Case:
    """What there is before, what is done, and the power, size and disk that there are afterwards."""

    prepare: Callable[[LibvirtBackend, str, GuestSpec], Awaitable[None]]
    do: Callable[[LibvirtBackend, MachineOperation], Awaitable[object]]
    end: PowerState | None
    size: dict[str, int]
    text: str = "listening mine"


async def _nothing(backend: LibvirtBackend, instance_id: str, spec: GuestSpec) -> None:
    """There is no machine."""


async def _spawn(backend: LibvirtBackend, op: MachineOperation) -> None:
    await backend.driver.spawn(NODE, op.instance_id, op.spec, Steps())


async def _off(backend: LibvirtBackend, instance_id: str, spec: GuestSpec) -> None:
    await spawn(backend, instance_id, spec)
    backend.scribble(instance_id, "mine")


async def _running(backend: LibvirtBackend, instance_id: str, spec: GuestSpec) -> None:
    await _off(backend, instance_id, spec)
    await backend.driver.power_on(NODE, instance_id)


async def _rescued(backend: LibvirtBackend, instance_id: str, spec: GuestSpec) -> None:
    await _off(backend, instance_id, spec)
    await backend.driver.rescue(operation(instance_id, spec), backend.deaf)


async def _resized(backend: LibvirtBackend, instance_id: str, spec: GuestSpec) -> None:
    await _off(backend, instance_id, spec)
    await backend.driver.resize(operation(instance_id, spec.model_copy(update=LARGE)))
    backend.scribble(instance_id, "after")
    await backend.driver.power_on(NODE, instance_id)


ON, OFF = PowerState.RUNNING, PowerState.SHUTDOWN
CASES = {
    "spawn": Case(_nothing, _spawn, OFF, SMALL, "listening"),
    "delete": Case(_running, lambda b, op: b.driver.destroy(NODE, op.instance_id), None, SMALL),
    "rebuild": Case(_running, lambda b, op: b.driver.rebuild(op, Steps()), OFF, SMALL, "listening"),
    "rescue": Case(_running, lambda b, op: b.driver.rescue(op, b.deaf), ON, SMALL),
    "unrescue": Case(_rescued, lambda b, op: b.driver.unrescue(op), OFF, SMALL),
    "resize": Case(_off, lambda b, op: b.driver.resize(op), OFF, LARGE),
    "confirm": Case(_resized, lambda b, op: b.driver.confirm_resize(op), ON, LARGE, "listening mine after"),
    "revert": Case(_resized, lambda b, op: b.driver.revert_resize(op), OFF, SMALL),
}


async def _killed_anywhere(backend: LibvirtBackend, case: Case, **changes: object) -> None:
    """`changes`: to what the machine is."""
    for at in itertools.count(1):
        instance_id = str(uuid.uuid4())
        small = backend.spec(**SMALL, **changes)
        await case.prepare(backend, instance_id, small)
        op = operation(instance_id, small.model_copy(update=case.size))
        killed = await survives(lambda op=op: case.do(backend, op), at)  # type: ignore[misc]
        driver = await backend.restart()
        for _ in range(2):
            await case.do(backend, op)
            assert await power(driver, instance_id) is case.end, at
        if case.end is not None:
            await driver.power_off(NODE, instance_id, 0)
            _check(backend, instance_id, case)
            await driver.destroy(NODE, instance_id)
        assert backend.leftovers(instance_id, small) == [], at
        if not killed:
            assert at > 3
            return


def _check(backend: LibvirtBackend, instance_id: str, case: Case) -> None:
    size = case.size
    assert backend.shape(instance_id) == Shape(size["vcpus"], size["memory_mib"], size["root_disk_gib"])
    assert backend.disk_text(instance_id) == case.text
    files = backend.files(instance_id)
    assert files.ephemeral.exists() is ("ephemeral_disk_gib" in size)
    assert files.swap.stat().st_size == size["swap_mib"] * 1024**2
    assert not list(files.directory.glob("*.new"))


ONLY_REAL = {"snapshot": Case(_running, lambda b, op: b.driver.snapshot(op), ON, SMALL)}
"""What libvirt's in-memory hypervisor cannot do."""
REAL = ("spawn", "delete", "resize", "confirm", "revert", "snapshot")
"""What is tried on guests too; the others go through the same calls, and would take minutes."""


@pytest.mark.parametrize("name", CASES)
async def test_killed_anywhere_it_is_finished(in_memory: LibvirtBackend, name: str) -> None:
    await _killed_anywhere(in_memory, CASES[name])


@pytest.mark.qemu
@pytest.mark.parametrize("name", REAL)
async def test_killed_anywhere_it_is_finished_for_real_guests(qemu: LibvirtBackend, name: str) -> None:
    # These make and remove what belongs to an interface; the others leave it alone.
    bare = {} if name in ("spawn", "delete") else {"networks": []}
    await _killed_anywhere(qemu, (CASES | ONLY_REAL)[name], **bare)
