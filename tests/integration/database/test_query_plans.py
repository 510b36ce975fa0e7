"""Hot statements find their rows by an index: with 100,000 instances they cost what they cost with ten."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from cairn_crds.instance import PowerState
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    Database,
    TaskState,
    VmState,
    asking,
    claims,
    failures,
    history,
    hosts,
    instances,
    listing,
    quotas,
    tasks,
    tenants,
)
from cairn_database.asking import Asked
from cairn_database.listing import Filter, InstanceQuery, Operator
from integration.database.conftest import sqlite_only
from integration.database.support import active, delete, make_cloud, new, spawning

Statement = tuple[str, Any]

READS_IT_ALL: dict[str, Callable[[Database], Awaitable[object]]] = {
    "count_by_state": instances.count_by_state,
    "load_hosts": hosts.load_hosts,
}


@contextmanager
def _statements() -> Iterator[list[Statement]]:
    """Every statement that SQLAlchemy sends meanwhile."""
    seen: list[Statement] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if re.match(r"(SELECT|UPDATE|DELETE)\b", statement):
            seen.append((statement, parameters[0] if many else parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def _plans(db: Database, statements: list[Statement]) -> dict[str, list[str]]:
    def explain(conn: sa.Connection) -> dict[str, list[str]]:
        return {
            statement: [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            for statement, parameters in statements
        }

    return await db.read(explain)


def _complaints(plans: dict[str, list[str]]) -> list[str]:
    bad = re.compile(r"^SCAN (?!CONSTANT)|TEMP B-TREE FOR ORDER BY")
    return [
        f"{step}: {statement}" for statement, steps in plans.items() for step in steps if bad.search(step)
    ]


LISTS = (
    InstanceQuery(project="blue", limit=10),
    InstanceQuery(limit=10),
    InstanceQuery(project="blue", filters=(Filter(Operator.IN, "vm_state", ["active"]),), limit=10),
    InstanceQuery(project="blue", filters=(Filter(Operator.MATCHES, "display_name", "web"),), limit=10),
    InstanceQuery(project="blue", filters=(Filter(Operator.ANY_TAG, "", ("a", "b")),), limit=10),
    InstanceQuery(project="blue", filters=(Filter(Operator.ADDRESS_MATCHES, "", "10.0"),), limit=10),
    InstanceQuery(filters=(Filter(Operator.EQUAL, "reservation_id", "r-1"),), limit=10),
)
"""What people ask of GET /servers; others may sort, but not read more than a project."""


async def _everything_hot(db: Database) -> None:
    """A boot, a stop, failures, deletes, and every list that a process asks for again and again."""
    group = await tenants.upsert_server_group(
        db, "blue", "group", ServerGroupSpec(policy=GroupPolicy.ANTI_AFFINITY), group_id="g"
    )
    record = await active(db, group_id=group.id)
    record = await tasks.begin_task(db, record.id, record.version, TaskState.POWERING_OFF, action="stop")
    await tasks.finish_task(
        db,
        record.id,
        record.version,
        expected_task_state=TaskState.POWERING_OFF,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
    )
    broken = await spawning(db, name="broken")
    await failures.reschedule(db, broken.id, broken.version, exclude_host="host-0", message="again")
    rule = claims.GroupRule(group.id, group.policy, 1, (await hosts.group_hosts(db, group.id))[0])
    other = await instances.register(db, new("other", group_id=group.id))
    other = await instances.bind(db, other.id, other.version, resource_uid="uid", generation=1, shown={})
    request = claims.ClaimRequest(other.id, other.version, "host-1", 1, 1, 1, rule)
    await claims.claim_many(db, [request])
    await instances.list_live(db)
    await instances.list_live(db, after_id=record.id)
    await instances.list_keys(db, after_id=record.id)
    await instances.list_unscheduled(db)
    await instances.list_awaiting_host(db)
    await instances.list_by_host(db, "host-0")
    await instances.get_by_name(db, "blue", "other")
    await instances.get_many(db, [record.id, other.id])
    await hosts.load_hosts(db, changed_since=0)
    await hosts.load_hosts(db, names=["host-0"])
    await hosts.group_hosts(db, group.id)
    await quotas.recount(db, "blue")
    await quotas.report(db, "blue")
    await history.list_actions(db, record.id)
    for query in LISTS:
        await listing.list_instances(db, query)
    await asking.change_power(db, record.id, "start", Asked(request_id="req-1"))
    await delete(db, record)
    await tenants.project_of_namespace(db, "blue")


@sqlite_only
async def test_hot_statements_use_an_index(db: Database) -> None:
    await make_cloud(db)
    with _statements() as seen:
        await _everything_hot(db)
    plans = await _plans(db, seen)
    assert len(plans) > 35
    assert _complaints(plans) == []


OF_STATE = Filter(Operator.IN, "vm_state", ["error"])
OF_HOST = Filter(Operator.EQUAL, "host", "host-0")


@sqlite_only
@pytest.mark.parametrize(
    ("query", "index"),
    [
        (InstanceQuery(), "ix_instances_created_at (deleted=?)"),
        (InstanceQuery(filters=(OF_STATE,)), "ix_instances_vm_state (deleted=? AND vm_state=?)"),
        (InstanceQuery(filters=(OF_HOST,)), "ix_instances_host (host=? AND deleted=?)"),
        (InstanceQuery(project="blue"), "ix_instances_project (project=? AND deleted=?)"),
        (
            InstanceQuery(project="blue", filters=(OF_STATE,)),
            "ix_instances_project (project=? AND deleted=?)",
        ),
    ],
)
async def test_a_list_reads_no_more_than_it_shows(db: Database, query: InstanceQuery, index: str) -> None:
    """Where most of a cloud is in one state, and most of it is other projects'."""
    await make_cloud(db)
    marker = await active(db)
    following = replace(query, marker=marker.id)
    with _statements() as seen:
        await listing.list_instances(db, query)
        await listing.list_instances(db, following)
    first, _marker, after = [plan[0] for plan in (await _plans(db, seen)).values()]
    assert first == f"SEARCH instances USING INDEX {index}"
    assert after == first.replace("deleted=?", "deleted=? AND created_at<?") or (
        after == first.replace("vm_state=?", "vm_state=? AND created_at<?")
    )


@sqlite_only
@pytest.mark.parametrize("name", READS_IT_ALL)
async def test_the_check_sees_a_full_scan(db: Database, name: str) -> None:
    for index in ("ix_instances_deleted", "ix_instances_created_at", "ix_instances_vm_state"):
        await db.run(lambda conn, index=index: conn.exec_driver_sql(f"DROP INDEX {index}"))  # type: ignore[misc]
    with _statements() as seen:
        await READS_IT_ALL[name](db)
    assert _complaints(await _plans(db, seen)) != []
