"""Live migration, from the host that the machine leaves.

Nova API: POST /servers/{id}/action os-migrateLive; PUT and DELETE of server migrations.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import libvirt
from pydantic import ValidationError

from cairn_agent.drivers.api import DriverError, MachineNotFound, WrongPowerState
from cairn_agent.drivers.api_operations import (
    Aborted,
    LiveResult,
    MachineOperation,
    MigrationFailed,
    OperationFailed,
    ProgressReporter,
)
from cairn_agent.drivers.libvirt import domains
from cairn_agent.drivers.libvirt.arriving_xml import arriving_xml, copied_disks
from cairn_agent.drivers.libvirt.departures import Departure, Departures, Flight
from cairn_agent.drivers.libvirt.errors import Unreachable, is_code
from cairn_agent.drivers.libvirt.incoming import LiveAddress
from cairn_agent.drivers.libvirt.workshop import Machine, Workshop
from cairn_agent.drivers.settings import MigrationChannel
from cairn_crds.guest_operation import LiveDestination, OperationProgress
from cairn_crds.instance import PowerState

POLL_SECONDS = 0.25
LIVE = (PowerState.RUNNING, PowerState.PAUSED)
MIGRATED = [libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED]
"""What libvirt says of a machine that runs elsewhere now."""
_PROGRESS = {
    f"{what}_{part}_bytes": f"{what}_{part}"
    for what in ("memory", "disk")
    for part in ("total", "processed", "remaining")
}
"""OperationProgress's names for libvirt's statistics."""


@dataclass(frozen=True)
class LiveMigration:
    """One machine that leaves, or has left."""

    workshop: Workshop
    departures: Departures
    operation: MachineOperation
    destination: LiveDestination
    report: ProgressReporter

    async def run(self) -> LiveResult:
        """As `Moving.live_migrate`.

        That it was begun is written down first: no machine here and that record mean that it has arrived.
        """
        id_ = self.operation.instance_id
        if await self._domain_is_gone():
            return await self._arrived(None)
        departure = await self._departure()
        departure.abort |= self.destination.abort
        downtime = None
        try:
            await self._watch(departure)
            downtime = departure.result.result() if departure.result is not None else None
            if not await self._has_left():
                raise self._failure("it failed", departure)
        except libvirt.libvirtError as error:
            if not await self._domain_is_gone():
                raise self._failure(error.get_error_message() or str(error), departure) from error
        finally:
            if departure.result is None or departure.result.done():
                self.departures.landed(id_)
        return await self._arrived(downtime)

    async def _departure(self) -> Departure:
        """The one that is under way, else a new one."""
        id_ = self.operation.instance_id
        departure = self.departures.get(id_)
        if departure is not None and departure.operation_id != self.operation.id:
            if departure.result is not None and not departure.result.done():
                raise DriverError(f"another migration of machine {id_} is still under way")
            self.departures.landed(id_)
            departure = None
        if departure is not None:
            return departure
        if await self._is_under_way():
            return self.departures.found(id_, self.operation.id)
        if self.destination.abort:
            raise self._aborted()
        return await self._begin()

    async def _begin(self) -> Departure:
        machine = self._machine
        power = await machine.power_state()
        if power not in LIVE:
            raise WrongPowerState(f"machine {machine.instance_id} is {power}: only a running one moves")
        record = await machine.record()
        if record.rescue is not None:
            raise OperationFailed(f"machine {machine.instance_id} is rescued: unrescue it first")
        flight = await self._flight(_address(self.destination))
        await machine.write(record.updated(leaving=self.operation.id))
        return self.departures.begin(flight, self.operation.id)

    async def _flight(self, address: LiveAddress) -> Flight:
        """What libvirt is told. Raises MigrationFailed where the two ends do not have the same disks."""
        if not address.shared and not self.destination.copy_disks:
            raise MigrationFailed(
                f"{self.destination.host} does not see the disks of machine {self.operation.instance_id}: "
                "migrate it with its disks"
            )
        settings, files = self.workshop.settings, self._machine.files

        def definitions(domain: Any) -> tuple[str, str]:
            secure = libvirt.VIR_DOMAIN_XML_SECURE | libvirt.VIR_DOMAIN_XML_MIGRATABLE
            return domain.XMLDesc(secure), domain.XMLDesc(secure | libvirt.VIR_DOMAIN_XML_INACTIVE)

        live, stored = await self._machine.with_domain(definitions)
        flags = FLAGS
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: arriving_xml(live, files, address),
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: arriving_xml(stored, files, address),
        }
        if address.shared or self.operation.spec.volumes:
            # libvirt knows a few shared file systems by name; that the other host found this host's own
            # files, or those of the machine's volumes, says more.
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        copied = [] if address.shared else copied_disks(live, files)
        if copied:  # none at all would mean every one
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_INC
            parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = copied
        match _channel(settings.migration_channel, address.uri):
            case MigrationChannel.TUNNELLED:
                flags |= libvirt.VIR_MIGRATE_TUNNELLED
            case channel:
                flags |= libvirt.VIR_MIGRATE_TLS if channel is MigrationChannel.TLS else 0
                host = f"[{address.host}]" if ":" in address.host else address.host
                parameters[libvirt.VIR_MIGRATE_PARAM_URI] = f"tcp://{host}"
                parameters[libvirt.VIR_MIGRATE_PARAM_LISTEN_ADDRESS] = address.host
        if settings.migration_post_copy:
            flags |= libvirt.VIR_MIGRATE_POSTCOPY
        if settings.migration_bandwidth_mib:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = settings.migration_bandwidth_mib
        return Flight(settings.uri, self.operation.instance_id, address.uri, parameters, flags)

    # While it is under way

    async def _watch(self, departure: Departure) -> None:
        """Report until it has ended, and do what is asked for meanwhile."""
        node, id_, result = self.operation.node, self.operation.instance_id, departure.result
        told: OperationProgress | None = None
        while result is None or not result.done():
            try:
                progress = await self.workshop.connection.run(self._progress)
                if progress is not None and departure.abort:
                    await abort(self.workshop, node, id_)
                elif progress is not None and departure.force:
                    await force(self.workshop, node, id_)
                    departure.force = False
            except DriverError as error:
                # libvirtd is started anew, or hangs on a destination that has gone silent, and gives up on it
                # by itself: what became of the machine is known when it answers.
                if result is None and isinstance(error, Unreachable):
                    raise
                progress = told
            if progress is None and result is None:
                return
            if progress is not None and progress != told:
                told = progress
                await self.report(progress)
            if result is None:
                await asyncio.sleep(POLL_SECONDS)
            else:
                await asyncio.wait({result}, timeout=POLL_SECONDS)

    def _progress(self, connection: Any) -> OperationProgress | None:
        """How far it is; None where none is under way."""
        domain = domains.find_owned(connection, self.operation.node, self.operation.instance_id)
        statistics = outgoing(domain) if domain is not None else None
        if statistics is None:
            return None
        return OperationProgress(**{ours: statistics.get(name, 0) for ours, name in _PROGRESS.items()})

    async def _is_under_way(self) -> bool:
        return await self.workshop.connection.run(self._progress) is not None

    # How it ended

    async def _domain_is_gone(self) -> bool:
        node, instance_id = self.operation.node, self.operation.instance_id
        found = await self.workshop.connection.run(lambda c: domains.find_owned(c, node, instance_id))
        return found is None

    async def _has_left(self) -> bool:
        """Whether it has arrived, of one that has ended: libvirt lists it for a moment more, as migrated."""
        node, instance_id = self.operation.node, self.operation.instance_id

        def lingers(connection: Any) -> bool:
            domain = domains.find_owned(connection, node, instance_id)
            try:
                return domain is not None and domain.state() == MIGRATED
            except libvirt.libvirtError as error:
                if is_code(error, libvirt.VIR_ERR_NO_DOMAIN):
                    return False
                raise

        while await self.workshop.connection.run(lingers):  # noqa: ASYNC110 - libvirt tells nobody
            await asyncio.sleep(POLL_SECONDS)
        return await self._domain_is_gone()

    async def _arrived(self, downtime: int | None) -> LiveResult:
        """Raises MachineNotFound where the machine is gone for another reason."""
        record = await self._machine.record()
        id_ = self.operation.id
        if record.leaving != id_:
            raise MachineNotFound(f"no machine {self.operation.instance_id} on {self.operation.node}")
        if id_ not in record.done:
            record = record.finished(id_, downtime_ms=downtime)
            await self._machine.write(record)
        return LiveResult(record.downtime_ms)

    def _failure(self, message: str, departure: Departure) -> DriverError:
        if departure.abort:
            return self._aborted()
        return MigrationFailed(f"machine {self.operation.instance_id} runs on here: {message}")

    def _aborted(self) -> Aborted:
        return Aborted(f"the migration of machine {self.operation.instance_id} was aborted; it runs on here")

    @property
    def _machine(self) -> Machine:
        return Machine(self.workshop, self.operation.node, self.operation.instance_id)


FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
)


async def abort(workshop: Workshop, node: str, instance_id: str) -> None:
    """Let a migration give up; nothing where none is under way, or it is past that."""

    def stop(connection: Any) -> None:
        domain = domains.find_owned(connection, node, instance_id)
        if domain is not None and outgoing(domain) is not None:
            with _unless_over():
                domain.abortJob()

    await workshop.connection.run(stop)


async def force(workshop: Workshop, node: str, instance_id: str) -> None:
    """Let a migration end: the machine moves first and its memory follows, or it stands still meanwhile."""
    post_copy = workshop.settings.migration_post_copy

    def hurry(connection: Any) -> None:
        domain = domains.find_owned(connection, node, instance_id)
        if domain is None or outgoing(domain) is None:
            return
        if post_copy:
            try:
                domain.migrateStartPostCopy(0)
            except libvirt.libvirtError as error:
                # Before the disks are copied there is no memory to follow.
                if not is_code(error, libvirt.VIR_ERR_OPERATION_INVALID):
                    raise
            else:
                return
        with _unless_over():
            domain.suspend()

    await workshop.connection.run(hurry)


def outgoing(domain: Any) -> dict[str, Any] | None:
    """libvirt's statistics of the migration that is under way; None where none is."""
    try:
        statistics: dict[str, Any] = domain.jobStats()
    except libvirt.libvirtError as error:
        if is_code(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            return None
        raise
    leaving = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    return statistics if statistics.get(libvirt.VIR_DOMAIN_JOB_OPERATION) == leaving else None


def _address(destination: LiveDestination) -> LiveAddress:
    try:
        return LiveAddress.model_validate_json(destination.address)
    except ValidationError as error:
        raise MigrationFailed(f"{destination.host} is no libvirt host, or was not prepared") from error


def _channel(chosen: MigrationChannel, uri: str) -> MigrationChannel:
    if chosen is not MigrationChannel.AUTO:
        return chosen
    return MigrationChannel.TLS if uri.startswith("qemu+tls:") else MigrationChannel.PLAIN


@contextlib.contextmanager
def _unless_over() -> Any:
    """Lets errors pass that say that the migration has just ended or can no longer be stopped."""
    try:
        yield
    except libvirt.libvirtError as error:
        if not is_code(error, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN):
            raise
