"""Transactions: whole or not at all, repeated when others are in the way, refused when nobody answers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.util import await_only

from cairn_database import (
    ConcurrentUpdate,
    Database,
    DatabaseSettings,
    DatabaseUnavailable,
    ProjectNotFound,
    claims,
    instances,
    tenants,
)
from cairn_database.engine import RunAgain
from cairn_database.rows import now
from cairn_database.tables import flavors, projects
from integration.database.conftest import Place, servers_only, sqlite_only
from integration.database.support import assert_consistent, make_cloud, new

Transaction = Callable[[sa.Connection], object]


def _insert_flavor(name: str) -> sa.Insert:
    return sa.insert(flavors).values(name=name, spec={}, updated_at=now())


async def test_a_transaction_that_fails_leaves_nothing_and_no_other_is_touched(db: Database) -> None:
    def good(name: str) -> Transaction:
        def transaction(conn: sa.Connection) -> str:
            conn.execute(_insert_flavor(name))
            return name

        return transaction

    def bad(conn: sa.Connection) -> str:
        conn.execute(_insert_flavor("half-done"))
        raise LookupError("changed my mind")

    work: list[Transaction] = [good("a"), bad, good("b"), bad, good("c")]
    results = await asyncio.gather(*(db.run(each) for each in work), return_exceptions=True)
    assert [isinstance(result, LookupError) for result in results] == [False, True, False, True, False]
    names = await db.read(lambda conn: set(conn.scalars(sa.select(flavors.c.name))))
    assert names == {"a", "b", "c"}


async def test_a_key_that_exists_already_is_tried_again_then_reported(db: Database) -> None:
    runs = []

    def transaction(conn: sa.Connection) -> None:
        runs.append(1)
        conn.execute(_insert_flavor("same"))

    await db.run(transaction)
    with pytest.raises(sa.exc.IntegrityError):
        await db.run(transaction)
    assert len(runs) == 1 + 4


async def test_a_race_is_run_again_until_it_is_settled(db: Database) -> None:
    runs = []

    def transaction(conn: sa.Connection) -> int:
        runs.append(1)
        if len(runs) < 3:
            raise RunAgain
        return len(runs)

    assert await db.run(transaction) == 3

    def never(conn: sa.Connection) -> None:
        raise RunAgain

    impatient = Database(db._url.render_as_string(hide_password=False), DatabaseSettings(attempts=2))
    async with impatient:
        with pytest.raises(DatabaseUnavailable):
            await impatient.run(never)


async def test_a_deadlock_is_settled_by_running_again(databases: list[Database]) -> None:
    """Transactions that lock the same two rows, half of them in the opposite order."""
    await make_cloud(databases[0], hosts=0)
    await tenants.upsert_project(databases[0], "green", (await tenants.list_projects(databases[0]))[0].spec)

    def add(first: str, second: str) -> Transaction:
        def transaction(conn: sa.Connection) -> None:
            for name in (first, second):
                conn.execute(
                    sa.update(projects)
                    .where(projects.c.name == name)
                    .values(cores_used=projects.c.cores_used + 1)
                )

        return transaction

    pairs = [("blue", "green"), ("green", "blue")] * 5
    await asyncio.gather(*(databases[index % 4].run(add(*pair)) for index, pair in enumerate(pairs)))
    used = await databases[0].read(lambda conn: list(conn.scalars(sa.select(projects.c.cores_used))))
    assert used == [10, 10]


async def test_what_is_cancelled_is_done_or_not_but_never_half(db: Database) -> None:
    await make_cloud(db)
    tasks = [asyncio.create_task(instances.register(db, new(f"web-{n}"))) for n in range(40)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, BaseException) for result in results) == 20
    assert len(await instances.list_live(db)) >= 20
    await assert_consistent(db)


async def test_a_read_sees_what_was_committed_before_it(databases: list[Database]) -> None:
    await make_cloud(databases[0])
    for index in range(20):
        record = await instances.register(databases[index % 4], new(f"web-{index}"))
        assert await instances.get(databases[(index + 1) % 4], record.id) == record


async def test_a_database_that_is_not_open_says_so(db: Database) -> None:
    closed = Database(db._url.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailable, match="not been opened"):
        await closed.ping()
    await closed.open()
    await closed.open()
    await closed.ping()
    await closed.close()
    await closed.close()
    with pytest.raises(DatabaseUnavailable):
        await closed.run(lambda conn: None)


async def test_errors_of_the_cloud_are_not_repeated(db: Database) -> None:
    runs = []

    def transaction(conn: sa.Connection) -> None:
        runs.append(1)
        raise ConcurrentUpdate("Instance", "x", "version 1", "version 2")

    with pytest.raises(ConcurrentUpdate):
        await db.run(transaction)
    assert len(runs) == 1
    with pytest.raises(ProjectNotFound):
        await instances.register(db, new())


@servers_only
async def test_locks_of_a_process_that_stopped_amid_a_transaction_are_given_up(
    url: str, db: Database
) -> None:
    """A frozen process sends nothing more: the others get in, and once awake it runs it again."""
    await make_cloud(db, hosts=0)
    frozen, awake, runs = asyncio.Event(), asyncio.Event(), []

    def add(conn: sa.Connection) -> None:
        conn.execute(sa.update(projects).values(cores_used=projects.c.cores_used + 1))

    def add_and_freeze(conn: sa.Connection) -> None:
        runs.append(1)
        add(conn)
        if len(runs) == 1:
            frozen.set()
            await_only(awake.wait())
        add(conn)

    async with Database(url, DatabaseSettings(idle_timeout=1)) as victim:
        task = asyncio.create_task(victim.run(add_and_freeze))
        await frozen.wait()
        await db.run(add)
        assert await db.read(lambda conn: conn.scalar(sa.select(projects.c.cores_used))) == 1
        awake.set()
        await task
    assert await db.read(lambda conn: conn.scalar(sa.select(projects.c.cores_used))) == 3
    assert len(runs) == 2


@servers_only
async def test_a_server_that_goes_away_is_unavailable_and_comes_back(place: Place, db: Database) -> None:
    assert place.server is not None
    await make_cloud(db)
    await instances.get_many(db, ["x"])
    place.server.kill()
    try:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await db.ping()
            with pytest.raises(DatabaseUnavailable):
                await instances.register(db, new())
            with pytest.raises(DatabaseUnavailable):
                await Database(place.template).open()
    finally:
        place.server.start()
    await db.ping()
    await make_cloud(db)
    await instances.register(db, new())
    await assert_consistent(db)


# --- SQLite only -----------------------------------------------------------------------------------------


@pytest.fixture
def sqlite_file(url: str) -> Path:
    return Path(sa.make_url(url).database or "")


@sqlite_only
async def test_every_commit_reaches_the_disk(sqlite_file: Path, db: Database) -> None:
    def pragmas(conn: sa.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await db.run(pragmas) == ["wal", 2, 1]
    assert await db.read(pragmas) == ["wal", 2, 1]


@sqlite_only
async def test_another_process_that_writes_is_waited_for(sqlite_file: Path, db: Database) -> None:
    await make_cloud(db)
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    task = asyncio.create_task(instances.register(db, new()))
    assert await instances.list_live(db) == []  # readers do not wait
    assert not task.done()
    other.execute("COMMIT")
    other.close()
    assert (await task).version == 1


@sqlite_only
async def test_a_writer_that_never_ends_makes_the_database_unavailable(sqlite_file: Path, url: str) -> None:
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with Database(url, DatabaseSettings(busy_timeout=0.05, attempts=2)) as db:
        with pytest.raises(DatabaseUnavailable, match="locked"):
            await claims.place_failed(db, "x", 1, "y")
    other.close()


async def test_a_file_is_needed() -> None:
    for url in ("sqlite+aiosqlite://", "sqlite+aiosqlite:///:memory:"):
        with pytest.raises(ValueError, match="file"):
            await Database(url).open()


async def test_a_file_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="unable to open"):
        await Database(f"sqlite+aiosqlite:///{tmp_path}/no/such/directory/x.db").open()
