"""Ids, names and quotas of what the API makes: one transaction decides, however many ask at once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from cairn_crds.flavor import FlavorSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.project import ProjectSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import (
    Database,
    DisplayNameTaken,
    IdTaken,
    QuotaExceeded,
    catalog,
    instances,
    key_pairs,
    quota_limits,
    quotas,
    server_groups,
    tenants,
)
from cairn_database.flavors import Seen
from integration.database.support import make_cloud, new

FLAVOR = FlavorSpec(id="1", display_name="m1.tiny", vcpus=1, memory_mib=512)
MANY = 16


async def project(db: Database, name: str = "blue", **quotas: int) -> None:
    await tenants.upsert_project(db, name, ProjectSpec.model_validate({"quotas": quotas}))


def key(name: str, user: str = "alice") -> KeyPairSpec:
    return KeyPairSpec(display_name=name, user=user, public_key="ssh-ed25519 AAAA")


def group(name: str, user: str = "alice") -> ServerGroupSpec:
    return ServerGroupSpec(id=str(uuid.uuid4()), display_name=name, user=user, policy=GroupPolicy.AFFINITY)


async def accepted(
    databases: list[Database], attempt: Callable[[Database, int], Awaitable[object]]
) -> list[object]:
    """What became of MANY attempts at once over four processes' worth of connections; None: refused."""

    async def one(number: int) -> object:
        try:
            return await attempt(databases[number % len(databases)], number)
        except (QuotaExceeded, DisplayNameTaken, IdTaken):
            return None

    results = await asyncio.gather(*(one(number) for number in range(MANY)))
    return [result for result in results if result]


async def test_only_one_gets_an_id_or_a_name(databases: list[Database]) -> None:
    table = catalog.flavors
    by_id = await accepted(
        databases,
        lambda db, n: table.reserve(db, f"a{n}", FLAVOR.model_copy(update={"display_name": f"m1.{n}"})),
    )
    assert len(by_id) == 1
    other = FLAVOR.model_copy(update={"display_name": "m1.small"})
    by_name = await accepted(
        databases, lambda db, n: table.reserve(db, f"b{n}", other.model_copy(update={"id": f"b{n}"}))
    )
    assert len(by_name) == 1
    assert sorted(flavor.name for flavor in await table.records(databases[0]))[0].startswith("m1")


async def test_a_users_key_pairs_never_pass_the_limit(databases: list[Database]) -> None:
    db = databases[0]
    await project(db, "blue", keyPairs=5)
    await project(db, "green", keyPairs=5)

    async def attempt(database: Database, number: int) -> bool:
        home = "blue" if number % 2 else "green"
        return await catalog.key_pairs.reserve(database, home, f"key-{number}", key(f"k{number}"), home)

    assert len(await accepted(databases, attempt)) == 5
    assert await key_pairs.count_of(db, "alice") == 5
    assert await catalog.key_pairs.reserve(db, "blue", "other", key("k", "bob"), "blue")


async def test_a_name_is_one_key_of_a_user(databases: list[Database]) -> None:
    db = databases[0]
    await project(db)
    made = await accepted(
        databases, lambda base, n: catalog.key_pairs.reserve(base, "blue", f"key-{n}", key("mine"), "blue")
    )
    assert len(made) == 1
    assert len(await key_pairs.list_for(db, "alice", "blue")) == 1


async def test_server_groups_never_pass_the_limit(databases: list[Database]) -> None:
    db = databases[0]
    await project(db, serverGroups=4)
    made = await accepted(
        databases, lambda base, n: server_groups.reserve(base, "blue", f"g{n}", group(f"g{n}"), "blue")
    )
    assert len(made) == 4
    assert len(await server_groups.owned(db, "blue")) == 4


async def test_a_users_groups_stay_inside_the_users_limit(databases: list[Database]) -> None:
    db = databases[0]
    await project(db)
    await quota_limits.set_user(db, "blue", "alice", {"server_groups": 2})
    made = await accepted(
        databases, lambda base, n: server_groups.reserve(base, "blue", f"g{n}", group(f"g{n}"), "blue")
    )
    assert len(made) == 2
    assert await server_groups.reserve(db, "blue", "other", group("other", "bob"), "blue")


