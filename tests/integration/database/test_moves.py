"""Moves: what is held of hosts and quota at each step, and that nothing of it is left whatever happens."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_crds.guest_operation import OperationKind
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceRecord,
    QuotaExceeded,
    TaskState,
    VmState,
    asking,
    claims,
    hosts,
    instances,
    moves,
    moving,
    nodes,
    quotas,
    removal,
    shelving,
    tables,
)
from cairn_database.asking import Asked
from cairn_database.claims import Claimed, Refused
from cairn_database.legality import ActionRefused, InstanceLocked
from cairn_database.moving import HostStillInUse, UnknownHost
from cairn_database.records import MoveKind, Operation
from cairn_database.steps import Holding
from integration.database.support import (
    LARGE,
    active,
    assert_consistent,
    assert_nothing_left,
    claim_of,
    make_cloud,
    place,
    resized,
    step,
)

ASKED = Asked(request_id="req-move")
T = TaskState


async def held(db: Database) -> dict[tuple[str, str], tuple[int, int]]:
    """(purpose, host) → vCPUs and MiB."""
    query = sa.select(tables.allocations)
    rows = await db.read(lambda conn: conn.execute(query).all())
    return {(row.purpose, row.host): (row.vcpus, row.memory_mib) for row in rows}


async def used(db: Database) -> tuple[int, int]:
    """Cores and MiB that the project's quota counts."""
    report = await quotas.report(db, "blue")
    return report.cores.in_use, report.memory_mib.in_use


