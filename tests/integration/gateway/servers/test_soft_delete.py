"""Deleting with a time to restore."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from cairn_crds.instance import PowerState
from cairn_database import TaskState, VmState
from cairn_gateway.app import create_app
from cairn_gateway.settings import ComputeSettings
from cairn_runtime.health import Health
from integration.gateway.servers.conftest import Room
from integration.gateway.servers.worlds import placed, put, row

SERVERS = "/compute/v2.1/servers"


def forgiving(room: Room) -> None:
    """The same gateway with an hour to restore in."""
    gateway = room.gateway
    settings = gateway.services.settings.model_copy(update={"compute": ComputeSettings(reclaim_seconds=3600)})
    gateway.services = replace(gateway.services, settings=settings)
    gateway.app = create_app(gateway.services, Health())
    for client in gateway.clients:
        client._transport.app = gateway.app  # type: ignore[attr-defined]


async def listed(client: httpx.AsyncClient, query: str = "") -> list[str]:
    return [server["id"] for server in (await client.get(SERVERS + query)).json()["servers"]]


async def test_a_deleted_server_can_be_restored(room: Room) -> None:
    forgiving(room)
    server_id = await placed(room)
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    record = await row(room, server_id)
    assert (record.task_state, record.spec["powerState"]) == ("soft-deleting", "Stopped")
    assert record.details["softDeletedAt"]
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204, "twice is once"
    await put(room, server_id, VmState.SOFT_DELETED, host="h1", power_state=PowerState.SHUTDOWN)
    assert (await room.show(server_id))["status"] == "SOFT_DELETED"
    assert await listed(room.member) == []
    assert await listed(room.member, "?status=SOFT_DELETED") == [server_id]
    assert await listed(room.admin, "?all_tenants=1&soft_deleted=1") == [server_id]
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    assert (await row(room, server_id)).vm_state is VmState.SOFT_DELETED
    assert (await room.act(server_id, restore=None)).status_code == 202
    record = await row(room, server_id)
    assert (record.task_state, record.spec["powerState"]) == ("restoring", "Running")
    assert "softDeletedAt" not in record.details


async def test_force_delete_does_not_wait(room: Room) -> None:
    forgiving(room)
    server_id = await placed(room)
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    await put(room, server_id, VmState.SOFT_DELETED, host="h1", power_state=PowerState.SHUTDOWN)
    assert (await room.act(server_id, forceDelete=None)).status_code == 202
    assert (await row(room, server_id)).task_state is TaskState.DELETING


@pytest.mark.parametrize(
    "state", [VmState.BUILDING, VmState.ERROR, VmState.RESCUED, VmState.SHELVED_OFFLOADED]
)
async def test_what_cannot_wait_is_deleted_at_once(room: Room, state: VmState) -> None:
    forgiving(room)
    server_id = await placed(room)
    await put(room, server_id, state, host=None if state is VmState.SHELVED_OFFLOADED else "h1")
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    assert (await row(room, server_id)).task_state is TaskState.DELETING


async def test_a_lock_holds_here_as_well(room: Room) -> None:
    forgiving(room)
    server_id = await placed(room)
    assert (await room.act(server_id, lock=None)).status_code == 202
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 409
    assert (await row(room, server_id)).task_state is None
