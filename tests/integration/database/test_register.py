"""Accepting an instance, finding it, and recording what is asked of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cairn_crds.instance import PowerState
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceNotFound,
    KeyPairRecord,
    NameTaken,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    ServerGroupNotFound,
    TaskState,
    VmState,
    history,
    instances,
    quotas,
    removal,
    tenants,
)
from integration.database.support import (
    LARGE,
    UNLIMITED,
    active,
    assert_consistent,
    assert_nothing_left,
    delete,
    make_cloud,
    new,
)


async def test_an_accepted_instance_waits_for_the_scheduler_with_all_that_was_asked_for(db: Database) -> None:
    await make_cloud(db)
    asked = new(
        key_pair=KeyPairRecord("key", "ssh-ed25519 AAAA"),
        request={"flavor": "small", "userData": "größe\n" * 20000},
        hints={"differentHost": ["other"]},
        availability_zone="east",
        resource_uid="uid-1",
    )
    record = await instances.register(db, asked)
    assert (record.vm_state, record.task_state) == (VmState.BUILDING, TaskState.SCHEDULING)
    assert (record.power_state, record.host, record.version) == (PowerState.NO_STATE, None, 1)
    assert await instances.get(db, record.id) == record
    assert await instances.list_unscheduled(db) == [record]
    assert record.request == asked.request
    assert record.key_pair == asked.key_pair
    [action] = await history.list_actions(db, record.id)
    assert (action.action, action.request_id, action.finished_at) == ("create", "req-create", None)
    usage = await quotas.report(db, "blue")
    assert (usage.instances.in_use, usage.cores.in_use, usage.memory_mib.in_use) == (1, 1, 512)


async def test_registering_the_same_id_again_changes_nothing(db: Database) -> None:
    await make_cloud(db)
    asked = new()
    first = await instances.register(db, asked)
    again = await instances.register(db, replace(asked, request={"other": "input"}))
    assert again == first
    assert len(await history.list_actions(db, asked.id)) == 1
    assert (await quotas.report(db, "blue")).instances.in_use == 1
    await assert_consistent(db)


async def test_the_same_id_registered_by_four_processes_at_once_is_one_instance(
    databases: list[Database],
) -> None:
    await make_cloud(databases[0])
    asked = new()
    records = await asyncio.gather(*(instances.register(db, asked) for db in databases))
    assert {record.version for record in records} == {1}
    assert (await quotas.report(databases[0], "blue")).instances.in_use == 1
    await assert_consistent(databases[0])


async def test_a_name_is_taken_until_its_holder_is_deleted(db: Database) -> None:
    await make_cloud(db)
    for _ in range(3):
        holder = await instances.register(db, new("web"))
        with pytest.raises(NameTaken, match=holder.id):
            await instances.register(db, new("web"))
        other = await instances.register(db, new("web", namespace="green"))
        await removal.begin_delete(db, holder.id)
        with pytest.raises(NameTaken):
            await instances.register(db, new("web"))
        await removal.finish_delete(db, holder.id)
        assert await instances.get_by_name(db, "blue", "web") is None
        await delete(db, other)
    await assert_nothing_left(db)


async def test_of_many_who_ask_for_a_name_at_once_one_gets_it(databases: list[Database]) -> None:
    await make_cloud(databases[0])
    results = await asyncio.gather(
        *(instances.register(databases[index % 4], new("web")) for index in range(12)), return_exceptions=True
    )
    assert sum(isinstance(result, NameTaken) for result in results) == 11
    await assert_consistent(databases[0])


async def test_names_that_differ_in_case_are_different(db: Database) -> None:
    await make_cloud(db)
    await instances.register(db, new("web"))
    await instances.register(db, new("WEB"))


async def test_a_project_must_be_there_and_enabled(db: Database) -> None:
    await make_cloud(db)
    with pytest.raises(ProjectNotFound, match="green"):
        await instances.register(db, new(project="green"))
    await tenants.upsert_project(db, "blue", ProjectSpec(enabled=False))
    with pytest.raises(ProjectDisabled, match="blue"):
        await instances.register(db, new())
    await tenants.remove_project(db, "blue")
    with pytest.raises(ProjectNotFound):
        await instances.register(db, new())
    await assert_nothing_left(db)


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ({"instances": 1}, "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances"),
        ({"cores": 6}, "Quota exceeded for cores: Requested 4, but already used 4 of 6 cores"),
        ({"memoryMiB": 8191}, "Quota exceeded for ram: Requested 4096, but already used 4096 of 8191 ram"),
    ],
)
async def test_quota_is_refused_in_novas_words(db: Database, quota: dict[str, int], message: str) -> None:
    await make_cloud(db, quotas=UNLIMITED | quota)
    await instances.register(db, new("first", flavor=LARGE))
    with pytest.raises(QuotaExceeded, match=message):
        await instances.register(db, new("second", flavor=LARGE))
    await assert_consistent(db)


async def test_parallel_requests_never_pass_the_quota(databases: list[Database]) -> None:
    await make_cloud(databases[0], quotas=UNLIMITED | {"cores": 20})
    results = await asyncio.gather(
        *(instances.register(databases[index % 4], new(f"web-{index}", flavor=LARGE)) for index in range(24)),
        return_exceptions=True,
    )
    refused = [result for result in results if isinstance(result, QuotaExceeded)]
    assert len(refused) == 19
    assert {refusal.resource for refusal in refused} == {"cores"}
    assert (await quotas.report(databases[0], "blue")).cores.in_use == 20
    await assert_consistent(databases[0])


async def test_a_lowered_quota_refuses_more_and_lets_go(db: Database) -> None:
    await make_cloud(db)
    record = await instances.register(db, new(flavor=LARGE))
    await tenants.upsert_project(db, "blue", ProjectSpec.model_validate({"quotas": {"cores": 1}}))
    with pytest.raises(QuotaExceeded):
        await instances.register(db, new("second"))
    await delete(db, record)
    await instances.register(db, new("second"))


async def test_recount_heals_counters_that_somebody_edited(db: Database) -> None:
    await make_cloud(db)
    await instances.register(db, new())
    assert not await quotas.recount(db, "blue")

    from cairn_database.tables import projects

    await db.run(lambda conn: conn.execute(projects.update().values(cores_used=17)))
    assert await quotas.recount(db, "blue")
    assert (await quotas.report(db, "blue")).cores.in_use == 1
    with pytest.raises(ProjectNotFound):
        await quotas.recount(db, "green")


async def test_a_member_joins_its_server_group_and_leaves_it(db: Database) -> None:
    await make_cloud(db, quotas=UNLIMITED | {"serverGroupMembers": 2})
    spec = ServerGroupSpec(policy=GroupPolicy.ANTI_AFFINITY)
    group = await tenants.upsert_server_group(db, "blue", "apart", spec, group_id="group-1")
    first = await instances.register(db, new("a", group_id=group.id))
    await instances.register(db, new("b", group_id=group.id))
    with pytest.raises(QuotaExceeded, match="server_group_members"):
        await instances.register(db, new("c", group_id=group.id))
    await delete(db, first)
    await instances.register(db, new("c", group_id=group.id))
    with pytest.raises(ServerGroupNotFound):
        await instances.register(db, new("d", group_id="nowhere"))
    await assert_consistent(db)


async def test_what_never_was_is_not_found(db: Database) -> None:
    with pytest.raises(InstanceNotFound, match="nothing"):
        await instances.get(db, "nothing")
    assert await instances.get_by_name(db, "blue", "nothing") is None
    assert await instances.get_many(db, ["nothing"]) == {}


async def test_pages_of_live_instances_hold_each_once(db: Database) -> None:
    await make_cloud(db)
    wanted = {(await instances.register(db, new(f"web-{index}"))).id for index in range(7)}
    gone = await instances.register(db, new("gone"))
    await delete(db, gone)
    seen: list[str] = []
    after: str | None = None
    while page := await instances.list_live(db, after, limit=3):
        seen += [record.id for record in page]
        after = page[-1].id
    assert seen == sorted(wanted)
    assert set(await instances.get_many(db, [*wanted, gone.id])) == {*wanted, gone.id}
    assert await instances.count_by_state(db) == {(VmState.BUILDING, TaskState.SCHEDULING): 7}


async def test_edits_and_a_new_resource_are_recorded_once(db: Database) -> None:
    await make_cloud(db)
    record = await active(db)
    edited = await instances.update_request(
        db, record.id, record.version, request={"metadata": {"a": "b"}}, hints={"group": "g"}
    )
    assert (edited.request, edited.hints) == ({"metadata": {"a": "b"}}, {"group": "g"})
    same = await instances.update_request(db, record.id, edited.version, request={"metadata": {"a": "b"}})
    assert same == edited
    bound = await instances.bind(db, record.id, edited.version, resource_uid="uid-2", generation=4, shown={})
    assert (bound.resource_uid, bound.version) == ("uid-2", edited.version + 1)
    assert bound.request == {"metadata": {"a": "b"}, "generation": 4, "shown": {}}
    with pytest.raises(ConcurrentUpdate):
        await instances.bind(db, record.id, edited.version, resource_uid="uid-3", generation=1, shown={})


async def test_a_hosts_instances_are_listed_while_they_live(db: Database) -> None:
    await make_cloud(db)
    one = await active(db, name="one")
    two = await active(db, "host-1", name="two")
    assert await instances.list_by_host(db, "host-0") == [one]
    keys = await instances.list_keys(db)
    assert {(key.id, key.version) for key in keys} == {(one.id, one.version), (two.id, two.version)}
    assert await instances.list_keys(db, after_id=max(one.id, two.id)) == []
    await delete(db, one)
    assert await instances.list_by_host(db, "host-0") == []