async def test_a_resize_holds_both_ends_and_the_larger_quota_until_it_is_confirmed(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    row = await moving.resize(db, row.id, ASKED, flavor=LARGE)
    assert (row.task_state, row.awaiting_host, row.spec["flavor"]) == (T.RESIZE_PREP, True, "large")
    assert await used(db) == (4, 4096)
    row = await place(db, row, "host-1", LARGE)
    assert (row.host, row.move and row.move.destination, row.awaiting_host) == ("host-0", "host-1", False)
    assert await held(db) == {("own", "host-0"): (1, 512), ("move", "host-1"): (4, 4096)}
    await assert_consistent(db)

    epoch = row.fencing_epoch
    row = await step(db, row, task_state=T.RESIZE_FINISH, host="host-1", flavor=LARGE, holding=Holding.SWAP)
    assert (row.host, row.fencing_epoch) == ("host-1", epoch + 1)
    assert await held(db) == {("move", "host-0"): (1, 512), ("own", "host-1"): (4, 4096)}
    row = await step(db, row, task_state=None, vm_state=VmState.RESIZED, migration="finished")
    await assert_consistent(db)

    row = await moving.confirm_resize(db, row.id, ASKED)
    row = await step(
        db,
        row,
        task_state=None,
        vm_state=VmState.ACTIVE,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="confirmed",
    )
    assert await held(db) == {("own", "host-1"): (4, 4096)}
    assert await used(db) == (4, 4096)
    [migration] = await moves.list_migrations(db, instance_id=row.id)
    assert (migration.status, migration.kind, migration.source, migration.destination) == (
        *("confirmed", MoveKind.RESIZE),
        *("host-0", "host-1"),
    )
    assert migration.ended_at is not None
    await assert_consistent(db)
    await removal.begin_delete(db, row.id)
    await removal.finish_delete(db, row.id)
    await assert_nothing_left(db)


async def test_a_reverted_resize_gives_back_what_it_took(db: Database) -> None:
    await make_cloud(db)
    row = await resized(db)
    row = await moving.revert_resize(db, row.id, ASKED)
    assert (row.task_state, row.spec["flavor"]) == (T.RESIZE_REVERTING, "small")
    assert row.move is not None
    small = row.move.old_flavor
    row = await step(
        db, row, task_state=T.RESIZE_REVERTING, host="host-0", flavor=small, holding=Holding.SWAP
    )
    await step(
        db,
        row,
        task_state=None,
        vm_state=VmState.ACTIVE,
        move=None,
        holding=Holding.DROP_OTHER,
        migration="reverted",
    )
    assert await held(db) == {("own", "host-0"): (1, 512)}
    assert await used(db) == (1, 512)
    await assert_consistent(db)


async def test_a_resize_on_the_same_host_needs_room_for_both(db: Database) -> None:
    await make_cloud(db, hosts=1, vcpus=4)
    row = await active(db)
    row = await moving.resize(db, row.id, ASKED, flavor=LARGE)
    amounts = {"vcpus": 4, "memory_mib": 4096}
    [outcome] = await claims.claim_many(db, [claim_of(row, "host-0", **amounts)])
    assert isinstance(outcome, Refused)
    row = await claims.place_failed(db, row.id, row.version, "1 host: CoreFilter removed 1.")
    assert (row.task_state, row.vm_state, row.move, row.awaiting_host) == (None, VmState.ACTIVE, None, False)
    assert row.fault_message == "No valid host was found. 1 host: CoreFilter removed 1."
    assert row.spec["flavor"] == "small"
    assert await used(db) == (1, 512)
    [migration] = await moves.list_migrations(db)
    assert migration.status == "error"
    await assert_consistent(db)


async def test_a_resize_past_the_quota_changes_nothing(db: Database) -> None:
    await make_cloud(db, quotas={"instances": 10, "cores": 3, "memoryMiB": -1})
    row = await active(db)
    with pytest.raises(QuotaExceeded, match="cores"):
        await moving.resize(db, row.id, ASKED, flavor=LARGE)
    assert await moves.list_migrations(db) == []
    await assert_consistent(db)


async def test_of_many_who_ask_at_once_one_begins(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    asked = [
        moving.resize(db, row.id, ASKED, flavor=LARGE),
        moving.migrate(db, row.id, ASKED),
        moving.live_migrate(db, row.id, ASKED),
        shelving.shelve(db, row.id, ASKED, image_id="i", url="u"),
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, InstanceRecord) for result in results) == 1
    assert all(isinstance(result, InstanceRecord | ActionRefused) for result in results), results
    await assert_consistent(db)


async def test_a_delete_at_any_moment_gives_everything_back(db: Database) -> None:
    await make_cloud(db)
    for state in ("waiting", "placed", "switched", "resized"):
        row = await resized(db) if state == "resized" else await active(db)
        if state != "resized":
            row = await moving.resize(db, row.id, ASKED, flavor=LARGE)
        if state in ("placed", "switched"):
            row = await place(db, row, "host-1", LARGE)
        if state == "switched":
            row = await step(
                db, row, task_state=T.RESIZE_FINISH, host="host-1", flavor=LARGE, holding=Holding.SWAP
            )
        await removal.begin_delete(db, row.id)
        await assert_consistent(db)
        await removal.finish_delete(db, row.id)
        await assert_nothing_left(db)
        [migration] = await moves.list_migrations(db, instance_id=row.id)
        assert (migration.status, migration.message) == ("error", "The instance was deleted meanwhile.")


async def test_a_live_migration_ends_on_the_other_host_alone(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    row = await moving.live_migrate(db, row.id, ASKED, host="host-1")
    row = await place(db, row, "host-1")
    row = await step(db, row, task_state=T.MIGRATING, host="host-1", holding=Holding.MOVE_ON)
    assert await held(db) == {("own", "host-1"): (1, 512)}
    await step(db, row, task_state=None, move=None, migration="completed")
    await assert_consistent(db)


async def test_a_shelved_instance_holds_no_host_and_finds_one_again(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    row = await shelving.shelve(db, row.id, ASKED, image_id="i", url="u")
    row = await step(db, row, task_state=T.SHELVING_OFFLOADING, vm_state=VmState.SHELVED)
    row = await step(
        db, row, task_state=None, vm_state=VmState.SHELVED_OFFLOADED, host=None, holding=Holding.DROP_ALL
    )
    assert await held(db) == {}
    await assert_consistent(db)
    row = await shelving.unshelve(db, row.id, ASKED, host="host-1")
    assert (row.awaiting_host, row.move and row.move.wanted_host) == (True, "host-1")
    row = await place(db, row, "host-1")
    assert (row.host, row.task_state) == ("host-1", T.UNSHELVING)
    assert await held(db) == {("own", "host-1"): (1, 512)}
    await step(db, row, task_state=None, vm_state=VmState.ACTIVE, move=None)
    await assert_consistent(db)


async def test_only_a_host_that_is_forced_down_is_evacuated(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    with pytest.raises(HostStillInUse):
        await moving.evacuate(db, row.id, ASKED)
    spec = ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, "forcedDown": True})
    status = ComputeNodeStatus(vcpus=16, memory_mib=2**20, disk_gib=2**20)
    await nodes.upsert_compute_node(db, "host-0", spec, status)
    row = await moving.evacuate(db, row.id, ASKED)
    row = await place(db, row, "host-1")
    row = await step(db, row, task_state=T.REBUILD_SPAWNING, host="host-1", holding=Holding.MOVE_ON)
    assert await held(db) == {("own", "host-1"): (1, 512)}
    await step(db, row, task_state=None, move=None, migration="done", launched=True)
    await assert_consistent(db)


async def test_an_evacuation_gives_back_what_the_resize_before_it_took_of_the_quota(db: Database) -> None:
    await make_cloud(db, hosts=3)
    row = await active(db)
    before = await used(db)
    await moving.resize(db, row.id, ASKED, flavor=LARGE)
    spec = ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, "forcedDown": True})
    status = ComputeNodeStatus(vcpus=16, memory_mib=2**20, disk_gib=2**20)
    await nodes.upsert_compute_node(db, "host-0", spec, status)
    row = await moving.evacuate(db, row.id, ASKED)
    assert row.spec["flavor"] == row.flavor["name"]
    assert await used(db) == before
    await assert_consistent(db)


