"""Brings one Guest and its machine together: decide, do, report.

The Guest's status is written when it changes, once for a quick boot. A driver error becomes the status'
fault; one that may pass is tried again with back-off, a permanent one waits for another spec.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import structlog

from cairn_agent import swaps
from cairn_agent.converge import (
    Call,
    Clear,
    Decision,
    Enforce,
    Missing,
    Operate,
    Refuse,
    Remove,
    Report,
    Spawn,
    Swap,
    TakeIn,
    Wait,
    decide,
    power_calls,
)
from cairn_agent.drivers.api import Capability, DriverError, MachineState, Step
from cairn_agent.drivers.driver import Driver
from cairn_agent.let_go import Late, LetGo
from cairn_agent.limits import Limits
from cairn_agent.metrics import DRIVER_FAILURES, timed, timed_steps
from cairn_agent.operations import Operations, Superseded, Transfers
from cairn_agent.orders import is_current
from cairn_agent.settings import AgentSettings
from cairn_crds import Guest, GuestStatus
from cairn_crds.guest import GuestFault, GuestPhase, GuestSwap
from cairn_crds.guest_operation import GuestOperationStatus, OperationKind, OperationPhase, OperationProgress
from cairn_crds.instance import PowerState
from cairn_runtime.kubernetes import Conflict, Kubernetes, KubernetesError, NotFound, merge_diff
from cairn_runtime.logs import log_context
from cairn_runtime.store import Key, Store
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
PLUGS = frozenset({Capability.ATTACH_INTERFACE, Capability.ATTACH_VOLUME})
"""What a driver that changes devices can do, one or the other."""
CLOSED_LOOK_AGAIN = 2.0
"""Seconds until the next look while a node is fenced."""
NODE_PREFIX = "cairn-node-"


class GuestReconciler:
    """The Guests' queue and what is done for each."""

    def __init__(
        self,
        settings: AgentSettings,
        kubernetes: Kubernetes,
        driver: Driver,
        guests: Store[Guest],
        transfers: Transfers,
        *,
        is_closed: Callable[[str], bool] = lambda _node: False,
    ) -> None:
        """`is_closed`: whether nothing may be done on a node now (`self_fence.py`)."""
        self._settings = settings
        self._kubernetes = kubernetes
        self._is_closed = is_closed
        self._driver = driver
        self._guests = guests
        self._operations = Operations(driver, transfers, guests, settings.graceful_seconds)
        self._let_go: dict[Key, str] = {}
        """The uids of Guests that have been deleted and are still seen."""
        self._fences = {node: LetGo(node, settings.state_directory) for node in settings.nodes}
        self._boot_id = hashlib.sha256(settings.boot_id_file.read_bytes()).hexdigest()[:16]
        self.queue: WorkQueue[Key] = WorkQueue(
            "guests",
            self.reconcile,
            concurrency=settings.concurrency,
            longest_delay=30.0,
            expected=(KubernetesError, DriverError),
        )
        self.limits = Limits(settings, self.queue.add)

    async def reconcile(self, key: Key) -> float | None:
        """One look at one Guest."""
        guest = self._guests.get(*key)
        if guest is None:
            self.queue.forget(key)
            self.limits.forget(key)
            self._let_go.pop(key, None)
            return None
        if self._is_closed(node_of(key)):
            return CLOSED_LOOK_AGAIN
        ids = {"instance_id": guest.instance_id, "request_id": guest.spec.request_id}
        with log_context(**ids, node=node_of(key)):
            try:
                await self._converge(guest, node_of(key))
            except DriverError as error:
                self.limits.forget(key)
                await self._report_fault(guest, error)
                if not error.permanent or guest.spec.absent:
                    raise  # nothing but removing it ends a removal
        if not swaps.are_wanted(guest):
            return None
        after = self._guests.get(*key)
        return swaps.SWAP_LOOK_AGAIN if after is not None and swaps.are_running(after) else None

    async def _converge(self, guest: Guest, node: str) -> None:
        instance_id = guest.instance_id
        machine = await self._driver.get(node, instance_id)
        if machine is None:
            self._require_newer(guest, node)
        step = decide(guest, machine, self._boot_id if self._settings.resume_guests else None)
        key = (guest.metadata.namespace or "", guest.metadata.name)
        with self.limits.turn(key, guest, step) as may_begin:
            if may_begin:
                await self._do(step, guest, machine, node)

    async def _do(self, step: Decision, guest: Guest, machine: MachineState | None, node: str) -> None:
        makes = isinstance(step, Clear | Spawn) or (machine is None and isinstance(step, Operate))
        if makes and not await is_current(self._kubernetes, self._guests, guest):
            return
        match step:
            case Remove():
                await self._remove(guest, node)
            case Wait():
                await self._report_power(guest, machine)
            case Missing():
                await self._report(guest, phase=GuestPhase.MISSING, power_state=PowerState.NO_STATE)
            case Refuse():
                log.error("guest.stale_epoch", epoch=guest.spec.fencing_epoch)
            case Clear():
                log.warning("guest.left_over", epoch=machine.fencing_epoch if machine else None)
                with timed("destroy"):
                    await self._driver.destroy(node, guest.instance_id)
                await self._converge(guest, node)
            case Operate():
                await self._operate(guest, node)
            case Spawn():
                await self._spawn(guest, node)
                await self._enforce(guest, node, reboot=False)
            case Enforce(reboot):
                await self._enforce(guest, node, reboot=reboot)
            case TakeIn():
                await self._take_in(guest, node)
            case Swap():
                swapped = await swaps.advance(self._driver, guest, node)
                await self._report_machine(guest, machine, swapped=swapped)
            case Report():
                await self._report_machine(guest, machine)

    def begin_anew(self) -> None:
        """The guests were powered off by this host: what ran is to run again, as after a boot of the host."""
        self._boot_id = hashlib.sha256(f"{self._boot_id} {time.time_ns()}".encode()).hexdigest()[:16]
        for key in self._guests:
            self.queue.add(key)

    async def _report_power(self, guest: Guest, machine: MachineState | None) -> None:
        if machine is not None and machine.complete and guest.status.phase is GuestPhase.READY:
            await self._report(guest, power_state=machine.power_state)

    def _require_newer(self, guest: Guest, node: str) -> None:
        """Raises Late where it orders a machine that this host has been told to let go of since."""
        epoch = guest.spec.fencing_epoch
        if not guest.spec.absent and self._fences[node].has(guest.instance_id, epoch):
            raise Late(
                f"This host has let go of the machine in epoch {epoch}: only a newer claim brings it "
                "back here."
            )

    async def _remove(self, guest: Guest, node: str) -> None:
        metadata = guest.metadata
        key = (metadata.namespace or "", metadata.name)
        if self._let_go.get(key) == metadata.uid:
            return  # the hypervisor's own event of the removal, before the API server's
        with timed("destroy"):
            await self._driver.destroy(node, guest.instance_id)
        await asyncio.to_thread(self._fences[node].add, guest.instance_id, guest.spec.fencing_epoch)
        log.info("guest.removed")
        try:
            await self._kubernetes.delete(Guest, metadata.name, metadata.namespace, uid=metadata.uid)
        except (NotFound, Conflict):
            return
        self._let_go[key] = metadata.uid

    async def _spawn(self, guest: Guest, node: str) -> None:
        log.info("guest.spawning", image=guest.spec.image.name)
        async with self._reported_steps(guest) as report, _timed_async("spawn"):
            await self._driver.spawn(node, guest.instance_id, guest.spec, report)

    async def _operate(self, guest: Guest, node: str) -> None:
        """Do the operation, then bring the power in line; one word on both."""
        wanted = guest.spec.operation
        assert wanted is not None  # noqa: S101 - decide() has looked
        log.info("operation.begins", kind=wanted.kind, operation=wanted.id)

        async def show(progress: OperationProgress) -> None:
            running = GuestOperationStatus(id=wanted.id, phase=OperationPhase.RUNNING, progress=progress)
            await self._report(guest, operation=running, fault=None)

        try:
            async with self._reported_steps(guest) as report, _timed_async(wanted.kind.value):
                outcome = await self._operations.run(guest, node, report, show)
        except Superseded:
            return
        after = guest.model_copy(update={"status": guest.status.model_copy(update={"operation": outcome})})
        machine = await self._driver.get(node, guest.instance_id)
        if machine is not None and machine.complete:
            try:
                await self._enforce(after, node, reboot=False)
            except DriverError as error:
                if not error.permanent:
                    raise
                await self._report_fault(after, error)  # the operation is done all the same
            return
        leaves = wanted.kind is OperationKind.LIVE_MIGRATE
        await self._report(
            after,
            phase=GuestPhase.MOVED if leaves else GuestPhase.PREPARED,
            step=None,
            power_state=PowerState.NO_STATE,
            # What arrives has been through them elsewhere.
            reboot_generation=guest.spec.reboot.generation,
            crash_dump=guest.spec.crash_dump,
            spec_generation=guest.metadata.generation,
            fault=None,
        )

    @asynccontextmanager
    async def _reported_steps(self, guest: Guest) -> AsyncIterator[Any]:
        """Collects the steps of a spawn, and writes them once it has lasted."""
        current: list[Step] = []
        changed, ended = asyncio.Event(), asyncio.Event()

        async def report(step: Step) -> None:
            begin(step)
            current[:] = [step]
            changed.set()

        async def write_slow_steps() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), self._settings.patience_seconds)
            while not ended.is_set():
                await changed.wait()
                changed.clear()
                if current and not ended.is_set():
                    status = guest.status.model_copy(
                        update={"phase": GuestPhase.SPAWNING, "step": current[0], "fault": None}
                    )
                    await self._write(guest, status)

        writer = asyncio.create_task(write_slow_steps())
        try:
            with timed_steps() as begin:
                yield report
        finally:
            # A write under way is awaited, not cancelled: it must not reach the server after the last word.
            ended.set()
            changed.set()
            await asyncio.gather(writer, return_exceptions=True)

    async def _enforce(self, guest: Guest, node: str, *, reboot: bool) -> None:
        instance_id = guest.instance_id
        if reboot:
            with timed("reboot"):
                await self._driver.reboot(node, instance_id, guest.spec.reboot.type)
        swapped = await self._plug(guest, node) if guest.status.spec_generation > 0 else []
        machine = await self._driver.get(node, instance_id)
        observed = machine.power_state if machine else PowerState.NO_STATE
        for call in power_calls(observed, guest.spec.power_state):
            await self._call(call, node, instance_id)
        if guest.status.spec_generation > 0 and guest.spec.crash_dump > guest.status.crash_dump:
            with timed("crash_dump"):
                await self._driver.crash_dump(node, instance_id)
        machine = await self._driver.get(node, instance_id)
        await self._report_machine(guest, machine, reached=True, swapped=swapped)

    async def _take_in(self, guest: Guest, node: str) -> None:
        """What the host cannot plug is no reason to say nothing of the machine, and is said beside it."""
        swapped: list[GuestSwap] = []
        fault = None
        try:
            swapped = await self._plug(guest, node)
        except DriverError as error:
            if not error.permanent:
                raise
            fault = _noted_fault(guest, error)
        machine = await self._driver.get(node, guest.instance_id)
        await self._report_machine(guest, machine, reached=True, swapped=swapped, fault=fault)

    async def _plug(self, guest: Guest, node: str) -> list[GuestSwap]:
        """The machine has the devices that the spec says; how far the swaps of its volumes are."""
        if PLUGS.isdisjoint(self._driver.capabilities):
            return []
        swapped = await swaps.advance(self._driver, guest, node)
        spec = swaps.as_attached(guest.spec, swapped)
        await self._driver.reconfigure(node, guest.instance_id, spec)
        return swapped

    async def _call(self, call: Call, node: str, instance_id: str) -> None:
        driver = self._driver
        with timed(call):
            match call:
                case Call.POWER_ON:
                    await driver.power_on(node, instance_id)
                case Call.POWER_OFF:
                    await driver.power_off(node, instance_id, self._settings.graceful_seconds)
                case Call.PAUSE:
                    await driver.pause(node, instance_id)
                case Call.SUSPEND:
                    await driver.suspend(node, instance_id)

    async def _report_machine(
        self,
        guest: Guest,
        machine: MachineState | None,
        *,
        reached: bool = False,
        swapped: list[GuestSwap] | None = None,
        fault: GuestFault | None = None,
    ) -> None:
        """`swapped`: how far the swaps of the spec's volumes are, where that has been looked at."""
        await self._report(
            guest,
            phase=GuestPhase.READY if machine else GuestPhase.MISSING,
            step=None,
            power_state=machine.power_state if machine else PowerState.NO_STATE,
            reboot_generation=guest.spec.reboot.generation if reached else guest.status.reboot_generation,
            spec_generation=guest.metadata.generation if reached else guest.status.spec_generation,
            crash_dump=guest.spec.crash_dump if reached else guest.status.crash_dump,
            started_at=guest.status.started_at or datetime.now(UTC),
            boot_id=self._boot_id,
            swaps=guest.status.swaps if swapped is None else swapped,
            fault=fault,
        )

    async def _report_fault(self, guest: Guest, error: DriverError) -> None:
        fault = _noted_fault(guest, error)
        machine = None
        if guest.status.phase is GuestPhase.READY:
            machine = await self._driver.get(node_of_namespace(guest), guest.instance_id)
        update: dict[str, Any] = {"fault": fault}
        if machine is not None:
            update["power_state"] = machine.power_state
        else:
            update["phase"] = GuestPhase.FAILED
        await self._report(guest, **update)

    async def _report(self, guest: Guest, **update: Any) -> None:
        await self._write(guest, guest.status.model_copy(update=update))

    async def _write(self, guest: Guest, status: GuestStatus) -> None:
        metadata = guest.metadata
        current = self._guests.get(metadata.namespace or "", metadata.name)
        before = current.status if current and current.metadata.uid == metadata.uid else guest.status
        patch = merge_diff(before.to_api(), status.to_api())
        if not patch:
            return
        try:
            body = await self._kubernetes.patch(
                Guest, metadata.name, metadata.namespace, {"status": patch}, "status"
            )
        except NotFound:
            return
        self._guests.put(body)


def node_of(key: Key) -> str:
    """The node whose namespace it is."""
    return key[0].removeprefix(NODE_PREFIX)


def node_of_namespace(guest: Guest) -> str:
    """The node that the Guest is on."""
    return node_of((guest.metadata.namespace or "", guest.metadata.name))


def _noted_fault(guest: Guest, error: DriverError) -> GuestFault:
    """What is said of the error, which is counted and logged."""
    DRIVER_FAILURES.labels("any", error.reason).inc()
    log.warning("guest.fault", reason=error.reason, error=str(error), permanent=error.permanent)
    return GuestFault(
        reason=error.reason,
        message=str(error)[:1024],
        permanent=error.permanent,
        spec_generation=guest.metadata.generation,
    )


@asynccontextmanager
async def _timed_async(call: str) -> AsyncIterator[None]:
    with timed(call):
        yield
