"""What the conductor, the scheduler and an administrator would have brought about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.conditions import Condition, ConditionStatus
from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, VmState, instances, nodes
from cairn_database.rows import compare_and_set, load, now
from integration.gateway.servers.conftest import Room

ACTION = "/compute/v2.1/servers/{}/action"
EVERYTHING = (
    "COMPUTE_CAIRN_PAUSE",
    "COMPUTE_CAIRN_SUSPEND",
    "COMPUTE_CAIRN_RESIZE",
    "COMPUTE_CAIRN_LIVE_MIGRATION",
    "COMPUTE_CAIRN_REBUILD",
    "COMPUTE_CAIRN_RESCUE",
    "COMPUTE_CAIRN_SNAPSHOT",
    "COMPUTE_CAIRN_SET_PASSWORD",
    "COMPUTE_CAIRN_CRASH_DUMP",
)


async def add_host(
    room: Room, name: str, *, traits: tuple[str, ...] = EVERYTHING, forced_down: bool = False, up: bool = True
) -> None:
    """A host as the mirror would have taken it in."""
    condition = Condition(
        type="Up",
        status=ConditionStatus.TRUE if up else ConditionStatus.FALSE,
        reason="Test",
        message="",
        last_transition_time=datetime.now(UTC),
    )
    await nodes.upsert_compute_node(
        room.gateway.services.db,
        name,
        ComputeNodeSpec(forced_down=forced_down),
        ComputeNodeStatus(
            vcpus=8,
            memory_mib=8192,
            disk_gib=100,
            hostname=f"{name}.example",
            address="192.0.2.7",
            traits=list(traits),
            conditions=[condition],
        ),
        f"uid-{name}",
    )


async def put(room: Room, server_id: str, vm_state: VmState, **fields: Any) -> InstanceRecord:
    """The row as it would be after the conductor had brought it there."""
    db = room.gateway.services.db
    values: dict[str, Any] = {
        "vm_state": vm_state,
        "task_state": None,
        "power_state": PowerState.RUNNING,
        "launched_at": now(),
        "awaiting_host": False,
        "action_id": None,
        **fields,
    }
    return await db.run(lambda conn: compare_and_set(conn, load(conn, server_id), moment=now(), **values))


async def placed(room: Room, host: str = "h1", **fields: Any) -> str:
    """An active server on `host`."""
    server_id = str((await room.server(**fields))["id"])
    await put(room, server_id, VmState.ACTIVE, host=host)
    return server_id


async def row(room: Room, server_id: str) -> InstanceRecord:
    """As it is now."""
    return await instances.get(room.gateway.services.db, server_id)


def at(room: Room, who: str, version: str) -> Any:
    """A client of that person, at that microversion."""
    client = getattr(room, who)
    client.headers["OpenStack-API-Version"] = f"compute {version}"
    return client