async def test_an_evacuation_ends_the_migration_that_its_host_was_lost_in(db: Database) -> None:
    await make_cloud(db, hosts=3)
    row = await active(db)
    row = await moving.live_migrate(db, row.id, ASKED, host="host-1")
    row = await place(db, row, "host-1")
    spec = ComputeNodeSpec.model_validate({"ratios": {"cpu": 1.0}, "forcedDown": True})
    status = ComputeNodeStatus(vcpus=16, memory_mib=2**20, disk_gib=2**20)
    await nodes.upsert_compute_node(db, "host-0", spec, status)
    row = await moving.evacuate(db, row.id, ASKED)
    assert row.move is not None
    assert row.move.kind is MoveKind.EVACUATION
    assert await held(db) == {("own", "host-0"): (1, 512)}
    statuses = [migration.status for migration in await moves.list_migrations(db)]
    assert statuses == ["accepted", "error"]
    await assert_consistent(db)


async def test_what_is_not_allowed_begins_nothing(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    with pytest.raises(UnknownHost, match="could not be found"):
        await moving.migrate(db, row.id, ASKED, host="nowhere")
    with pytest.raises(UnknownHost, match="already"):
        await moving.live_migrate(db, row.id, ASKED, host="host-0")
    with pytest.raises(ActionRefused, match=r"'confirmResize' instance .* while it is in vm_state active"):
        await moving.confirm_resize(db, row.id, ASKED)
    with pytest.raises(ActionRefused):
        await shelving.unshelve(db, row.id, ASKED)
    locked = {**row.request, "spec": {**row.spec, "locked": True}}
    row = await instances.update_request(db, row.id, row.version, request=locked)
    with pytest.raises(InstanceLocked):
        await moving.resize(db, row.id, ASKED, flavor=LARGE)
    stale = Asked(request_id="r", overrides_lock=True, version=row.version - 1)
    with pytest.raises(ConcurrentUpdate):
        await moving.resize(db, row.id, stale, flavor=LARGE)
    assert await moves.list_migrations(db) == []


async def test_a_move_that_waits_for_a_host_can_be_cancelled(db: Database) -> None:
    await make_cloud(db)
    row = await active(db)
    row = await moving.live_migrate(db, row.id, ASKED)
    row = await moving.cancel(db, row.id, row.version, "aborted")
    assert (row.task_state, row.move, row.fault_message) == (None, None, None)
    [migration] = await moves.list_migrations(db)
    assert migration.status == "cancelled"


async def test_claims_of_moves_and_builds_never_pass_a_hosts_limits(db: Database) -> None:
    await make_cloud(db, hosts=2, vcpus=4)
    rows = [await active(db, "host-0", name=f"web-{number}") for number in range(4)]
    rows = [await moving.live_migrate(db, row.id, ASKED) for row in rows]
    rivals = [claims.claim_many(db, [claim_of(row, "host-1") for row in rows]) for _ in range(3)]
    outcomes = [outcome for group in await asyncio.gather(*rivals) for outcome in group]
    assert sum(isinstance(outcome, Claimed) for outcome in outcomes) == 4
    usage = {host.name: host.vcpus_used for host in await hosts.load_hosts(db)}
    assert usage == {"host-0": 4, "host-1": 4}
    await assert_consistent(db)


async def test_a_reset_keeps_what_another_host_has_and_lets_a_copy_go_on(db: Database) -> None:
    await make_cloud(db)
    row = await resized(db)
    row = await moving.revert_resize(db, row.id, ASKED)
    row = await asking.reset_state(db, row.id, VmState.ACTIVE, request_id="req-reset")
    assert (row.task_state, row.vm_state, row.operation) == (None, VmState.ACTIVE, None)
    assert await held(db) == {("own", "host-1"): (4, 4096), ("move", "host-0"): (1, 512)}
    await assert_consistent(db)
    row = await moving.live_migrate(db, row.id, ASKED, host="host-0")
    assert await held(db) == {("own", "host-1"): (4, 4096)}
    row = await place(db, row, "host-0", LARGE)
    sends = Operation("op", OperationKind.LIVE_MIGRATE, "host-1")
    row = await step(db, row, task_state=T.MIGRATING, operation=sends)
    with pytest.raises(ActionRefused):
        await asking.reset_state(db, row.id, VmState.ACTIVE, request_id="req-reset")
    await assert_consistent(db)
