"""Processes that are killed, held up, or have their clocks wrong; machines that change behind their backs."""

from __future__ import annotations

import asyncio
import random

import pytest

from cairn_crds import ComputeNode, Guest, Instance
from cairn_crds.base import INSTANCE_LABEL
from cairn_crds.guest import node_namespace
from cairn_database import removal
from cairn_operator.conductor.shards import owner
from faults.actors import Play
from faults.operations_api import create_by_api
from faults.operations_kubectl import world_instances
from faults.scenario import boot, delete, machine_of, phase, scene, until_gone, until_phase
from faults.world.mishaps import Mishap
from faults.world.settings import CANARIES
from faults.world.world import Shape, World

CONDUCTORS = frozenset({"conductor-0", "conductor-1"})


def test_restarting_everything_touches_no_machine() -> None:
    async def act(world: World) -> None:
        names = [f"vm-{number}" for number in range(6)]
        await boot(world, *names)
        for _ in range(3):
            for process in world.alive():
                world.kill(process)
            await asyncio.sleep(15.0)
        assert [machine_of(world, name).boots for name in names] == [1] * 6

    scene(act)


def test_a_conductor_that_starts_with_much_to_look_at_serves_what_is_new_first() -> None:
    """On a slow database: it is through with what it has long after the first that comes has been served."""
    many = 300

    async def act(world: World) -> None:
        def active() -> set[str]:
            bodies = world.server.bodies("instances", CANARIES)
            return {body["metadata"]["name"] for body in bodies if body["status"].get("phase") == "Active"}

        async def served(name: str, seconds: float) -> None:
            world.new_instance(name, CANARIES, networks=[])
            await world.until(lambda: name in active(), f"{name} runs", seconds)

        for number in range(many):
            world.new_instance(f"old-{number}", CANARIES, networks=[])
        await world.until(lambda: len(active()) == many, "all of them run", 120.0)
        [conductor] = world.alive("conductor")
        world.kill(conductor)
        world.sql.read_seconds = 0.3
        passed: list[tuple[str, str]] = []
        world.faults.passed = passed
        await served("while-it-starts", 15.0)
        await served("once-it-has-started", 5.0)
        assert sum(who.startswith("conductor") and gate == "sql.read" for who, gate in passed) < many

    scene(act, shape=Shape(hosts=3, conductors=1, vcpus=128, memory_mib=512 * 1024))


def test_schedulers_race_for_the_last_place() -> None:
    async def act(world: World) -> None:
        shown = [f"vm-{number}" for number in range(14)]
        for name in shown:
            world.new_instance(name, flavor="large")
        await world.until(lambda: all(phase(world, name) in ("Active", "Error") for name in shown), "an end")
        # 4 vCPUs each, and each of the hosts' is given out four times: 2 hosts of 5 have room for 10.
        assert sum(phase(world, name) == "Active" for name in shown) == 10

    scene(act, shape=Shape(hosts=2, schedulers=3, vcpus=5), full=True)


def test_parallel_members_of_an_anti_affinity_group_are_kept_apart() -> None:
    async def act(world: World) -> None:
        metadata = {"name": "apart", "namespace": "red"}
        body = {"apiVersion": "compute.cairn.dev/v1alpha1", "kind": "ServerGroup", "metadata": metadata}
        world.create({**body, "spec": {"policy": "anti-affinity"}})
        await asyncio.sleep(1.0)
        names = [f"vm-{number}" for number in range(5)]
        for name in names:
            world.new_instance(name, schedulerHints={"group": "apart"})
        await world.until(lambda: all(phase(world, name) in ("Active", "Error") for name in names), "an end")
        bodies = [world.instance(name) for name in names]
        hosts = [body["status"]["host"] for body in bodies if body and body["status"].get("host")]
        assert sorted(hosts) == ["node-0", "node-1", "node-2"], "one each, and the others have no place"

    scene(act, shape=Shape(schedulers=3))


@pytest.mark.parametrize(
    ("gate", "skip"),
    [
        ("kubernetes.POST.guests", 0),
        ("kubernetes.PATCH.instances", 0),
        ("kubernetes.PATCH.instances/status", 0),
        *(("sql.commit", skip) for skip in range(3)),
    ],
)
def test_a_conductor_that_was_held_up_brings_nothing_back(gate: str, skip: int) -> None:
    """It is stopped with the request about to be sent; its share moves, the instance is deleted; it wakes."""

    async def act(world: World) -> None:
        order = world.faults.order("conductor", gate, Mishap.PAUSE, skip=skip)
        world.new_instance("one")
        await world.until(lambda: not order.times, "the pause", 30.0)
        delete(world, "one")
        await until_gone(world, "one", seconds=60.0)
        await asyncio.sleep(40.0)

    for seed in range(1, 5):
        scene(act, seed=seed)


@pytest.mark.parametrize("seconds", [-300.0, 300.0])
@pytest.mark.parametrize("who", ["conductor-0", "scheduler-", "agent-node-0"])
def test_a_clock_that_is_five_minutes_off_does_no_harm(who: str, seconds: float) -> None:
    async def act(world: World) -> None:
        for process in world.alive(who):
            process.skew = seconds
            world.kill(process)
        await asyncio.sleep(10.0)
        names = [f"vm-{number}" for number in range(6)]
        await boot(world, *names)
        delete(world, *names)
        await until_gone(world, *names)

    scene(act)


