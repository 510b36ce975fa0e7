"""Volumes whose hosts are lost, and volumes whose conductor is told nothing."""

from __future__ import annotations

import asyncio
import random

import pytest

from cairn_crds import API_VERSION, ComputeNode, HostVolume, Volume
from cairn_database.volumes import attaching, store
from cairn_database.volumes.errors import VolumeGoing
from cairn_database.volumes.store import VolumeRecord
from cairn_database.volumes.wants import VolumeWant
from cairn_operator.conductor.shards import owner
from faults.actors import Play
from faults.scenario import boot, scene
from faults.world.mishaps import Mishap
from faults.world.world import PROJECT, Shape, World

SMALL = Shape(hosts=2, conductors=1, schedulers=1)


def make(world: World, called: str = "data", **spec: str) -> None:
    """kubectl create."""
    metadata = {"name": called, "namespace": PROJECT}
    body = {"apiVersion": API_VERSION, "kind": "Volume", "metadata": metadata}
    world.create({**body, "spec": {"sizeGiB": 1, **spec}})


def is_made(world: World) -> bool:
    """Whether its file is there."""
    rows = world.sql.raw.execute("SELECT made_gib FROM volumes").fetchall()
    return bool(rows) and rows[0][0] == 1


async def one_and_a_volume(world: World) -> tuple[Play, str, VolumeRecord]:
    """A running instance, and a volume that is attached to nobody yet."""
    play = Play(world, random.Random(1))
    await boot(world, "one")
    make(world)
    await world.until(lambda: world.sql.raw.execute("SELECT id FROM volumes").fetchall(), "its row")
    await asyncio.sleep(3.0)
    (server_id,) = play.ids()
    volume = await store.at(world.db, PROJECT, "data")
    assert volume is not None
    return play, server_id, volume


def test_a_shared_volume_of_a_lost_host_is_looked_after_by_one_host() -> None:
    """The HostVolume of the first is gone when that host comes back."""

    async def act(world: World) -> None:
        make(world, backend="Shared", host="node-0")
        await world.until(lambda: is_made(world), "its file")
        world.lose_host("node-0")
        world.change(ComputeNode, "node-0", {"spec": {"forcedDown": True}})
        await asyncio.sleep(2.0)
        world.change(Volume, "data", {"spec": {"description": "still wanted"}})
        await world.until(lambda: world.server.body("hostvolumes", "cairn-node-node-1", name(world)), "moved")
        world.find_host("node-0")

    scene(act, shape=SMALL)


def test_a_host_that_heard_nothing_makes_no_volume_for_an_order_that_has_gone() -> None:
    """Its watch is silent from the creation on; an administrator deletes the HostVolume, absent by then."""

    async def act(world: World) -> None:
        for process in world.alive("agent"):
            world.watches[process.name].silent = True
        make(world, backend="Shared", host="node-0")
        await world.until(lambda: list(world.server.bodies("hostvolumes")), "its HostVolume")
        volume_id = name(world)
        world.remove(Volume, "data")
        await world.until(lambda: _is_absent(world, volume_id), "it is to go")
        world.remove(HostVolume, volume_id, "cairn-node-node-0")
        await world.until(lambda: world.server.body("volumes", PROJECT, "data") is None, "it is gone")
        for watches in world.watches.values():
            watches.silent = False
        world.connection.break_streams()
        await asyncio.sleep(5.0)

    scene(act, shape=SMALL)


def _is_absent(world: World, volume_id: str) -> bool:
    body = world.server.body("hostvolumes", "cairn-node-node-0", volume_id)
    return body is not None and body["spec"]["absent"]


def told_why(world: World) -> bool:
    """Whether the row says why there is no file."""
    return bool(world.sql.raw.execute("SELECT message FROM volumes").fetchone()[0])


def name(world: World) -> str:
    """The volume's id."""
    found: str = world.sql.raw.execute("SELECT id FROM volumes").fetchone()[0]
    return found


def test_a_volume_is_made_for_whom_it_is_attached_to_though_nobody_tells_of_it() -> None:
    """The gateway that attached it died before it could give its conductor a hint."""

    async def act(world: World) -> None:
        play, server_id, volume = await one_and_a_volume(world)
        await attaching.attach(world.db, server_id, play.asked(), VolumeWant(volume_id=volume.id))
        await world.until(lambda: is_made(world), "its file")

    scene(act, shape=SMALL)


