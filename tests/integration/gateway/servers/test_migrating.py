"""Migrate, live-migrate, evacuate: bodies by microversion, hosts, and the lists of migrations."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_crds.instance import PowerState
from cairn_database import VmState, moves
from integration.gateway.servers.conftest import Room
from integration.gateway.servers.worlds import ACTION, add_host, at, placed, put, row

LIVE = {"host": None, "block_migration": "auto"}
OLD_LIVE = {"host": None, "block_migration": False, "disk_over_commit": False}


async def act(room: Room, version: str, server_id: str, who: str = "admin", **body: Any) -> Any:
    return await at(room, who, version).post(ACTION.format(server_id), json=body)


async def hosts(room: Room, **options: Any) -> None:
    await add_host(room, "h1", **options)
    await add_host(room, "h2")


@pytest.mark.parametrize(
    ("version", "body", "host"),
    [
        ("2.1", None, None),
        ("2.55", {"anything": True}, None),
        ("2.56", None, None),
        ("2.56", {}, None),
        ("2.56", {"host": "h2"}, "h2"),
    ],
)
async def test_a_cold_migration_begins(room: Room, version: str, body: Any, host: str | None) -> None:
    await hosts(room)
    server_id = await placed(room)
    answer = await act(room, version, server_id, migrate=body)
    assert (answer.status_code, answer.content) == (202, b""), answer.text
    record = await row(room, server_id)
    assert record.move is not None
    assert (record.task_state, record.move.wanted_host) == ("resize_prep", host)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"host": "h1"}, 400),
        ({"host": "h9"}, 400),
        ({"host": ""}, 400),
        ({"node": "h2"}, 400),
        ("h2", 400),
    ],
)
async def test_a_cold_migration_goes_to_hosts_that_there_are(room: Room, body: Any, status: int) -> None:
    await hosts(room)
    server_id = await placed(room)
    assert (await act(room, "2.56", server_id, migrate=body)).status_code == status
    assert (await row(room, server_id)).task_state is None


@pytest.mark.parametrize("down", [{"up": False}, {"forced_down": True}])
async def test_nothing_leaves_a_host_that_is_down(room: Room, down: dict[str, bool]) -> None:
    await hosts(room, **down)
    server_id = await placed(room)
    for body in ({"migrate": None}, {"os-migrateLive": LIVE}):
        answer = await act(room, "2.56", server_id, **body)
        assert answer.status_code == 409, answer.text
        assert "is unavailable at this time" in answer.text
    assert (await row(room, server_id)).task_state is None


@pytest.mark.parametrize("body", [{"migrate": None}, {"os-migrateLive": LIVE}, {"evacuate": {}}])
async def test_moving_is_for_administrators(room: Room, body: dict[str, Any]) -> None:
    server_id = await placed(room)
    assert (await act(room, "latest", server_id, "member", **body)).status_code == 403
    assert (await act(room, "latest", server_id, "stranger", **body)).status_code == 404


@pytest.mark.parametrize(
    ("version", "body", "copies"),
    [
        ("2.1", OLD_LIVE, False),
        ("2.24", {**OLD_LIVE, "block_migration": "True"}, True),
        ("2.25", LIVE, None),
        ("2.25", {"host": None, "block_migration": True}, True),
        ("2.30", {"host": "h2", "block_migration": "auto", "force": True}, None),
        ("2.68", {"host": "h2", "block_migration": False}, False),
    ],
)
async def test_a_live_migration_begins(
    room: Room, version: str, body: dict[str, Any], copies: bool | None
) -> None:
    await hosts(room)
    server_id = await placed(room)
    answer = await act(room, version, server_id, **{"os-migrateLive": body})
    assert (answer.status_code, answer.content) == (202, b""), answer.text
    record = await row(room, server_id)
    assert record.move is not None
    assert (record.task_state, record.move.copy_disks) == ("migrating", copies)
    assert record.move.wanted_host == body["host"]
    assert (await room.show(server_id))["status"] == "MIGRATING"


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ("2.1", LIVE),
        ("2.1", {"host": None, "block_migration": "auto", "disk_over_commit": False}),
        ("2.1", {"host": None, "block_migration": False}),
        ("2.25", OLD_LIVE),
        ("2.25", {"block_migration": "auto"}),
        ("2.25", {"host": None}),
        ("2.25", {"host": None, "block_migration": None}),
        ("2.29", {**LIVE, "force": True}),
        ("2.30", {**LIVE, "force": True}),
        ("2.68", {**LIVE, "host": "h2", "force": False}),
        ("2.34", {**LIVE, "host": "h9"}),
        ("2.34", {**LIVE, "host": "h1"}),
    ],
)
async def test_bodies_of_other_versions_are_400(room: Room, version: str, body: dict[str, Any]) -> None:
    await hosts(room)
    server_id = await placed(room)
    answer = await act(room, version, server_id, **{"os-migrateLive": body})
    assert answer.status_code == 400, answer.text
    assert (await row(room, server_id)).task_state is None


async def test_one_that_is_off_migrates_cold_only(room: Room) -> None:
    await hosts(room)
    server_id = await placed(room)
    await put(room, server_id, VmState.STOPPED, host="h1", power_state=PowerState.SHUTDOWN)
    answer = await act(room, "latest", server_id, **{"os-migrateLive": LIVE})
    assert answer.status_code == 409
    assert f"Cannot 'os-migrateLive' instance {server_id} while it is in vm_state stopped" in answer.text
    assert (await act(room, "latest", server_id, migrate=None)).status_code == 202


# --- evacuation ------------------------------------------------------------------------------------------


async def test_a_host_that_may_live_is_not_evacuated(room: Room) -> None:
    await hosts(room)
    server_id = await placed(room)
    answer = await act(room, "latest", server_id, evacuate={})
    assert answer.status_code == 400
    assert "Compute service of h1 is still in use" in answer.text
    assert (await row(room, server_id)).task_state is None


@pytest.mark.parametrize(
    ("version", "body", "password"),
    [
        ("2.13", {"onSharedStorage": False}, "*"),
        ("2.13", {"onSharedStorage": "False", "adminPass": "mine", "host": "h2"}, "mine"),
        ("2.14", {"adminPass": "mine"}, None),
        ("2.29", {"host": "h2", "force": True}, None),
        ("2.68", {"host": "h2"}, None),
        ("2.95", {}, None),
    ],
)
async def test_an_evacuation_begins(
    room: Room, version: str, body: dict[str, Any], password: str | None
) -> None:
    await hosts(room, forced_down=True)
    server_id = await placed(room)
    answer = await act(room, version, server_id, evacuate=body)
    assert answer.status_code == 200, answer.text
    if password is None:
        assert answer.content == b""
    else:
        told = answer.json()["adminPass"]
        assert told == password or (password == "*" and len(told) == 12)
    record = await row(room, server_id)
    assert record.move is not None
    assert (record.task_state, record.move.wanted_host) == ("rebuilding", body.get("host"))
    assert record.spec["powerState"] == ("Stopped" if version == "2.95" else "Running")
    assert (await room.show(server_id))["status"] == "REBUILD"


@pytest.mark.parametrize(
    ("version", "body", "status"),
    [
        ("2.13", {}, 400),
        ("2.13", {"onSharedStorage": True}, 400),
        ("2.13", {"onSharedStorage": True, "adminPass": "x"}, 400),
        ("2.14", {"onSharedStorage": False}, 400),
        ("2.28", {"host": "h2", "force": True}, 400),
        ("2.29", {"force": True}, 400),
        ("2.68", {"host": "h2", "force": False}, 400),
        ("2.95", {"host": "h9"}, 404),
        ("2.95", {"host": "h1"}, 400),
        ("2.95", None, 400),
    ],
)
async def test_evacuations_that_are_none(room: Room, version: str, body: Any, status: int) -> None:
    await hosts(room, forced_down=True)
    server_id = await placed(room)
    assert (await act(room, version, server_id, evacuate=body)).status_code == status
    assert (await row(room, server_id)).task_state is None


# --- what is known of migrations -------------------------------------------------------------------------


async def running(room: Room, server_id: str) -> int:
    """Its live migration is running; the number it has."""
    assert (await act(room, "latest", server_id, **{"os-migrateLive": LIVE})).status_code == 202
    db = room.gateway.services.db
    (migration,) = await moves.list_migrations(db, instance_id=server_id)
    await db.run(lambda conn: moves.update(conn, migration.id, "running", destination="h2"))
    await moves.record_progress(db, migration.id, {"memoryTotalBytes": 100, "memoryProcessedBytes": 40})
    return migration.number


async def test_a_servers_live_migration_is_shown_with_its_progress(room: Room) -> None:
    await hosts(room)
    server_id = await placed(room)
    path = f"/compute/v2.1/servers/{server_id}/migrations"
    admin = at(room, "admin", "latest")
    assert (await admin.get(path)).json() == {"migrations": []}
    number = await running(room, server_id)
    (listed,) = (await admin.get(path)).json()["migrations"]
    assert (listed["id"], listed["status"], listed["server_uuid"]) == (number, "running", server_id)
    assert (listed["memory_total_bytes"], listed["memory_processed_bytes"]) == (100, 40)
    assert (listed["source_compute"], listed["dest_compute"]) == ("h1", "h2")
    assert (listed["dest_node"], listed["dest_host"]) == ("h2.example", "192.0.2.7")
    assert (await admin.get(f"{path}/{number}")).json()["migration"] == listed
    for missing in (number + 1, "x"):
        assert (await admin.get(f"{path}/{missing}")).status_code == 404
    old = (await at(room, "admin", "2.23").get(path)).json()["migrations"][0]
    assert listed.keys() - old.keys() == {"uuid", "user_id", "project_id"}
    assert (await at(room, "admin", "2.22").get(path)).status_code == 404


@pytest.mark.parametrize(
    ("version", "state", "status"),
    [("2.24", "running", 202), ("2.64", "preparing", 400), ("2.65", "preparing", 202)],
)
async def test_a_live_migration_is_aborted(room: Room, version: str, state: str, status: int) -> None:
    await hosts(room)
    server_id = await placed(room)
    number = await running(room, server_id)
    db = room.gateway.services.db
    (migration,) = await moves.list_migrations(db, instance_id=server_id)
    await db.run(lambda conn: moves.update(conn, migration.id, state))
    path = f"/compute/v2.1/servers/{server_id}/migrations"
    assert (await at(room, "admin", version).delete(f"{path}/{number + 7}")).status_code == 404
    answer = await room.admin.delete(f"{path}/{number}")
    assert answer.status_code == status, answer.text
    move = (await row(room, server_id)).move
    assert move is not None
    assert move.abort is (status == 202)


async def test_a_live_migration_is_hurried_only_while_it_runs(room: Room) -> None:
    await hosts(room)
    server_id = await placed(room)
    path = f"/compute/v2.1/servers/{server_id}/migrations"
    admin = at(room, "admin", "2.22")
    body = {"force_complete": None}
    assert (await admin.post(f"{path}/1/action", json=body)).status_code == 409
    assert (await admin.delete(f"{path}/1")).status_code == 404
    number = await running(room, server_id)
    admin = at(room, "admin", "2.22")
    assert (await admin.post(f"{path}/{number + 1}/action", json=body)).status_code == 400
    assert (await admin.post(f"{path}/{number}/action", json=body)).status_code == 202
    move = (await row(room, server_id)).move
    assert move is not None
    assert move.force_complete
    listed = (await admin.get(f"/compute/v2.1/servers/{server_id}/os-instance-actions")).json()
    assert listed["instanceActions"][0]["action"] == "live_migration_force_complete"


async def test_the_clouds_migrations_are_listed_in_pages_and_by_filters(room: Room) -> None:
    await hosts(room)
    first, second = await placed(room), await placed(room, "h2")
    assert (await act(room, "latest", first, migrate=None)).status_code == 202
    await running(room, second)
    path = "/compute/v2.1/os-migrations"
    admin = at(room, "admin", "latest")
    found = (await admin.get(path)).json()["migrations"]
    assert [one["instance_uuid"] for one in found] == [second, first]
    assert [one["migration_type"] for one in found] == ["live-migration", "migration"]
    assert ["links" in one for one in found] == [True, False]
    own = found[0]["project_id"]
    for query, expected in {
        "migration_type=migration": [first],
        "migration_type=teleport": [],
        "status=running": [second],
        "host=h1": [first],
        "source_compute=h2": [second],
        f"instance_uuid={first}": [first],
        f"project_id={own}": [second, first],
        "project_id=none": [],
        "user_id=nobody": [],
        "changes-since=2099-01-01T00:00:00Z": [],
        "changes-before=2099-01-01T00:00:00Z": [second, first],
        "hidden=true": [],
    }.items():
        listed = (await admin.get(f"{path}?{query}")).json()["migrations"]
        assert [one["instance_uuid"] for one in listed] == expected, query
    page = (await admin.get(f"{path}?limit=1")).json()
    assert [one["instance_uuid"] for one in page["migrations"]] == [second]
    after = await admin.get(page["migrations_links"][0]["href"])
    assert [one["instance_uuid"] for one in after.json()["migrations"]] == [first]
    assert (await admin.get(f"{path}?marker=none")).status_code == 400
    assert (await admin.get(f"{path}?colour=red")).status_code == 400
    old = (await at(room, "admin", "2.1").get(f"{path}?colour=red")).json()["migrations"]
    assert len(old) == 2
    assert old[0].keys() == {
        "created_at", "dest_compute", "dest_host", "dest_node", "id", "instance_uuid",
        "new_instance_type_id", "old_instance_type_id", "source_compute", "source_node", "status",
        "updated_at",
    }  # fmt: skip
    assert (await at(room, "member", "latest").get(path)).status_code == 403
