"""What projects have used, through the Compute API."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa

from cairn_database import InstanceRecord, instances, tables
from integration.database.support import SMALL, new
from integration.gateway.catalog.conftest import Town

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = {"start": "2026-01-01T12:00:00", "end": "2026-01-02T12:00:00"}


def hours(number: float) -> datetime:
    return NOON + timedelta(hours=number)


async def ran(
    town: Town, project: str, begin: float | None, end: float | None, **changes: Any
) -> InstanceRecord:
    """An instance that was launched `begin` hours after noon and ended `end` hours after it."""
    name = changes.pop("name", f"web-{uuid.uuid4().hex[:6]}")
    record = await instances.register(
        town.services.db, new(name, project=project, namespace=project, **changes)
    )
    values: dict[str, Any] = {
        "launched_at": None if begin is None else hours(begin),
        "terminated_at": None if end is None else hours(end),
        "vm_state": "active",
    }
    if end is not None:
        values |= {"deleted": record.id, "deleted_at": hours(end), "vm_state": "deleted"}
    update = sa.update(tables.instances).where(tables.instances.c.id == record.id).values(values)
    await town.services.db.run(lambda conn: conn.execute(update))
    return record


async def usage_of(client: httpx.AsyncClient, project_id: str, **query: str) -> dict[str, Any]:
    answer = await client.get(f"/os-simple-tenant-usage/{project_id}", params={**DAY, **query})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()["tenant_usage"]
    return shown


async def test_hours_are_counted_inside_the_period_only(town: Town) -> None:
    big = {**SMALL, "vcpus": 2, "memoryMiB": 1024, "diskGiB": 10, "displayName": "m1.big"}
    await ran(town, town.project, -5, 2, flavor=big, name="early")
    await ran(town, town.project, 20, None, flavor=big, name="late")
    await ran(town, town.project, -5, -1)
    await ran(town, town.project, 30, None)
    await ran(town, town.project, None, None)
    client = await town.client()
    shown = await usage_of(client, await town.project_id(town.project))
    servers = {item["name"]: item for item in shown["server_usages"]}
    assert {name: item["hours"] for name, item in servers.items()} == {"early": 2.0, "late": 4.0}
    assert (shown["total_hours"], shown["total_vcpus_usage"], shown["total_memory_mb_usage"]) == (
        6.0,
        12.0,
        6144.0,
    )
    assert shown["total_local_gb_usage"] == 60.0
    assert (shown["start"], shown["stop"]) == ("2026-01-01T12:00:00.000000", "2026-01-02T12:00:00.000000")
    early = servers["early"]
    assert (early["state"], early["ended_at"]) == ("terminated", "2026-01-01T14:00:00.000000")
    assert (early["flavor"], early["uptime"], early["tenant_id"]) == ("m1.big", 7 * 3600, shown["tenant_id"])
    assert (servers["late"]["state"], servers["late"]["ended_at"]) == ("active", None)


async def test_all_projects_are_listed_for_administrators(town: Town) -> None:
    await ran(town, town.project, 0, 1)
    await ran(town, town.other, 0, 3)
    admin, member = await town.client("admin"), await town.client()
    assert (await member.get("/os-simple-tenant-usage", params=DAY)).status_code == 403
    other = await town.project_id(town.other)
    assert (await member.get(f"/os-simple-tenant-usage/{other}", params=DAY)).status_code == 403
    found = (await admin.get("/os-simple-tenant-usage", params=DAY)).json()["tenant_usages"]
    assert sorted(item["total_hours"] for item in found) == [1.0, 3.0]
    assert all("server_usages" not in item for item in found)
    detailed = await admin.get("/os-simple-tenant-usage", params={**DAY, "detailed": "1"})
    assert [len(item["server_usages"]) for item in detailed.json()["tenant_usages"]] == [1, 1]


async def test_usage_is_paged(town: Town) -> None:
    for number in range(3):
        await ran(town, town.project, number, None)
        await ran(town, town.other, number, None)
    admin = await town.client("admin")
    paths = ("/os-simple-tenant-usage", f"/os-simple-tenant-usage/{await town.project_id(town.project)}")
    for path, key, wanted in zip(paths, ("tenant_usages", "tenant_usage"), (6, 3), strict=True):
        ids: list[str] = []
        url = f"{path}?limit=2&detailed=1&start={DAY['start']}&end={DAY['end']}"
        while url:
            body = (await admin.get(url)).json()
            parts = body[key] if isinstance(body[key], list) else [body[key]]
            ids += [item["instance_id"] for part in parts for item in part.get("server_usages", [])]
            url = body[f"{key}_links"][0]["href"] if f"{key}_links" in body else ""
        assert (len(ids), len(set(ids))) == (wanted, wanted)
    old = await town.client("admin", version="2.39")
    body = (await old.get(paths[1], params={**DAY, "limit": "1"})).json()
    assert (len(body["tenant_usage"]["server_usages"]), body.keys()) == (3, {"tenant_usage"})


async def test_what_nova_refuses_is_refused(town: Town) -> None:
    admin = await town.client("admin")
    for query, message in (
        (
            {"start": DAY["end"], "end": DAY["start"]},
            "Invalid start time. The start time cannot occur after the end time.",
        ),
        ({"start": "yesterday"}, "Invalid datetime string: Datetime is in invalid format"),
        ({**DAY, "marker": "none"}, "Marker none could not be found."),
    ):
        answer = await admin.get("/os-simple-tenant-usage", params=query)
        assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, message)
    assert (await admin.get("/os-simple-tenant-usage", params={**DAY, "unknown": "1"})).status_code == 400
    assert (await admin.get("/os-simple-tenant-usage/", params=DAY)).status_code == 404
    nothing = await usage_of(admin, "nothing")
    assert nothing == {}