def test_a_volume_that_is_deleted_as_it_is_attached_is_made_and_goes_when_it_is_let_go() -> None:
    """kubectl delete and the Compute API in the same moment: it is in use, so the deletion waits."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        await boot(world, "one")
        make(world)
        await world.until(lambda: world.sql.raw.execute("SELECT id FROM volumes").fetchall(), "its row")
        await asyncio.sleep(3.0)
        (server_id,) = play.ids()
        await attaching.attach(world.db, server_id, play.asked(), VolumeWant(volume_id=name(world)))
        world.remove(Volume, "data")
        await world.until(lambda: is_made(world), "its file")
        machines = [host.machine(server_id) for host in world.hosts.values()]
        (machine,) = [machine for machine in machines if machine is not None]
        await world.until(lambda: machine.shape["volumes"], "it is plugged in")
        await attaching.detach(world.db, server_id, play.asked(), name(world))
        await world.until(lambda: not world.server.body("volumes", PROJECT, "data"), "it goes")

    scene(act, shape=SMALL)


def test_a_volume_that_its_host_cannot_make_is_attached_to_nobody() -> None:
    """The attachment ends with the first permanent fault, and its reason; others are refused the volume."""

    async def act(world: World) -> None:
        play, server_id, volume = await one_and_a_volume(world)
        refused = world.faults.order("agent", "driver.make_volume", Mishap.REFUSED, times=100)
        await attaching.attach(world.db, server_id, play.asked(), VolumeWant(volume_id=volume.id))
        await world.until(lambda: told_why(world), "the host gives up", 300.0)
        await asyncio.sleep(2.0)
        found = await store.at(world.db, PROJECT, "data")
        assert found is not None
        assert refused.times < 100, "the host tried"
        assert (found.has_failed, found.instance_ids) == (True, ())
        with pytest.raises(VolumeGoing) as told:
            await attaching.attach(world.db, server_id, play.asked(), VolumeWant(volume_id=volume.id))
        assert "could not be made" in str(told.value)

    for seed in range(1, 4):
        scene(act, seed=seed, shape=SMALL)


@pytest.mark.parametrize(
    ("gate", "mishap"),
    [
        ("sql.commit keep_elsewhere", Mishap.CRASH_AFTER),
        ("kubernetes.POST.hostvolumes", Mishap.CRASH_BEFORE),
    ],
)
def test_a_shared_volume_that_is_deleted_before_its_next_host_knows_of_it_leaves_no_file(
    gate: str, mishap: Mishap
) -> None:
    """The conductor is killed between the row and the host."""

    async def act(world: World) -> None:
        make(world, backend="Shared", host="node-0")
        await world.until(lambda: is_made(world), "its file")
        world.lose_host("node-0")
        killed = world.faults.order("conductor", gate, mishap)
        world.change(ComputeNode, "node-0", {"spec": {"forcedDown": True}})
        world.change(Volume, "data", {"spec": {"description": "still wanted"}})
        await world.until(lambda: not killed.times, "it is killed")
        world.remove(Volume, "data")
        await world.until(lambda: world.server.body("volumes", PROJECT, "data") is None, "it is gone")
        world.find_host("node-0")

    scene(act, shape=SMALL)


@pytest.mark.parametrize("seed", range(1, 5))
def test_a_conductor_that_has_not_heard_of_a_deletion_makes_no_volume_anew(seed: int) -> None:
    """Its watches are silent as it gets the share of another one, which has let volumes go."""

    async def act(world: World) -> None:
        names = [f"vol-{number}" for number in range(6)]
        for called in names:
            make(world, called, host="node-0")
        await asyncio.sleep(10.0)
        for process, watches in world.watches.items():
            watches.silent = process.startswith("conductor-0")
        gone = [called for called in names if _owner(called) == "conductor-1"]
        assert gone
        for called in gone:
            world.remove(Volume, called)
        await world.until(
            lambda: not any(world.server.body("volumes", PROJECT, called) for called in gone), "they are gone"
        )
        for process in world.alive("conductor-1"):
            world.pause(process)
        await asyncio.sleep(15.0)
        for process in world.alive("conductor-1"):
            world.resume(process)
        await asyncio.sleep(10.0)
        assert {body["metadata"]["name"] for body in world.server.bodies("volumes")} == {*names} - {*gone}

    scene(act, seed=seed)


def _owner(called: str) -> str | None:
    return owner(f"volumes/{PROJECT}/{called}", frozenset({"conductor-0", "conductor-1"}))
