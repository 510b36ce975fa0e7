"""Which replica works on which instance.

Every replica renews one Lease; the live ones are the members. A key belongs to the member with the
highest hash of (member, key), so that a change of members moves only the keys it must. Two replicas may
disagree for a moment: every change is a compare-and-set, so the loser's is refused.

Lateness is judged by the local clock, from when this replica last *saw* a Lease change: clock skew
between machines does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from cairn_runtime.kubernetes import MERGE_PATCH, AlreadyExists, Kubernetes, KubernetesError, NotFound

log = structlog.get_logger()
LABEL = "compute.cairn.dev/component"
ABANDONED_AFTER_LEASES = 20


def owner(key: str, members: frozenset[str]) -> str | None:
    """The member that `key` belongs to (highest random weight)."""
    return max(members, key=lambda member: _weight(member, key), default=None)


def _weight(member: str, key: str) -> bytes:
    return hashlib.blake2b(f"{member}\0{key}".encode(), digest_size=8).digest()


class Membership:
    """This replica's Lease, and who else holds one."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        *,
        identity: str,
        component: str,
        namespace: str,
        lease_seconds: float,
        on_change: Callable[[], None],
    ) -> None:
        """`on_change` is called after the members have changed."""
        self._kubernetes = kubernetes
        self._identity = identity
        self._component = component
        self._lease_seconds = lease_seconds
        self._on_change = on_change
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = f"{component}-{identity}"
        self._seen: dict[str, tuple[str, float]] = {}
        self._renewed_at = 0.0
        self._members: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    @property
    def members(self) -> frozenset[str]:
        """Who is alive, this replica included while its own Lease holds."""
        return self._members

    def owns(self, key: str) -> bool:
        """Whether `key` is this replica's to work on."""
        if len(self._members) == 1:
            return self._identity in self._members
        return owner(key, self._members) == self._identity

    async def start(self) -> None:
        """Take the Lease and learn who else is there."""
        await self._beat()
        self._task = asyncio.create_task(self._renew(), name="membership")

    async def stop(self) -> None:
        """Give the Lease up, so that the others take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        try:
            await self._kubernetes.request("DELETE", f"{self._path}/{self._name}")
        except KubernetesError as error:
            log.info("lease.not_released", error=str(error))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._beat()
            except KubernetesError as error:
                log.warning("lease.not_renewed", error=str(error))
                self._recount()

    async def _beat(self) -> None:
        started = time.monotonic()
        await self._write_lease()
        self._renewed_at = started
        leases, _version = await self._kubernetes.list_path(self._path)
        self._take_in(leases)
        self._recount()
        await self._remove_abandoned()

    async def _write_lease(self) -> None:
        spec: dict[str, Any] = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._lease_seconds)),
            "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        try:
            await self._kubernetes.request(
                "PATCH", f"{self._path}/{self._name}", {"spec": spec}, form=MERGE_PATCH
            )
        except NotFound:
            metadata = {"name": self._name, "labels": {LABEL: self._component}}
            try:
                await self._kubernetes.request("POST", self._path, {"metadata": metadata, "spec": spec})
            except AlreadyExists:
                await self._kubernetes.request(
                    "PATCH", f"{self._path}/{self._name}", {"spec": spec}, form=MERGE_PATCH
                )

    def _take_in(self, leases: list[dict[str, Any]]) -> None:
        now = time.monotonic()
        seen: dict[str, tuple[str, float]] = {}
        for lease in leases:
            if lease["metadata"].get("labels", {}).get(LABEL) != self._component:
                continue
            member = lease["spec"].get("holderIdentity") or ""
            renewed = lease["spec"].get("renewTime") or ""
            before = self._seen.get(member)
            seen[member] = before if before and before[0] == renewed else (renewed, now)
        self._seen = seen

    async def _remove_abandoned(self) -> None:
        """Lost replicas cannot remove their own Leases."""
        now = time.monotonic()
        for member, (_renewed, at) in list(self._seen.items()):
            if member != self._identity and now - at > ABANDONED_AFTER_LEASES * self._lease_seconds:
                with contextlib.suppress(NotFound):
                    await self._kubernetes.request("DELETE", f"{self._path}/{self._component}-{member}")
                del self._seen[member]

    def _recount(self) -> None:
        now = time.monotonic()
        alive = {
            member
            for member, (_renewed, at) in self._seen.items()
            if member != self._identity and now - at < self._lease_seconds
        }
        # One that cannot renew its own Lease stops before the others take its share.
        if now - self._renewed_at < self._lease_seconds:
            alive.add(self._identity)
        members = frozenset(alive)
        if members != self._members:
            log.info("members.changed", members=sorted(members), before=sorted(self._members))
            self._members = members
            self._on_change()
