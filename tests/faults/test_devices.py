"""Devices that are plugged in or out as the machine, or what the host is told of it, goes."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.api_operations import OperationFailed
from cairn_crds import API_VERSION, Guest
from cairn_crds.guest import node_namespace
from cairn_database import InstanceRecord, VmState, instances
from cairn_database.networking import plugging
from cairn_database.networking.plugging import Plug
from cairn_database.volumes import attaching, store
from cairn_database.volumes.wants import VolumeWant
from faults.actors import Play
from faults.operations_api import network_document
from faults.scenario import ONE_OF_EACH, boot, scene
from faults.world.world import PROJECT, World

SOON = 30.0
"""Seconds; far less than a host has for a change."""


async def _row(world: World) -> InstanceRecord:
    (found,) = await instances.list_live(world.db, limit=10)
    return found


async def _until_settled(world: World) -> InstanceRecord:
    raw = world.sql.raw

    def is_settled() -> bool:
        (row,) = raw.execute("SELECT interfaces, volumes FROM instances WHERE deleted = '0'").fetchall()
        return not any(word in f"{row}" for word in (plugging.ATTACHING, plugging.DETACHING))

    await world.until(is_settled, "nothing is being changed", SOON)
    return await _row(world)


async def _attach_interface(world: World, row: InstanceRecord) -> InstanceRecord:
    play = Play(world, random.Random(1))
    plug = Plug({"network": "blue"}, network_document(world, "blue"))
    return await plugging.attach(world.db, row.id, play.asked(), plug)


async def _attach_volume(world: World, row: InstanceRecord) -> InstanceRecord:
    metadata = {"name": "data", "namespace": PROJECT}
    world.create({"apiVersion": API_VERSION, "kind": "Volume", "metadata": metadata, "spec": {"sizeGiB": 1}})
    query = "SELECT id FROM volumes"
    await world.until(lambda: world.sql.raw.execute(query).fetchall(), "the volume's row")
    volume = await store.at(world.db, PROJECT, "data")
    assert volume is not None
    asked = Play(world, random.Random(1)).asked()
    return await attaching.attach(world.db, row.id, asked, VolumeWant(volume_id=volume.id))


def _driver(world: World, row: InstanceRecord) -> Any:
    return world.hosts[row.host or ""].driver


def _lose_guest(world: World, row: InstanceRecord) -> None:
    world.remove(Guest, row.id, node_namespace(row.host or ""))


@pytest.mark.parametrize("change", ["attach", "detach"])
def test_what_a_host_cannot_plug_into_a_machine_taken_in_is_not_recorded_as_done(change: str) -> None:
    """The Guest is lost, and made anew with the change in it."""

    async def act(world: World) -> None:
        await boot(world, "one", networks=[{"network": "blue"}])
        before = await _row(world)
        _driver(world, before).faults.fails("reconfigure", OperationFailed("it does not let go"), times=1)
        if change == "attach":
            await _attach_interface(world, before)
        else:
            asked = Play(world, random.Random(1)).asked()
            port = before.interfaces[0].port_id or ""
            await plugging.detach(world.db, before.id, asked, port)
        _lose_guest(world, before)
        after = await _until_settled(world)
        assert after.interfaces == before.interfaces
        assert after.vm_state is VmState.ACTIVE

    scene(act, shape=ONE_OF_EACH)


@pytest.mark.parametrize("attach", [_attach_interface, _attach_volume])
def test_what_is_attached_to_a_machine_that_vanishes_is_soon_not_attached(attach: Any) -> None:
    async def act(world: World) -> None:
        await boot(world, "one", networks=[])
        row = await _row(world)
        driver = _driver(world, row)
        driver.faults.fails("reconfigure", DriverError("the hypervisor does not answer"))
        await attach(world, row)
        machine = driver._nodes[row.host].pop(row.id)
        driver._tell(machine)
        after = await _until_settled(world)
        assert (after.vm_state, after.interfaces, after.volumes) == (VmState.ERROR, (), ())
        volume = await store.at(world.db, PROJECT, "data")
        assert volume is None or not volume.instance_ids

    scene(act, shape=ONE_OF_EACH)
