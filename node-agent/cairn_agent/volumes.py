"""Brings HostVolumes and the files of volumes together: make, grow, remove."""

from __future__ import annotations

from typing import Any

import structlog

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.driver import Driver
from cairn_agent.metrics import timed
from cairn_agent.orders import is_current
from cairn_crds import HostVolume
from cairn_crds.host_volume import HostVolumePhase
from cairn_runtime.kubernetes import Conflict, Kubernetes, KubernetesError, NotFound, merge_diff
from cairn_runtime.logs import log_context
from cairn_runtime.store import Key, Store
from cairn_runtime.workqueue import WorkQueue

log = structlog.get_logger()
CONCURRENCY = 4
NODE_PREFIX = "cairn-node-"


class VolumeReconciler:
    """The HostVolumes' queue and what is done for each."""

    def __init__(self, kubernetes: Kubernetes, driver: Driver, volumes: Store[HostVolume]) -> None:
        self._kubernetes = kubernetes
        self._driver = driver
        self._volumes = volumes
        self.queue: WorkQueue[Key] = WorkQueue(
            "volumes",
            self.reconcile,
            concurrency=CONCURRENCY,
            longest_delay=30.0,
            expected=(KubernetesError, DriverError),
        )

    async def reconcile(self, key: Key) -> float | None:
        """One look at one HostVolume."""
        found = self._volumes.get(*key)
        if found is None:
            self.queue.forget(key)
            return None
        node, volume_id = key[0].removeprefix(NODE_PREFIX), key[1]
        with log_context(volume_id=volume_id, node=node):
            if found.spec.absent:
                await self._remove(found, node)
            elif not self._is_reached(found):
                await self._make(found, node)
        return None

    @staticmethod
    def _is_reached(found: HostVolume) -> bool:
        status = found.status
        settled = status.phase is HostVolumePhase.READY or status.permanent
        return settled and status.spec_generation >= found.metadata.generation

    async def _make(self, found: HostVolume, node: str) -> None:
        if not await is_current(self._kubernetes, self._volumes, found):
            return
        try:
            with timed("make_volume"):
                size_gib = await self._driver.make_volume(node, found.metadata.name, found.spec)
        except DriverError as error:
            log.warning("volume.fault", reason=error.reason, error=str(error), permanent=error.permanent)
            await self._report(
                found,
                phase=HostVolumePhase.FAILED,
                reason=error.reason,
                message=str(error)[:1024],
                permanent=error.permanent,
            )
            if not error.permanent:
                raise
            return
        log.info("volume.ready", size_gib=size_gib)
        await self._report(
            found,
            phase=HostVolumePhase.READY,
            size_gib=size_gib,
            reason=None,
            message=None,
            permanent=False,
        )

    async def _remove(self, found: HostVolume, node: str) -> None:
        metadata = found.metadata
        with timed("remove_volume"):
            await self._driver.remove_volume(node, metadata.name, found.spec.backend)
        log.info("volume.removed")
        try:
            await self._kubernetes.delete(HostVolume, metadata.name, metadata.namespace, uid=metadata.uid)
        except (NotFound, Conflict):
            return

    async def _report(self, found: HostVolume, **update: Any) -> None:
        metadata = found.metadata
        status = found.status.model_copy(update={**update, "spec_generation": metadata.generation})
        patch = merge_diff(found.status.to_api(), status.to_api())
        if not patch:
            return
        try:
            body = await self._kubernetes.patch(
                HostVolume, metadata.name, metadata.namespace, {"status": patch}, "status"
            )
        except NotFound:
            return
        self._volumes.put(body)
