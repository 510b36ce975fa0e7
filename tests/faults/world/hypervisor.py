"""The hosts: hypervisors that outlive their agents, and what happens to them behind Cairn's back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cairn_agent.drivers.api import DriverError, EventSink, MachineEvent, NetworkFailed, NoSpace
from cairn_agent.drivers.fake import FakeDriver
from cairn_agent.drivers.faults import Faults as DriverFaults
from cairn_agent.drivers.settings import FakeCapacity, FakeSettings
from cairn_crds.instance import PowerState
from faults.world.mishaps import Gates
from faults.world.process import Process
from faults.world.transport import MemoryWire, Wires

CALL_SECONDS = 0.03
QUICK = ("get", "machines", "inventory", "healthy")
QUICK_SECONDS = 0.002


class Host:
    """One host and its machines."""

    def __init__(
        self, name: str, capacity: FakeCapacity, gates: Gates, directory: Path, wires: Wires
    ) -> None:
        self.name = name
        self.gates = gates
        self.driver = FakeDriver(FakeSettings(capacity=capacity), MemoryWire(wires))
        self.driver.faults = StepGates(self)
        self.boots = 0
        self.boot_id_file = directory / f"boot-id-{name}"
        self.on_call: Callable[[], None] = lambda: None
        self.boot()

    def boot(self) -> None:
        """The host starts (again): nothing of it runs yet."""
        self.boots += 1
        self.boot_id_file.write_text(f"{self.name} {self.boots}")
        for machine in self.machines():
            if machine.complete:
                machine.power_state = PowerState.SHUTDOWN

    def machines(self) -> Iterator[Any]:
        """The machines, as the fake driver keeps them."""
        return iter(list(self.driver._nodes.get(self.name, {}).values()))

    def machine(self, instance_id: str) -> Any:
        """One of them, or None."""
        return self.driver._nodes.get(self.name, {}).get(instance_id)

    def failure(self) -> DriverError:
        """What a call that fails by chance says; one in a few for good."""
        dice = self.gates.rng.random()
        if dice < 0.15:
            return NoSpace("the host's disk is full")
        if dice < 0.4:
            return NetworkFailed("the guest network could not be made")
        return DriverError("the hypervisor does not answer")


class HostDriver:
    """What an agent has in place of its driver: each call may be its last."""

    def __init__(self, host: Host, process: Process) -> None:
        self._host = host
        self._process = process

    async def open(self, sink: EventSink) -> None:
        """Events arrive in the agent's own time."""
        process = self._process

        def tell(event: MachineEvent) -> None:
            process.context.copy().run(_later, sink, event)

        await self._host.driver.open(tell)

    async def close(self) -> None:
        """The machines run on."""
        await self._host.driver.close()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._host.driver, name)
        return partial(self._call, name, value) if inspect.iscoroutinefunction(value) else value

    async def _call(self, name: str, method: Callable[..., Any], *arguments: Any) -> Any:
        host = self._host
        note = " ".join(item for item in arguments if isinstance(item, str))

        async def act() -> Any:
            try:
                return await method(*arguments)
            finally:
                host.on_call()

        seconds = QUICK_SECONDS if name in QUICK else CALL_SECONDS
        failure = _busy if name in QUICK else host.failure
        return await host.gates.cross(f"driver.{name}", act, failure, seconds, note)


def _later(sink: EventSink, event: MachineEvent) -> None:
    import asyncio

    asyncio.get_running_loop().call_soon(sink, event)


def _busy() -> DriverError:
    return DriverError("the hypervisor does not answer")


class StepGates(DriverFaults):
    """Lets the steps of a spawn be gates of their own; whole calls have theirs already."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    async def meet(self, call: str) -> None:
        await super().meet(call)
        if "." in call:
            self._host.on_call()
            await self._host.gates.cross(f"driver.{call}", _nothing, self._host.failure, CALL_SECONDS)


async def _nothing() -> None:
    return None
