"""Moves, and what else takes several steps, asked for through the Compute API and by spec."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from cairn_crds import ComputeNode, Instance
from cairn_database import InstanceRecord, VmState, instances, moving, reshaping, shelving
from cairn_database.images import snapshots
from faults.actors import Act, Operation, Play

STORE = "http://images.test"
AWAY_SECONDS = (5.0, 90.0)
OLD_ENOUGH = 3
"""Of how many hosts one may be lost at a time."""


def _on_row(ask: Callable[[Play, InstanceRecord], Awaitable[Any]], what: str, *states: VmState) -> Act:
    """An operation on a random live row, of one in these states where there is one."""

    async def act(play: Play) -> str | None:
        fitting = play.ids(*states)
        if not fitting:
            return None
        record = await instances.get(play.world.db, play.rng.choice(fitting))
        play.touched.add(record.id)
        await ask(play, record)
        return f"{what} {record.name}"

    act.__doc__ = f"Nova API: {what}."
    return act


async def _resize(play: Play, record: InstanceRecord) -> None:
    name = "large" if record.flavor["name"] == "small" else "small"
    body = play.world.server.body("flavors", "", name)
    assert body is not None
    await moving.resize(
        play.world.db, record.id, play.asked(), flavor={"id": name, **body["spec"], "name": name}
    )


async def _shelve(play: Play, record: InstanceRecord) -> None:
    db = play.world.db
    image_id, url = await snapshots.reserve(
        db, STORE, name=f"{record.name}-shelved", instance=record, image_id=str(play.world.clock.new_uuid())
    )
    await shelving.shelve(db, record.id, play.asked(), image_id=image_id, url=url)


async def _snapshot(play: Play, record: InstanceRecord) -> None:
    db = play.world.db
    image_id, url = await snapshots.reserve(
        db, STORE, name=f"{record.name}-image", instance=record, image_id=str(play.world.clock.new_uuid())
    )
    await reshaping.snapshot(db, record.id, play.asked(), image_id=image_id, url=url)


async def _unshelve(play: Play, record: InstanceRecord) -> None:
    await shelving.unshelve(play.world.db, record.id, play.asked())


def _moving(name: str) -> Callable[[Play, InstanceRecord], Awaitable[Any]]:
    return lambda play, record: getattr(moving, name)(play.world.db, record.id, play.asked())


async def resize_by_spec(play: Play) -> str | None:
    """kubectl patch: spec.flavor; back again is a revert."""
    body = play.some()
    if body is None:
        return None
    flavor = play.rng.choice(("small", "large"))
    name = play.touch(body)
    play.world.change(Instance, name, {"spec": {"flavor": flavor}})
    return f"flavor of {name} to {flavor}"


async def rebuild_by_spec(play: Play) -> str | None:
    """kubectl patch: spec.rebuild."""
    body = play.some()
    if body is None:
        return None
    name = play.touch(body)
    generation = body["spec"]["rebuild"]["generation"] + 1
    play.world.change(Instance, name, {"spec": {"rebuild": {"generation": generation}}})
    return f"rebuild {name}"


async def lose_host(play: Play) -> str | None:
    """A host is off for good, an administrator says so, its instances are evacuated; then it comes back."""
    world = play.world
    if len(world.hosts) < OLD_ENOUGH or world.lost_hosts or not world.sql.is_up or not world.connection.is_up:
        return None
    name = play.rng.choice(list(world.hosts))
    for record in await instances.list_by_host(world.db, name):
        play.touched.add(record.id)
    for machine in world.hosts[name].machines():
        play.touched.add(machine.instance_id)
    world.lose_host(name)
    world.change(ComputeNode, name, {"spec": {"forcedDown": True}})
    world.loop.create_task(_evacuate(play, name), context=world.outside)
    return f"lose host {name}"


async def _evacuate(play: Play, name: str) -> None:
    from cairn_database import DatabaseError
    from cairn_runtime.kubernetes import KubernetesError

    world = play.world
    await asyncio.sleep(play.rng.uniform(1.0, 10.0))
    try:
        for record in await instances.list_by_host(world.db, name):
            if play.rng.random() < 0.8:
                play.touched.add(record.id)
                await moving.evacuate(world.db, record.id, play.asked())
    except (DatabaseError, KubernetesError):
        pass  # not yet seen as forced down, or nothing to evacuate
    await asyncio.sleep(play.rng.uniform(*AWAY_SECONDS))
    world.find_host(name)


MOVING: dict[str, Operation] = {
    "resize by API": Operation(3, _on_row(_resize, "resize"), needs_sql=True, needs_api=False),
    "resize": Operation(3, resize_by_spec),
    "confirm": Operation(
        3, _on_row(_moving("confirm_resize"), "confirm", VmState.RESIZED), needs_sql=True, needs_api=False
    ),
    "revert": Operation(
        2, _on_row(_moving("revert_resize"), "revert", VmState.RESIZED), needs_sql=True, needs_api=False
    ),
    "migrate": Operation(2, _on_row(_moving("migrate"), "migrate"), needs_sql=True, needs_api=False),
    "live migrate": Operation(
        4, _on_row(_moving("live_migrate"), "live-migrate", VmState.ACTIVE), needs_sql=True, needs_api=False
    ),
    "abort a live migration": Operation(
        1, _on_row(_moving("abort_live_migration"), "abort"), needs_sql=True, needs_api=False
    ),
    "shelve": Operation(2, _on_row(_shelve, "shelve"), needs_sql=True, needs_api=False),
    "unshelve": Operation(
        3,
        _on_row(_unshelve, "unshelve", VmState.SHELVED, VmState.SHELVED_OFFLOADED),
        needs_sql=True,
        needs_api=False,
    ),
    "soft delete": Operation(
        1, _on_row(_moving("soft_delete"), "soft-delete"), needs_sql=True, needs_api=False
    ),
    "restore": Operation(
        1, _on_row(_moving("restore"), "restore", VmState.SOFT_DELETED), needs_sql=True, needs_api=False
    ),
    "snapshot": Operation(2, _on_row(_snapshot, "snapshot"), needs_sql=True, needs_api=False),
    "rebuild by API": Operation(
        1,
        _on_row(
            lambda play, record: reshaping.rebuild(
                play.world.db, record.id, play.asked(), image=record.image
            ),
            "rebuild",
        ),
        needs_sql=True,
        needs_api=False,
    ),
    "rebuild": Operation(1, rebuild_by_spec),
    "rescue": Operation(
        1,
        _on_row(
            lambda play, record: reshaping.rescue(play.world.db, record.id, play.asked(), image=record.image),
            "rescue",
        ),
        needs_sql=True,
        needs_api=False,
    ),
    "unrescue": Operation(
        1,
        _on_row(
            lambda play, record: reshaping.unrescue(play.world.db, record.id, play.asked()),
            "unrescue",
            VmState.RESCUED,
        ),
        needs_sql=True,
        needs_api=False,
    ),
    "lose a host": Operation(0.5, lose_host, needs_sql=True),
}
"""As `operations.OPERATIONS`."""
