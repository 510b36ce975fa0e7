"""Migrations, audits, external events, volumes' proxies, and what was removed."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from cairn_crds.flavor import FlavorSpec
from cairn_database import instances
from integration.gateway.compute_admin.conftest import Cloud
from integration.gateway.compute_admin.instances import place, unplaced

BASE = "/compute/v2.1"


async def test_there_are_no_migrations_and_who_may_see_that(cloud: Cloud) -> None:
    path = f"{BASE}/os-migrations"
    for version in ("2.1", "2.23", "2.59", "2.66", "2.80", "latest"):
        assert (await (await cloud.at(version)).get(path)).json() == {"migrations": []}
    for query in ("sort=up", "limit=x", f"marker={uuid.uuid4()}", "changes-since=yesterday"):
        assert (await cloud.admin.get(f"{path}?{query}")).status_code == 400
    order = "changes-since=2026-01-02T00:00:00Z&changes-before=2026-01-01T00:00:00Z"
    assert (await cloud.admin.get(f"{path}?{order}")).status_code == 400
    assert (await (await cloud.at("2.65")).get(f"{path}?{order}")).status_code == 400
    assert (await (await cloud.at("2.58")).get(f"{path}?sort=up&limit=x")).status_code == 200
    manager = await cloud.gateway.caller("blue", "manager")
    client = cloud.gateway.client(manager)
    assert (await client.get(path)).status_code == 403
    assert (await client.get(path, params={"project_id": manager.project_id})).status_code == 200
    assert (await cloud.anybody.get(path)).status_code == 403


async def test_no_host_has_run_an_audit(cloud: Cloud) -> None:
    await cloud.host("one")
    path = f"{BASE}/os-instance_usage_audit_log"
    log = (await cloud.admin.get(path)).json()["instance_usage_audit_logs"]
    assert (log["num_hosts"], log["hosts_not_run"], log["log"]) == (1, ["one"], {})
    shown = (await cloud.admin.get(f"{path}/2026-03-15 10:00:00.000001")).json()["instance_usage_audit_log"]
    assert (shown["period_beginning"], shown["period_ending"]) == (
        *("2026-02-01 00:00:00", "2026-03-01 00:00:00"),
    )
    for text in ("invalid_time", "0001-01-01 00:00:00", "2026-13-01 00:00:00"):
        assert (await cloud.admin.get(f"{path}/{text}")).status_code == 400
    assert (await cloud.anybody.get(path)).status_code == 403
    assert (await cloud.anybody.get(f"{path}/invalid_time")).status_code == 403


async def test_events_are_answered_one_by_one(cloud: Cloud) -> None:
    await cloud.host("one")
    placed = await place(cloud.db, "one", "web")
    waiting = (await instances.register(cloud.db, unplaced("db", FlavorSpec(vcpus=1, memory_mib=1)))).id
    path = f"{BASE}/os-server-external-events"

    async def send(*events: dict[str, Any], version: str = "latest") -> Any:
        service = cloud.gateway.client(await cloud.gateway.caller("blue", "service"), version)
        return await service.post(path, json={"events": list(events)})

    event = {"name": "network-changed", "server_uuid": placed}
    done = await send(event)
    assert done.status_code == 200
    assert done.json() == {"events": [{**event, "status": "completed", "code": 200}]}
    tagged = {"name": "volume-extended", "server_uuid": placed, "tag": "vol", "status": "completed"}
    unknown = {**event, "server_uuid": str(uuid.uuid4())}
    mixed = await send(
        tagged,
        {"name": "volume-extended", "server_uuid": placed},
        unknown,
        {**event, "server_uuid": waiting},
    )
    assert mixed.status_code == 207
    assert [(item["code"], item["status"]) for item in mixed.json()["events"]] == [
        *((200, "completed"), (400, "failed"), (404, "failed"), (422, "failed")),
    ]
    assert (await send(tagged, version="2.50")).status_code == 400
    assert (await send({**event, "name": "coffee-ready"})).status_code == 400
    assert (await send({**event, "server_uuid": "web"})).status_code == 400
    assert (await send()).status_code == 400
    assert (await cloud.anybody.post(path, json={"events": [event]})).status_code == 403


@pytest.mark.parametrize("kind", ["volumes", "snapshots"])
async def test_there_are_no_volumes(cloud: Cloud, kind: str) -> None:
    path, older = (
        f"{BASE}/os-{kind}",
        cloud.gateway.client(await cloud.gateway.caller("blue", "member"), "2.35"),
    )
    assert (await older.get(path)).json() == (await older.get(f"{path}/detail")).json() == {kind: []}
    assert (await older.get(f"{path}/{uuid.uuid4()}")).status_code == 404
    assert (await older.delete(f"{path}/{uuid.uuid4()}")).status_code == 404
    assert (await older.post(path, json={})).status_code == 501
    assert (await cloud.anybody.get(path)).status_code == 404


async def test_a_volume_service_is_told_that_its_snapshots_are_not_made(cloud: Cloud) -> None:
    service = cloud.gateway.client(await cloud.gateway.caller("blue", "service"))
    path = f"{BASE}/os-assisted-volume-snapshots"
    assert (await service.post(path, json={})).status_code == 501
    assert (await service.delete(f"{path}/{uuid.uuid4()}")).status_code == 501
    assert (await cloud.anybody.post(path, json={})).status_code == 403


async def test_there_is_no_bare_metal(cloud: Cloud) -> None:
    older = await cloud.at("2.35")
    assert (await older.get(f"{BASE}/os-baremetal-nodes")).json() == {"nodes": []}
    assert (await older.get(f"{BASE}/os-baremetal-nodes/1")).status_code == 404
    assert (await older.post(f"{BASE}/os-baremetal-nodes", json={})).status_code == 400
    assert (await cloud.admin.get(f"{BASE}/os-baremetal-nodes")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "os-agents"),
        ("GET", "os-cells"),
        ("GET", "os-cells/detail"),
        ("GET", "os-certificates/root"),
        ("GET", "os-cloudpipe"),
        ("GET", "os-fping"),
        ("GET", "servers/x/consoles"),
    ],
)
async def test_what_was_removed_is_gone(cloud: Cloud, method: str, path: str) -> None:
    answer = await cloud.anybody.request(method, f"{BASE}/{path}")
    assert answer.status_code == 410
