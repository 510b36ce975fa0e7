"""Room in a quota that is taken before there is a row for it."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest
import sqlalchemy as sa

from cairn_database import Database
from cairn_database.networking import limits, reservations
from cairn_database.networking.errors import NetworkQuotaExceeded
from cairn_database.networking.reservations import reserved
from cairn_database.networking.tables import network_reservations
from integration.database.support import make_cloud

RULE = "security_group_rule"
MANY = 16


async def used(db: Database) -> int:
    return await db.read(lambda conn: limits.used(conn, "blue", RULE))


async def test_all_at_once_take_no_more_than_there_is(databases: list[Database]) -> None:
    db = databases[0]
    await make_cloud(db)
    await limits.set_limits(db, "blue", {RULE: 5})
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def take(number: int) -> bool:
        try:
            async with reserved(databases[number % len(databases)], "blue", RULE, str(uuid.uuid4())):
                begun.release()
                await go_on.wait()
        except NetworkQuotaExceeded:
            begun.release()
            return False
        return True

    tasks = [asyncio.create_task(take(number)) for number in range(MANY)]
    for _ in tasks:
        await begun.acquire()
    assert await used(db) == 5
    go_on.set()
    assert sum(await asyncio.gather(*tasks)) == 5
    assert await used(db) == 0


async def test_what_fails_gives_its_room_back(db: Database) -> None:
    await make_cloud(db)

    class Trouble(Exception):
        pass

    async def fail() -> None:
        async with reserved(db, "blue", RULE, "one"):
            assert await used(db) == 1
            raise Trouble

    with pytest.raises(Trouble):
        await fail()
    assert await used(db) == 0


async def test_room_that_nobody_gave_back_is_free_after_a_while(db: Database) -> None:
    await make_cloud(db)
    await limits.set_limits(db, "blue", {RULE: 1})
    lost = reserved(db, "blue", RULE, "lost")
    await lost.__aenter__()
    with pytest.raises(NetworkQuotaExceeded):
        async with reserved(db, "blue", RULE, "next"):
            pass
    past = reservations.now() - timedelta(seconds=1)
    await db.run(lambda conn: conn.execute(sa.update(network_reservations).values(until=past)).rowcount)
    assert await used(db) == 0
    async with reserved(db, "blue", RULE, "next"):
        assert await used(db) == 1
