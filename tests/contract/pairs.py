"""Two hypervisors, and how a machine's disks get from one to the other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cairn_agent.drivers.api_operations import DiskSource, MachineOperation
from cairn_crds.guest import GuestSpec
from cairn_crds.guest_operation import LiveDestination
from cairn_crds.instance import PowerState
from contract.backends import NODE, Backend
from contract.disks import run
from contract.machines import Steps

THERE = "node-2"


@dataclass
class Pair:
    """A machine's host, and another one."""

    source: Backend
    destination: Backend

    async def __aenter__(self) -> Self:
        self.destination.node = THERE
        await self.source.open()
        await self.destination.open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.destination.close()
        await self.source.close()

    async def disks(self, instance_id: str, operation_id: str) -> Courier:
        """The disks that the source hands out."""
        exported = await self.source.driver.export_disks(NODE, instance_id, operation_id)
        return Courier({disk.name: disk.path for disk in exported})

    async def slow_machine(self, instance_id: str) -> GuestSpec:
        """A running machine whose migration ends only when it is forced or aborted."""
        spec = self.source.spec(image=self.source.counting)
        await self.source.driver.spawn(NODE, instance_id, spec, Steps())
        self.source.slow_down(instance_id)
        await self.source.driver.power_on(NODE, instance_id)
        await self.source.started(instance_id)
        return spec

    async def power_there(self, instance_id: str) -> PowerState | None:
        """At the destination; None where there is no machine or a part of one."""
        state = await self.destination.driver.get(THERE, instance_id)
        return state.power_state if state is not None and state.complete else None


class Lost(Exception):
    """The connection broke."""


@dataclass
class Courier:
    """Carries disks, and can be stopped half-way."""

    paths: dict[str, Path]
    lose: Sequence[str] = ()
    """The names of disks that do not come through."""
    carried: list[str] = field(default_factory=list)

    @property
    def source(self) -> DiskSource:
        return DiskSource(tuple(self.paths), self._fetch)

    async def _fetch(self, name: str, target: Path) -> None:
        await asyncio.to_thread(self._carry, name, target)

    def _carry(self, name: str, target: Path) -> None:
        if name in self.lose:
            content = self.paths[name].read_bytes()
            target.write_bytes(content[: len(content) // 2])
            raise Lost
        run("cp", "--sparse=always", self.paths[name], target)
        self.carried.append(name)


def arrival(instance_id: str, spec: GuestSpec) -> MachineOperation:
    """An operation at the destination, of a later epoch."""
    later = spec.model_copy(update={"fencing_epoch": spec.fencing_epoch + 1})
    return MachineOperation(THERE, instance_id, str(uuid.uuid4()), later)


def destination(address: str, *, copy_disks: bool = True) -> LiveDestination:
    """Where a live migration goes."""
    return LiveDestination(host=THERE, address=address, copy_disks=copy_disks)
