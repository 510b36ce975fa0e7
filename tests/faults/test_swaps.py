"""Volumes that take another's place while agent and conductor are killed: the machine always has one of the
two, and the row says which."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from cairn_crds import API_VERSION, VolumeAttachment
from faults.scenario import LONG_SECONDS, ONE_OF_EACH, boot, delete, machine_of, passages, scene, until_gone
from faults.world.mishaps import Mishap
from faults.world.world import PROJECT, World

CASES = [
    ("agent", "driver.swap_volume", Mishap.CRASH_BEFORE),
    ("agent", "driver.swap_volume", Mishap.CRASH_AFTER),
    ("agent", "driver.swap_volume", Mishap.REFUSED),
    ("agent", "kubernetes.PATCH.guests", Mishap.CRASH_BEFORE),
    ("conductor", "sql.commit", Mishap.CRASH_AFTER),
]


def _make(world: World, kind: str, name: str, **spec: Any) -> None:
    metadata = {"name": name, "namespace": PROJECT}
    world.create({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})


def _attachment(world: World) -> dict[str, Any]:
    body = world.server.body("volumeattachments", PROJECT, "vm")
    return body["status"] if body else {}


async def _prepare(world: World) -> None:
    """A machine with a volume, and another volume; the machine is looked at from now on."""
    await boot(world, "one")
    for name in ("old", "new"):
        _make(world, "Volume", name, sizeGiB=1)
    _make(world, "VolumeAttachment", "vm", instance="one", volume="old")
    await world.until(lambda: _attachment(world).get("phase") == "Attached", "the first volume", LONG_SECONDS)
    machine = machine_of(world, "one")
    for host in world.hosts.values():
        before = host.on_call

        def look(before: Any = before) -> None:
            before()
            assert len(machine.shape["volumes"]) == 1, "one of the two"

        host.on_call = look


async def _swap(world: World) -> None:
    world.change(VolumeAttachment, "vm", {"spec": {"volume": "new"}})
    await world.until(
        lambda: (
            _attachment(world).get("phase") == "Failed"
            or (_attachment(world).get("phase") == "Attached" and _is_new(world))
        ),
        "an end of the swap",
        LONG_SECONDS,
    )


def _is_new(world: World) -> bool:
    body = world.server.body("volumes", PROJECT, "new")
    assert body is not None
    return bool(_attachment(world)["volumeId"] == body["status"].get("volumeId"))


@pytest.mark.parametrize(("process", "gates", "mishap"), CASES)
def test_a_swap_ends_with_one_volume_whatever_goes_wrong_once(
    process: str, gates: str, mishap: Mishap
) -> None:
    async def swaps(world: World) -> None:
        await _prepare(world)
        world.faults.passed = []
        await _swap(world)

    count = passages(swaps, process, gates, ONE_OF_EACH)
    assert count > 0

    async def act(world: World, number: int) -> None:
        await _prepare(world)
        order = world.faults.order(process, gates, mishap, skip=number)
        await _swap(world)
        await world.until(lambda: not order.times, "the mishap", LONG_SECONDS)

    for number in range(count):
        scene(partial(act, number=number), shape=ONE_OF_EACH)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0])
def test_a_delete_during_a_swap_lets_go_of_both(seconds: float) -> None:
    async def act(world: World) -> None:
        await _prepare(world)
        world.change(VolumeAttachment, "vm", {"spec": {"volume": "new"}})
        await asyncio.sleep(seconds)
        delete(world, "one")
        await until_gone(world, "one")

    scene(act, shape=ONE_OF_EACH)
