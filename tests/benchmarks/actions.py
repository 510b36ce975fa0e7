"""What each action costs beside the hypervisor's own time: from the request to the final state, on the fake
driver.

Each is asked for as the gateway asks: one transaction, and a hint for the conductor. The final state is what
SQL says, as a client of the Compute API would see it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.boots import PROJECT, cloud_with_hosts
from benchmarks.measure import percentile
from cairn_crds import Instance, InstanceSpec, Metadata
from cairn_crds.instance import RebootType
from cairn_database import (
    Database,
    InstanceRecord,
    TaskState,
    VmState,
    asking,
    instances,
    moving,
    removal,
    reshaping,
)
from cairn_database.asking import Asked
from cairn_local.control_plane.binaries import Binaries
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.settings import KubernetesSettings

DOCUMENT = {"id": "larger", "name": "larger", "vcpus": 2, "memoryMiB": 128}
OTHER = {"id": "other", "name": "demo", "url": "http://127.0.0.1:9/demo.qcow2", "sha256": "0" * 64}
POLL_SECONDS = 0.002
WAIT_SECONDS = 60.0
Ask = Callable[[Database, str, Asked], Awaitable[InstanceRecord]]
ACTIONS: tuple[tuple[str, Ask, VmState], ...] = (
    ("stop", lambda db, i, a: asking.change_power(db, i, "stop", a), VmState.STOPPED),
    ("start", lambda db, i, a: asking.change_power(db, i, "start", a), VmState.ACTIVE),
    ("reboot", lambda db, i, a: asking.reboot(db, i, RebootType.SOFT, a), VmState.ACTIVE),
    ("pause", lambda db, i, a: asking.change_power(db, i, "pause", a), VmState.PAUSED),
    ("unpause", lambda db, i, a: asking.change_power(db, i, "unpause", a), VmState.ACTIVE),
    ("suspend", lambda db, i, a: asking.change_power(db, i, "suspend", a), VmState.SUSPENDED),
    ("resume", lambda db, i, a: asking.change_power(db, i, "resume", a), VmState.ACTIVE),
    ("rebuild", lambda db, i, a: reshaping.rebuild(db, i, a, image=OTHER), VmState.ACTIVE),
    ("rescue", lambda db, i, a: reshaping.rescue(db, i, a, image=OTHER), VmState.RESCUED),
    ("unrescue", reshaping.unrescue, VmState.ACTIVE),
    (
        "changePassword",
        lambda db, i, a: reshaping.set_password(db, i, a, user="root", password_hash="$6$salt$hash"),
        VmState.ACTIVE,
    ),
    ("resize", lambda db, i, a: moving.resize(db, i, a, flavor=DOCUMENT), VmState.RESIZED),
    ("revertResize", moving.revert_resize, VmState.ACTIVE),
    ("migrate", moving.migrate, VmState.RESIZED),
    ("confirmResize", moving.confirm_resize, VmState.ACTIVE),
    ("live-migrate", moving.live_migrate, VmState.ACTIVE),
    ("soft-delete", moving.soft_delete, VmState.SOFT_DELETED),
    ("restore", moving.restore, VmState.ACTIVE),
)
"""Name, request, final state; each begins where the one before has ended."""


@dataclass
class ActionsResult:
    """Seconds from request to final state, by action."""

    rounds: int
    p50: dict[str, float] = field(default_factory=dict)
    p95: dict[str, float] = field(default_factory=dict)
    worst_p50: float = 0.0


def one_by_one(binaries: Binaries, folder: Path, rounds: int = 12) -> ActionsResult:
    """Every action, again and again, on one instance at a time and 4 hosts."""
    with cloud_with_hosts(binaries, folder, hosts=4, agents=2) as (plane, cloud):
        return asyncio.run(_measure(plane.kubeconfig, cloud.stack.database_url, rounds))


async def _measure(kubeconfig: Path, database_url: str, rounds: int) -> ActionsResult:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=kubeconfig, timeout_seconds=60))
    db = Database(database_url)
    await kubernetes.open()
    await db.open()
    seconds: dict[str, list[float]] = {name: [] for name, _ask, _state in ACTIONS}
    try:
        for number in range(rounds):
            row = await _boot(kubernetes, db, f"web-{number}")
            for name, ask, state in ACTIONS:
                seconds[name].append(await _time(kubernetes, db, row, ask, state))
            await removal.begin_delete(db, row.id)
            await _hint(kubernetes, row)
    finally:
        await kubernetes.close()
        await db.close()
    result = ActionsResult(rounds)
    for name, values in seconds.items():
        result.p50[name] = round(median(values), 4)
        result.p95[name] = round(percentile(values, 95), 4)
    result.worst_p50 = max(result.p50.values())
    return result


async def _boot(kubernetes: Kubernetes, db: Database, name: str) -> InstanceRecord:
    spec = InstanceSpec(flavor="tiny", image="demo")
    wanted = Instance(metadata=Metadata(name=name, namespace=PROJECT), spec=spec)
    made = await kubernetes.create(Instance, wanted.manifest())
    return await _settled(db, made["metadata"]["uid"], VmState.ACTIVE)


async def _time(kubernetes: Kubernetes, db: Database, row: InstanceRecord, ask: Ask, state: VmState) -> float:
    began = time.perf_counter()
    await ask(db, row.id, Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True))
    await _hint(kubernetes, row)
    await _settled(db, row.id, state)
    return time.perf_counter() - began


async def _hint(kubernetes: Kubernetes, row: InstanceRecord) -> None:
    patch = {"metadata": {"annotations": {"compute.cairn.dev/request": str(uuid.uuid4())}}}
    await kubernetes.patch(Instance, row.name, row.namespace, patch)


async def _settled(db: Database, instance_id: str, state: VmState) -> InstanceRecord:
    deadline = time.perf_counter() + WAIT_SECONDS
    while time.perf_counter() < deadline:
        found = (await instances.get_many(db, [instance_id])).get(instance_id)
        if found is not None and found.task_state is None and found.vm_state is state:
            return found
        if found is not None and found.task_state is not TaskState.DELETING and found.fault_message:
            raise AssertionError(f"{found.vm_state}: {found.fault_message}")
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"{instance_id} did not become {state}")
