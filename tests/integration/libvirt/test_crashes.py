"""An operation that is killed before any of its side effects is finished by the next agent."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Awaitable, Callable

import pytest

from cairn_agent.drivers.api_operations import MachineOperation
from cairn_crds.guest import GuestSpec
from cairn_crds.instance import PowerState
from contract.backends import NODE, LibvirtTestBackend, Shape
from contract.machines import Steps, operation, power, spawn
from integration.libvirt.crashes import survives

SMALL = {"vcpus": 1, "memory_mib": 32, "root_disk_gib": 1, "swap_mib": 1}
LARGE = {"vcpus": 2, "memory_mib": 48, "root_disk_gib": 2, "ephemeral_disk_gib": 1, "swap_mib": 2}

Prepare = Callable[[LibvirtTestBackend, str, GuestSpec], Awaitable[None]]
Do = Callable[[LibvirtTestBackend, MachineOperation], Awaitable[object]]


async def _running(backend: LibvirtTestBackend, instance_id: str, spec: GuestSpec) -> None:
    await backend.driver.power_on(NODE, instance_id)


async def _rescued(backend: LibvirtTestBackend, instance_id: str, spec: GuestSpec) -> None:
    await backend.driver.rescue(operation(instance_id, spec), backend.deaf)


async def _resized(backend: LibvirtTestBackend, instance_id: str, spec: GuestSpec) -> None:
    await backend.driver.resize(operation(instance_id, spec.model_copy(update=LARGE)))
    backend.scribble(instance_id, "after")
    await backend.driver.power_on(NODE, instance_id)


async def _nothing(backend: LibvirtTestBackend, instance_id: str, spec: GuestSpec) -> None:
    """It is off."""


ON, OFF = PowerState.RUNNING, PowerState.SHUTDOWN
Case = tuple[Prepare, Do, dict[str, int], PowerState, str]
CASES: dict[str, Case] = {
    "rebuild": (_running, lambda b, op: b.driver.rebuild(op, Steps()), SMALL, OFF, "listening"),
    "rescue": (_running, lambda b, op: b.driver.rescue(op, b.deaf), SMALL, ON, "listening mine"),
    "unrescue": (_rescued, lambda b, op: b.driver.unrescue(op), SMALL, OFF, "listening mine"),
    "resize": (_nothing, lambda b, op: b.driver.resize(op), LARGE, OFF, "listening mine"),
    "confirm": (_resized, lambda b, op: b.driver.confirm_resize(op), LARGE, ON, "listening mine after"),
    "revert": (_resized, lambda b, op: b.driver.revert_resize(op), SMALL, OFF, "listening mine"),
}
"""What there is before, what is done, and the size, power and disk that there are afterwards."""


@pytest.mark.parametrize("name", CASES)
async def test_killed_anywhere_it_is_finished(in_memory: LibvirtTestBackend, name: str) -> None:
    prepare, do, size, end, text = CASES[name]
    for at in itertools.count(1):
        instance_id = str(uuid.uuid4())
        small = await spawn(in_memory, instance_id, in_memory.spec(**SMALL))
        in_memory.scribble(instance_id, "mine")
        await prepare(in_memory, instance_id, small)
        op = operation(instance_id, small.model_copy(update=size))
        killed = await survives(lambda op=op: do(in_memory, op), at)  # type: ignore[misc]
        driver = await in_memory.restart()
        for _ in range(2):
            await do(in_memory, op)
            assert await power(driver, instance_id) is end, at
        shape = Shape(size["vcpus"], size["memory_mib"], size["root_disk_gib"])
        assert in_memory.shape(instance_id) == shape, at
        assert in_memory.disk_text(instance_id) == text, at
        files = in_memory.files(instance_id)
        assert files.ephemeral.exists() is ("ephemeral_disk_gib" in size), at
        assert files.swap.stat().st_size == size["swap_mib"] * 1024**2, at
        assert not list(files.directory.glob("*.new")), at
        await driver.destroy(NODE, instance_id)
        assert in_memory.leftovers(instance_id, small) == [], at
        if not killed:
            assert at > 3
            return