def test_an_old_version_is_no_ground_to_write_on() -> None:
    """Somebody else's controller writes on the Instance all the time."""

    async def act(world: World) -> None:
        world.new_instance("one")
        for number in range(200):
            if world.instance("one"):
                world.change(Instance, "one", {"metadata": {"annotations": {"else": str(number)}}})
            await asyncio.sleep(0.01)
        await until_phase(world, "Active", ["one"])

    scene(act)


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.15, 0.2, 0.3])
def test_a_delete_during_a_build_ends_it(seconds: float) -> None:
    async def act(world: World) -> None:
        world.new_instance("one")
        await asyncio.sleep(seconds)
        delete(world, "one")
        await until_gone(world, "one")

    scene(act)


def test_a_delete_waits_for_its_host_and_ends_when_it_is_back() -> None:
    async def act(world: World) -> None:
        await boot(world, "one")
        body = world.instance("one")
        assert body
        world.lose_host(body["status"]["host"])
        delete(world, "one")
        await asyncio.sleep(60.0)
        assert phase(world, "one") == "Deleting"
        world.find_host(body["status"]["host"])
        await until_gone(world, "one")

    scene(act)


def test_a_delete_on_a_host_that_is_down_for_good_ends_at_once() -> None:
    async def act(world: World) -> None:
        await boot(world, "one")
        body = world.instance("one")
        assert body
        host = body["status"]["host"]
        world.lose_host(host)
        world.change(ComputeNode, host, {"spec": {"forcedDown": True}})
        delete(world, "one")
        await until_gone(world, "one")
        assert machine_is_there(world, host, body["status"]["instanceId"])
        world.find_host(host)
        await asyncio.sleep(30.0)

    scene(act)


def machine_is_there(world: World, host: str, instance_id: str) -> bool:
    """Whether the host still has it."""
    return world.hosts[host].machine(instance_id) is not None


@pytest.mark.parametrize("state", ["Active", "Stopped", "Paused"])
def test_after_a_power_failure_guests_come_back_as_they_were(state: str) -> None:
    wanted = {"Active": "Running"}.get(state, state)

    async def act(world: World) -> None:
        world.new_instance("one", powerState=wanted)
        await until_phase(world, state, ["one"])
        body = world.instance("one")
        assert body
        world.reboot_host(body["status"]["host"])
        await asyncio.sleep(20.0)
        shown = {"Stopped": "Shutdown"}.get(wanted, wanted)
        assert machine_of(world, "one").power_state == shown

    scene(act)


def test_a_lost_guest_or_instance_comes_back_and_the_machine_never_notices() -> None:
    async def act(world: World) -> None:
        await boot(world, "one")
        body = world.instance("one")
        assert body
        status = body["status"]
        world.remove(Guest, status["instanceId"], node_namespace(status["host"]))
        world.change(Instance, "one", {"metadata": {"finalizers": None}})
        world.remove(Instance, "one")
        await asyncio.sleep(15.0)
        assert phase(world, "one") == "Active"
        assert machine_of(world, "one").boots == 1

    scene(act)


def test_what_was_made_for_a_row_and_deleted_before_the_row_knew_it_goes_with_it() -> None:
    """Created and deleted through the Compute API, faster than a conductor looks."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        conductors = world.alive("conductor")
        for process in conductors:
            world.pause(process)
        for _ in range(8):
            await create_by_api(play)
        for body in list(world.server.bodies("instances", "red")):
            instance_id = body["metadata"]["labels"][INSTANCE_LABEL]
            await removal.begin_delete(world.db, instance_id)
            world.remove(Instance, body["metadata"]["name"])
        for process in conductors:
            world.resume(process)
        await asyncio.sleep(20.0)

    scene(act)


@pytest.mark.parametrize("by_api", [False, True])
def test_a_conductor_that_has_not_heard_of_a_deletion_brings_nothing_back(by_api: bool) -> None:
    """Its watches are silent as it gets the share of another one, which has let instances go."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        if by_api:
            for _ in range(4):
                await create_by_api(play)
        else:
            await boot(world, "one", "two", "three", "four")
        await asyncio.sleep(10.0)
        for name, watches in world.watches.items():
            watches.silent = name.startswith("conductor-0")
        names = [body["metadata"]["name"] for body in world_instances(play)]
        gone = [name for name in names if owner(f"red/{name}", CONDUCTORS) == "conductor-1"]
        assert gone
        delete(world, *gone)
        await until_gone(world, *gone)
        for process in world.alive("conductor-1"):
            world.pause(process)
        await asyncio.sleep(15.0)
        for process in world.alive("conductor-1"):
            world.resume(process)

    for seed in range(1, 5):
        scene(act, seed=seed)


def test_a_resource_that_comes_after_its_row_was_deleted_goes_too() -> None:
    """A gateway was held up between the two halves of POST /servers, and the server was deleted meanwhile."""

    async def act(world: World) -> None:
        play = Play(world, random.Random(1))
        for process in world.alive("conductor"):
            world.kill(process)
        await create_by_api(play)
        [body] = world_instances(play)
        metadata = body["metadata"]
        world.change(Instance, metadata["name"], {"metadata": {"finalizers": None}})
        world.remove(Instance, metadata["name"])
        server_id = metadata["labels"][INSTANCE_LABEL]
        await removal.begin_delete(world.db, server_id)
        await asyncio.sleep(15.0)
        late = {name: metadata[name] for name in ("name", "namespace", "labels", "finalizers")}
        world.create({**body, "metadata": late, "status": {}})
        await until_gone(world, metadata["name"])

    scene(act)
