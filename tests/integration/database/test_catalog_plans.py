"""What the Compute API asks of the catalog, quotas and usage reads no table whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cairn_crds.flavor import FlavorSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import Database, catalog, key_pairs, quota_limits, quotas, server_groups, usage
from integration.database.conftest import sqlite_only
from integration.database.support import active, make_cloud
from integration.database.test_query_plans import _plans, _statements

GROUP = "00000000-0000-4000-8000-000000000001"


@sqlite_only
async def test_what_the_api_asks_uses_an_index(db: Database) -> None:
    await make_cloud(db)
    group = ServerGroupSpec(id=GROUP, user="alice", policy=GroupPolicy.AFFINITY)
    now = datetime.now(UTC)
    with _statements() as seen:
        await catalog.flavors.reserve(db, "tiny", FlavorSpec(vcpus=1, memory_mib=1))
        await catalog.flavor_by_id(db, "tiny")
        await catalog.key_pairs.reserve(
            db, "blue", "key", KeyPairSpec(user="alice", public_key="ssh"), "blue"
        )
        await key_pairs.find(db, "alice", "blue", "none")
        await key_pairs.list_for(db, "alice", "blue")
        await server_groups.reserve(db, "blue", "group", group, "blue")
        await active(db, group_id=GROUP)
        await server_groups.by_id(db, GROUP)
        await server_groups.owned(db, "blue")
        await quotas.usages(db, "blue", "alice")
        await quota_limits.set_user(db, "blue", "alice", {"cores": 100})
        await usage.ran_in(db, "blue", usage.Period(now - timedelta(days=1), now), after="a", limit=10)
    plans = await _plans(db, seen)
    scans = [f"{step}: {statement}" for statement, steps in plans.items() for step in steps if "SCAN" in step]
    assert len(plans) > 15
    assert scans == []
