"""Flavors and key pairs that are older than their API ids."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from cairn_database import Database, catalog, key_pairs, migrations
from cairn_database.types import JsonText, UtcDateTime
from integration.database.conftest import Place

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def table(name: str, *columns: str) -> sa.TableClause:
    kinds = {"spec": JsonText(), "updated_at": UtcDateTime(), "removed_at": UtcDateTime()}
    return sa.table(name, *(sa.column(column, kinds.get(column, sa.String())) for column in columns))


async def test_what_was_there_is_known_by_its_resources_name(place: Place) -> None:
    url = place.new()
    await migrations.upgrade(url, "0005")
    flavors = table("flavors", "name", "spec", "updated_at", "removed_at")
    pairs = table("key_pairs", "namespace", "name", "spec", "updated_at")
    spec = {"vcpus": 1, "memoryMiB": 64}
    rows = [
        {"name": "tiny", "spec": spec, "updated_at": BEFORE, "removed_at": None},
        {"name": "gone", "spec": spec, "updated_at": BEFORE, "removed_at": BEFORE},
    ]
    key = {"namespace": "blue", "name": "key", "spec": {"publicKey": "ssh-rsa AAAA"}, "updated_at": BEFORE}

    def fill(conn: sa.Connection) -> None:
        conn.execute(sa.insert(flavors), rows)
        conn.execute(sa.insert(pairs), key)

    async with Database(url) as db:
        await db.run(fill)
    await migrations.upgrade(url)
    async with Database(url) as db:
        found = await catalog.flavor_by_id(db, "tiny")
        assert found is not None
        assert (found.name, found.spec.vcpus, found.created_at) == ("tiny", 1, BEFORE)
        assert await catalog.flavor_by_id(db, "gone") is None
        assert [item.name for item in await key_pairs.list_for(db, "alice", "blue")] == ["key"]
