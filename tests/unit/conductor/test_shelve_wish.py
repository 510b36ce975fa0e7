"""Shelving by an edit of the spec: an image is reserved for what may begin, and goes with what does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_database import ConcurrentUpdate, Database, InstanceRecord, TaskState, legality, nodes
from cairn_database.asking import Asked
from cairn_database.images import listing
from cairn_database.rows import compare_and_set, now
from cairn_operator.conductor import wishes
from cairn_operator.conductor.scope import Scope
from unit.conductor.test_changes import active, db

__all__ = ["db"]


@pytest_asyncio.fixture
async def scope(db: Database) -> AsyncIterator[Scope]:
    settings = SimpleNamespace(image_store_url="http://gateway.test")
    yield cast(Scope, SimpleNamespace(env=SimpleNamespace(db=db, settings=settings, kubernetes=None)))


async def placed(db: Database) -> InstanceRecord:
    row = await active(db)
    return await db.run(lambda conn: compare_and_set(conn, row, moment=now(), host="h1"))


async def images(db: Database) -> list[Any]:
    return await listing.page(db, listing.ImageQuery(viewer=listing.Viewer("demo", True)))


def asked(version: int) -> Asked:
    return Asked(request_id="req-1", overrides_lock=True, version=version)


async def test_it_is_shelved_as_an_image(db: Database, scope: Scope) -> None:
    row = await placed(db)
    after = await wishes._shelve(scope, row, asked(row.version))
    assert after.task_state is TaskState.SHELVING
    assert [image.name for image in await images(db)] == [f"{row.display_name}-shelved"]


async def test_a_host_that_makes_no_images_is_asked_for_none(db: Database, scope: Scope) -> None:
    row = await placed(db)
    status = ComputeNodeStatus(vcpus=1, traits=["COMPUTE_CAIRN_PAUSE"])
    await nodes.upsert_compute_node(db, str(row.host), ComputeNodeSpec(), status)
    with pytest.raises(legality.NotCapable):
        await wishes._shelve(scope, row, asked(row.version))
    assert await images(db) == []


async def test_a_lost_race_leaves_no_image(db: Database, scope: Scope) -> None:
    row = await placed(db)
    with pytest.raises(ConcurrentUpdate):
        await wishes._shelve(scope, row, asked(row.version - 1))
    assert await images(db) == []
