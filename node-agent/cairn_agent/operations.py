"""Does a Guest's operation: which driver calls it takes, and what to say of it.

An operation runs until it is done, has failed for good, or is not wanted any more: the Guest is watched
meanwhile, so that a deletion need not wait for a long copy and a live migration hears of an abort.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import structlog

from cairn_agent.drivers.api import DriverError, MachineNotFound, StepReporter, WrongPowerState
from cairn_agent.drivers.api_operations import DiskSource, MachineOperation, OperationFailed
from cairn_agent.drivers.driver import Driver
from cairn_crds import Guest
from cairn_crds.guest_operation import (
    GuestOperation,
    GuestOperationStatus,
    OperationKind,
    OperationPhase,
    OperationProgress,
    Upload,
)
from cairn_crds.instance import PowerState
from cairn_crds.peer import Peer
from cairn_runtime.store import Key, Store

log = structlog.get_logger()
LOOK_SECONDS = 0.2
"""How often a running operation looks whether it is still wanted."""
Result = dict[str, str]


class Transfers(Protocol):
    """Files to and from elsewhere. Each raises DriverError."""

    async def upload(self, upload: Upload, path: Path, disk_format: str) -> Result:
        """Put an image where `upload` says; its `sha256` and `sizeBytes`."""

    async def disks(self, peer: Peer, instance_id: str, operation_id: str) -> list[str]:
        """The names of the disks that the other host hands over."""

    async def fetch(self, peer: Peer, instance_id: str, operation_id: str, name: str, path: Path) -> None:
        """Bring one of them into `path`; goes on where an earlier try has ended."""


class Superseded(Exception):
    """The operation is not wanted any more: the Guest has gone, or says something else."""


ProgressWriter = Callable[[OperationProgress], Awaitable[None]]


class Operations:
    """The operations of one agent."""

    def __init__(
        self, driver: Driver, transfers: Transfers, guests: Store[Guest], graceful_seconds: float
    ) -> None:
        self._driver = driver
        self._transfers = transfers
        self._guests = guests
        self._graceful_seconds = graceful_seconds

    async def run(
        self, guest: Guest, node: str, report: StepReporter, progress: ProgressWriter
    ) -> GuestOperationStatus:
        """Do it; Done or Failed. Raises Superseded, and DriverError where trying again may help."""
        wanted = guest.spec.operation
        assert wanted is not None  # noqa: S101 - the caller looked
        operation = MachineOperation(node, guest.instance_id, wanted.id, guest.spec)
        work = self._work(wanted, operation, report, progress)
        try:
            result = await self._follow((guest.metadata.namespace or "", guest.metadata.name), wanted, work)
        except DriverError as error:
            if not error.permanent:
                raise
            log.warning("operation.failed", kind=wanted.kind, reason=error.reason, error=str(error))
            return GuestOperationStatus(
                id=wanted.id, phase=OperationPhase.FAILED, reason=error.reason, message=str(error)[:1024]
            )
        log.info("operation.done", kind=wanted.kind, operation=wanted.id)
        return GuestOperationStatus(id=wanted.id, phase=OperationPhase.DONE, result=result)

    async def _work(
        self,
        wanted: GuestOperation,
        operation: MachineOperation,
        report: StepReporter,
        progress: ProgressWriter,
    ) -> Result:
        driver = self._driver
        match wanted.kind:
            case OperationKind.REBUILD:
                await driver.rebuild(operation, report)
            case OperationKind.RESCUE:
                await driver.rescue(operation, wanted.image or operation.spec.image)
            case OperationKind.UNRESCUE:
                await driver.unrescue(operation)
            case OperationKind.SNAPSHOT:
                return await self._snapshot(wanted, operation)
            case OperationKind.SET_PASSWORD:
                await self._set_password(wanted, operation)
            case OperationKind.RESIZE:
                await self._shut_down(wanted, operation)
                await driver.resize(operation)
            case OperationKind.CONFIRM_RESIZE:
                await driver.confirm_resize(operation)
            case OperationKind.REVERT_RESIZE:
                await driver.revert_resize(operation)
            case OperationKind.RELEASE_DISKS:
                await self._shut_down(wanted, operation)
            case OperationKind.FETCH_DISKS:
                await self._fetch_disks(wanted, operation, report)
            case OperationKind.PREPARE_INCOMING:
                return {"address": await driver.prepare_incoming(operation, report)}
            case OperationKind.LIVE_MIGRATE:
                return await self._live_migrate(wanted, operation, progress)
        return {}

    async def _snapshot(self, wanted: GuestOperation, operation: MachineOperation) -> Result:
        if wanted.upload is None:
            raise OperationFailed("the snapshot has no place to go to")
        if wanted.shut_down:
            await self._shut_down(wanted, operation)
        image = await self._driver.snapshot(operation)
        result = await self._transfers.upload(wanted.upload, image.path, image.disk_format)
        await self._driver.drop_snapshot(operation)
        return {**result, "diskFormat": image.disk_format}

    async def _set_password(self, wanted: GuestOperation, operation: MachineOperation) -> None:
        if wanted.password is None:
            raise OperationFailed("there is no password to set")
        password = wanted.password
        await self._driver.set_password(operation.node, operation.instance_id, password.user, password.hash)

    async def _shut_down(self, wanted: GuestOperation, operation: MachineOperation) -> None:
        machine = await self._driver.get(operation.node, operation.instance_id)
        if machine is None or machine.power_state is PowerState.SHUTDOWN:
            return
        seconds = self._graceful_seconds if wanted.graceful_seconds is None else wanted.graceful_seconds
        await self._driver.power_off(operation.node, operation.instance_id, seconds)

    async def _fetch_disks(
        self, wanted: GuestOperation, operation: MachineOperation, report: StepReporter
    ) -> None:
        peer = wanted.peer
        if peer is None:
            raise OperationFailed("nothing says which host has the disks")
        instance_id = operation.instance_id

        async def fetch(name: str, path: Path) -> None:
            await self._transfers.fetch(peer, instance_id, operation.id, name, path)

        names = await self._transfers.disks(peer, instance_id, operation.id)
        await self._driver.import_disks(operation, DiskSource(names, fetch), report)

    async def _live_migrate(
        self, wanted: GuestOperation, operation: MachineOperation, progress: ProgressWriter
    ) -> Result:
        if wanted.destination is None:
            raise OperationFailed("nothing says where to migrate to")
        try:
            outcome = await self._driver.live_migrate(operation, wanted.destination, progress)
        except (WrongPowerState, MachineNotFound) as error:
            # Somebody has shut it down or undefined it meanwhile; nobody would start it while it is to move.
            raise OperationFailed(str(error)) from error
        except DriverError as error:
            if error.permanent and await self._has_left(operation):
                raise DriverError(str(error)) from error  # asked once more, the driver says how it went
            raise
        return {} if outcome.downtime_ms is None else {"downtimeMs": str(outcome.downtime_ms)}

    async def _has_left(self, operation: MachineOperation) -> bool:
        """Whether the machine is not whole here any more: then it may run on the other host, whatever the
        error says."""
        machine = await self._driver.get(operation.node, operation.instance_id)
        return machine is not None and not machine.complete

    async def _follow(self, key: Key, wanted: GuestOperation, work: Coroutine[Any, Any, Result]) -> Result:
        """Await `work`, with an eye on the Guest."""
        task = asyncio.ensure_future(work)
        hurried = False
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=LOOK_SECONDS)
                if done:
                    return task.result()
                hurried = await self._look(key, wanted, hurried)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _look(self, key: Key, wanted: GuestOperation, hurried: bool) -> bool:
        """Pass on what has been asked for meanwhile; whether it has been told to hurry. Raises Superseded."""
        guest = self._guests.get(*key)
        now = guest.spec.operation if guest is not None and not guest.spec.absent else None
        live = wanted.kind is OperationKind.LIVE_MIGRATE
        node, instance_id = key[0].removeprefix("cairn-node-"), key[1]
        if now is None or now.id != wanted.id:
            if not live:
                raise Superseded
            now = wanted.model_copy(
                update={
                    "destination": wanted.destination
                    and wanted.destination.model_copy(update={"abort": True})
                }
            )
        if not live or now.destination is None:
            return False
        if now.destination.abort:  # again and again: it may not have begun yet when it is told first
            await self._driver.abort_live_migration(node, instance_id)
        if now.destination.force_complete and not hurried:
            await self._driver.force_live_migration(node, instance_id)
        return hurried or now.destination.force_complete
