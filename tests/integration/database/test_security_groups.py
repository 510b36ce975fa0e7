"""Security groups in SQL: the newest version of the resource stays, whoever brings it."""

from __future__ import annotations

import uuid

from cairn_crds.security_group import Direction, SecurityGroupRule, SecurityGroupSpec
from cairn_database import Database
from cairn_database.networking import groups
from cairn_database.networking.groups import GroupKey, Source
from cairn_database.networking.tables import security_group_rules as rules
from integration.database.support import make_cloud


def spec(*protocols: str) -> SecurityGroupSpec:
    return SecurityGroupSpec(
        rules=[SecurityGroupRule(direction=Direction.INGRESS, protocol=name) for name in protocols]
    )


async def test_an_older_version_of_a_group_takes_nothing_back(db: Database) -> None:
    await make_cloud(db)
    key, uid = GroupKey("blue", "blue", "web"), str(uuid.uuid4())
    group_id = await groups.upsert(db, key, spec("tcp"), Source(uid, 1))

    async def protocols() -> set[str | None]:
        return {rule.protocol for rule in await groups.list_rules(db, rules.c.group_id == group_id)}

    await groups.upsert(db, key, spec("tcp", "udp"), Source(uid, 2))
    assert await groups.upsert(db, key, spec("tcp"), Source(uid, 1)) == group_id
    assert await protocols() == {"tcp", "udp"}
    await groups.upsert(db, key, spec("udp"), Source(uid, 3))
    assert await protocols() == {"udp"}


async def test_another_resource_of_the_name_counts_from_one_again(db: Database) -> None:
    await make_cloud(db)
    key = GroupKey("blue", "blue", "web")
    before = await groups.upsert(db, key, spec("tcp"), Source(str(uuid.uuid4()), 7))
    after = await groups.upsert(db, key, spec("udp"), Source(str(uuid.uuid4()), 1))
    assert after != before
    (rule,) = await groups.list_rules(db, rules.c.group_id == after)
    assert rule.protocol == "udp"
