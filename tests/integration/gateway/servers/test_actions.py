"""Actions: what they ask for, when they are refused, and by whom they may be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_database import TaskState, VmState, instances, tasks
from cairn_database.rows import compare_and_set, load, now
from cairn_local.control_plane.running import RunningControlPlane
from integration.gateway.servers.conftest import Room

SERVERS = "/compute/v2.1/servers"


async def active(room: Room, **fields: Any) -> str:
    """A server that is as if it had been built."""
    server_id: str = (await room.server(**fields))["id"]
    await put(room, server_id, VmState.ACTIVE)
    return server_id


async def put(room: Room, server_id: str, vm_state: VmState, power: PowerState = PowerState.RUNNING) -> None:
    """What the conductor would have written in the end."""
    db = room.gateway.services.db
    await db.run(
        lambda conn: compare_and_set(
            conn,
            load(conn, server_id),
            moment=now(),
            vm_state=vm_state,
            task_state=None,
            power_state=power,
            launched_at=now(),
        )
    )


@pytest.mark.parametrize(
    ("action", "before", "task", "power"),
    [
        ("os-stop", VmState.ACTIVE, TaskState.POWERING_OFF, "Stopped"),
        ("os-start", VmState.STOPPED, TaskState.POWERING_ON, "Running"),
        ("pause", VmState.ACTIVE, TaskState.PAUSING, "Paused"),
        ("unpause", VmState.PAUSED, TaskState.UNPAUSING, "Running"),
        ("suspend", VmState.ACTIVE, TaskState.SUSPENDING, "Suspended"),
        ("resume", VmState.SUSPENDED, TaskState.RESUMING, "Running"),
    ],
)
async def test_power_actions_begin_their_task(
    room: Room, action: str, before: VmState, task: TaskState, power: str
) -> None:
    server_id = await active(room)
    await put(room, server_id, before)
    answer = await room.act(server_id, **{action: None})
    assert (answer.status_code, answer.content) == (202, b"")
    record = await instances.get(room.gateway.services.db, server_id)
    assert (record.task_state, record.spec["powerState"]) == (task, power)
    assert record.request_id == answer.headers["x-openstack-request-id"]


async def test_the_resource_is_told_of_the_request(room: Room, control_plane: RunningControlPlane) -> None:
    server_id = await active(room)
    answer = await room.act(server_id, **{"os-stop": None})
    record = await instances.get(room.gateway.services.db, server_id)
    body = json.loads(
        control_plane.kubectl("get", "instance", record.name, "-n", record.namespace, "-o", "json")
    )
    noted = body["metadata"]["annotations"]["compute.cairn.dev/request"]
    assert noted == answer.headers["x-openstack-request-id"]


@pytest.mark.parametrize(
    ("action", "word", "state"),
    [
        ({"os-start": None}, "start", "vm_state active"),
        ({"unpause": None}, "unpause", "vm_state active"),
        ({"resume": None}, "resume", "vm_state active"),
        ({"restore": None}, "restore", "vm_state active"),
    ],
)
async def test_a_state_that_does_not_allow_it_is_409(
    room: Room, action: dict[str, Any], word: str, state: str
) -> None:
    server_id = await active(room)
    answer = await room.act(server_id, **action)
    assert answer.status_code == 409
    fault = answer.json()["conflictingRequest"]
    assert fault["message"] == f"Cannot '{word}' instance {server_id} while it is in {state}"


async def test_one_thing_at_a_time(room: Room) -> None:
    server_id = await active(room)
    assert (await room.act(server_id, **{"os-stop": None})).status_code == 202
    again = await room.act(server_id, **{"os-stop": None})
    assert again.status_code == 409
    assert "task_state powering-off" in again.text


@pytest.mark.parametrize(("kind", "task"), [("SOFT", "rebooting"), ("hard", "rebooting_hard")])
async def test_reboot(room: Room, kind: str, task: str) -> None:
    server_id = await active(room)
    assert (await room.act(server_id, reboot={"type": kind})).status_code == 202
    record = await instances.get(room.gateway.services.db, server_id)
    assert (record.task_state, record.spec["reboot"]["generation"]) == (task, 1)


async def test_a_stopped_server_reboots_hard_only(room: Room) -> None:
    server_id = await active(room)
    await put(room, server_id, VmState.STOPPED, PowerState.SHUTDOWN)
    assert (await room.act(server_id, reboot={"type": "SOFT"})).status_code == 409
    assert (await room.act(server_id, reboot={"type": "HARD"})).status_code == 202


async def test_a_lock_keeps_all_but_administrators_out(room: Room) -> None:
    server_id = await active(room)
    assert (await room.act(server_id, lock={"locked_reason": "audit"})).status_code == 202
    shown = await room.show(server_id)
    assert (shown["locked"], shown["locked_reason"]) == (True, "audit")
    refused = await room.act(server_id, **{"os-stop": None})
    assert (refused.status_code, refused.json()["conflictingRequest"]["message"]) == (
        409, f"Instance {server_id} is locked",
    )  # fmt: skip
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 409
    stopped = await room.admin.post(f"{SERVERS}/{server_id}/action", json={"os-stop": None})
    assert stopped.status_code == 202
    assert (await room.act(server_id, unlock=None)).status_code == 202
    assert (await room.show(server_id))["locked"] is False


async def test_only_who_may_override_undoes_an_administrators_lock(room: Room) -> None:
    server_id = await active(room)
    locked = await room.admin.post(f"{SERVERS}/{server_id}/action", json={"lock": None})
    assert locked.status_code == 202
    assert (await room.act(server_id, unlock=None)).status_code == 403
    unlocked = await room.admin.post(f"{SERVERS}/{server_id}/action", json={"unlock": None})
    assert unlocked.status_code == 202


async def test_deleting_answers_at_once_and_twice(room: Room, control_plane: RunningControlPlane) -> None:
    server_id = await active(room)
    record = await instances.get(room.gateway.services.db, server_id)
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    assert (await room.show(server_id))["OS-EXT-STS:task_state"] == "deleting"
    assert (await room.member.delete(f"{SERVERS}/{server_id}")).status_code == 204
    body = json.loads(
        control_plane.kubectl("get", "instance", record.name, "-n", record.namespace, "-o", "json")
    )
    assert body["metadata"]["deletionTimestamp"]


async def test_an_administrator_resets_the_state(room: Room) -> None:
    server_id = await active(room)
    mine = await room.act(server_id, **{"os-resetState": {"state": "error"}})
    assert mine.status_code == 403
    path = f"{SERVERS}/{server_id}/action"
    assert (await room.admin.post(path, json={"os-resetState": {"state": "error"}})).status_code == 202
    shown = await room.show(server_id)
    assert (shown["status"], shown["fault"]["code"]) == ("ERROR", 500)
    assert (await room.admin.post(path, json={"os-resetState": {"state": "active"}})).status_code == 202
    assert (await room.show(server_id))["status"] == "ACTIVE"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"os-start": None, "os-stop": None}, 400),
        ({"fly": None}, 400),
        ([], 400),
        ({"reboot": {"type": "SOON"}}, 400),
        ({"rebuild": {"imageRef": "x"}}, 400),
        ({"os-getConsoleOutput": None}, 400),
        ({"addFloatingIp": {"address": "1.2.3.4"}}, 404),
    ],
)
async def test_actions_that_are_none(room: Room, body: Any, status: int) -> None:
    server_id = await active(room)
    answer = await room.member.post(f"{SERVERS}/{server_id}/action", json=body)
    assert answer.status_code == status, answer.text


async def test_other_projects_find_nothing(room: Room) -> None:
    server_id = await active(room)
    assert (await room.stranger.get(f"{SERVERS}/{server_id}")).status_code == 404
    assert (await room.stranger.delete(f"{SERVERS}/{server_id}")).status_code == 404
    stop = await room.stranger.post(f"{SERVERS}/{server_id}/action", json={"os-stop": None})
    assert stop.status_code == 404
    assert (await room.reader.get(f"{SERVERS}/{server_id}")).status_code == 200
    assert (await room.reader.delete(f"{SERVERS}/{server_id}")).status_code == 403


async def test_what_was_done_is_told_by_request(room: Room) -> None:
    server_id = await active(room)
    stop = await room.act(server_id, **{"os-stop": None})
    request_id = stop.headers["x-openstack-request-id"]
    record = await instances.get(room.gateway.services.db, server_id)
    await tasks.finish_task(
        room.gateway.services.db,
        server_id,
        record.version,
        expected_task_state=TaskState.POWERING_OFF,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
    )
    listed = (await room.member.get(f"{SERVERS}/{server_id}/os-instance-actions")).json()
    assert [action["action"] for action in listed["instanceActions"]] == ["stop", "create"]
    shown = await room.member.get(f"{SERVERS}/{server_id}/os-instance-actions/{request_id}")
    action = shown.json()["instanceAction"]
    assert action["events"][0]["event"] == "compute_stop_instance"
    assert "traceback" not in action["events"][0]
    missing = await room.member.get(f"{SERVERS}/{server_id}/os-instance-actions/req-none")
    assert missing.status_code == 404