async def test_a_users_instances_never_pass_the_users_limit(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    await quota_limits.set_user(db, "blue", "alice", {"instances": 3})

    async def attempt(database: Database, number: int) -> object:
        wanted = replace(new(f"web-{number}"), user_id="alice" if number % 2 else "bob")
        return await instances.register(database, wanted)

    made = await accepted(databases, attempt)
    by_user = [record.user_id for record in made if isinstance(record, instances.InstanceRecord)]
    assert (by_user.count("alice"), by_user.count("bob")) == (3, MANY // 2)
    assert (await quotas.report(db, "blue")).instances.in_use == 3 + MANY // 2


async def test_projects_follow_the_default_class(db: Database) -> None:
    await project(db, "blue", cores=7)
    await quota_limits.set_class(db, "default", {"cores": 50, "memory_mib": 1000, "floating_ips": 9})
    await project(db, "green")
    assert [
        ((await quotas.report(db, name)).cores.limit, (await quotas.report(db, name)).memory_mib.limit)
        for name in ("blue", "green")
    ] == [(7, 1000), (50, 1000)]
    assert (await quota_limits.project_limits(db, "blue"))["floating_ips"] == 9
    assert (await quota_limits.user_limits(db, "blue", "alice"))["cores"] == 7
    await quota_limits.set_user(db, "blue", "alice", {"cores": 3})
    await quota_limits.set_user(db, "blue", "bob", {"cores": 2})
    assert await quota_limits.sum_of_users(db, "blue", "bob") == {"cores": 3}
    assert (await quota_limits.user_limits(db, "blue", "alice"))["cores"] == 3
    await quota_limits.forget_user(db, "blue", "alice")
    assert (await quota_limits.user_limits(db, "blue", "alice"))["cores"] == 7


async def test_what_the_api_deleted_is_not_brought_back_by_a_late_look(db: Database) -> None:
    table = catalog.flavors
    assert await table.reserve(db, "tiny", FLAVOR)
    assert await table.upsert(db, "tiny", FLAVOR, Seen("uid-1", 1))
    newer = FLAVOR.model_copy(update={"description": "newer"})
    assert await table.upsert(db, "tiny", newer, Seen("uid-1", 2))
    assert not await table.upsert(db, "tiny", FLAVOR, Seen("uid-1", 1))
    assert (await table.get(db, "tiny")) == newer
    await table.remove(db, "tiny", "uid-1")
    assert not await table.upsert(db, "tiny", newer, Seen("uid-1", 2))
    assert await catalog.flavor_by_id(db, "1") is None
    assert await table.upsert(db, "tiny", FLAVOR, Seen("uid-2", 1))
    again = await catalog.flavor_by_id(db, "1")
    assert again is not None
    assert again.spec == FLAVOR

    await project(db)
    await catalog.key_pairs.upsert(db, "blue", "key", key("key"), "uid-3")
    await catalog.key_pairs.remove(db, "blue", "key", "uid-3")
    assert not await catalog.key_pairs.upsert(db, "blue", "key", key("key"), "uid-3")
    assert await key_pairs.find(db, "alice", "blue", "key") is None

    spec = group("group")
    await server_groups.upsert_server_group(db, "blue", "group", spec, group_id="uid-4", uid="uid-4")
    await server_groups.remove_server_group(db, "blue", "group", "uid-4")
    await server_groups.upsert_server_group(db, "blue", "group", spec, group_id="uid-4", uid="uid-4")
    assert await server_groups.owned(db) == []


async def test_a_reservation_is_given_up_unless_the_resource_is_there(db: Database) -> None:
    table = catalog.flavors
    assert await table.reserve(db, "tiny", FLAVOR)
    assert not await table.reserve(db, "tiny", FLAVOR.model_copy(update={"id": "2", "display_name": "b"}))
    await table.release(db, "tiny")
    assert await table.records(db) == []
    assert await table.reserve(db, "tiny", FLAVOR)
    await table.upsert(db, "tiny", FLAVOR, Seen("uid", 1))
    await table.release(db, "tiny")
    assert len(await table.records(db)) == 1


async def test_an_id_stays_and_is_nobody_elses(db: Database) -> None:
    table = catalog.flavors
    await table.upsert(db, "tiny", FLAVOR)
    await table.upsert(db, "tiny", FLAVOR.model_copy(update={"id": "other"}))
    assert await catalog.flavor_by_id(db, "other") is None
    with pytest.raises(IdTaken, match=r"The id 1 is taken by Flavor tiny"):
        await table.upsert(db, "second", FLAVOR)
    with pytest.raises(DisplayNameTaken, match=r"The name m1\.tiny is taken by Flavor tiny"):
        await table.upsert(db, "second", FLAVOR.model_copy(update={"id": "2"}))
    await table.upsert(db, "plain", FlavorSpec(vcpus=1, memory_mib=1))
    plain = await catalog.flavor_by_id(db, "plain")
    assert plain is not None
    assert (plain.id, plain.name, plain.resource) == ("plain", "plain", "plain")
    spec = group("one")
    await server_groups.upsert_server_group(db, "blue", "one", spec, group_id="uid-1")
    with pytest.raises(IdTaken):
        await server_groups.upsert_server_group(db, "blue", "two", spec, group_id="uid-2")
