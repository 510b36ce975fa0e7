"""Removals whose orders are lost or deleted by others: deleted means that the host has nothing left."""

from __future__ import annotations

import asyncio

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from faults.scenario import ONE_OF_EACH, boot, delete, scene, until_gone
from faults.world.mishaps import Mishap
from faults.world.world import World


def guest_of(world: World) -> tuple[str, str]:
    """Namespace and name of the one Guest that there is."""
    (body,) = world.server.bodies("guests")
    return body["metadata"]["namespace"], body["metadata"]["name"]


def test_a_host_that_heard_nothing_makes_no_machine_for_an_order_that_has_gone() -> None:
    """Its watch is silent from the creation on; the Guest, absent by then, is deleted by an administrator."""

    async def act(world: World) -> None:
        for process in world.alive("agent"):
            world.watches[process.name].silent = True
        world.new_instance("one")
        await world.until(lambda: list(world.server.bodies("guests")), "its Guest")
        delete(world, "one")
        namespace, name = guest_of(world)
        await world.until(lambda: _is_absent(world, namespace, name), "it is to go")
        world.remove(Guest, name, namespace)
        await until_gone(world, "one")
        for watches in world.watches.values():
            watches.silent = False
        world.connection.break_streams()
        await asyncio.sleep(5.0)

    for seed in range(1, 4):
        scene(act, seed=seed, shape=ONE_OF_EACH)


def _is_absent(world: World, namespace: str, name: str) -> bool:
    body = world.server.body("guests", namespace, name)
    return body is not None and body["spec"]["absent"]


def test_a_removal_whose_order_was_refused_is_ordered_again() -> None:
    """An administrator deletes the Guest as somebody deletes the Instance; it is not made anew at once."""

    async def act(world: World) -> None:
        await boot(world, "one")
        namespace, name = guest_of(world)
        host = namespace.removeprefix(node_namespace(""))
        conductors = world.alive("conductor")
        for process in conductors:
            world.pause(process)
        world.remove(Guest, name, namespace)
        delete(world, "one")
        await asyncio.sleep(0.5)
        order = world.faults.order("conductor", "kubernetes.POST.guests", Mishap.REFUSED)
        for process in conductors:
            world.resume(process)
        await until_gone(world, "one")
        assert not order.times, "the order was refused once"
        assert world.hosts[host].machine(name) is None, "its machine went first"

    scene(act, shape=ONE_OF_EACH)


def test_a_guest_that_is_deleted_as_its_removal_is_ordered_is_made_anew_for_it() -> None:
    """The conductor still sees the Guest, which is not there any more: that is not the host's answer."""

    async def act(world: World) -> None:
        await boot(world, "one")
        namespace, name = guest_of(world)
        host = namespace.removeprefix(node_namespace(""))
        (conductor,) = world.alive("conductor")
        world.watches[conductor.name].silent = True
        world.remove(Guest, name, namespace)
        world.watches[conductor.name].silent = False
        delete(world, "one")
        await until_gone(world, "one")
        assert world.hosts[host].machine(name) is None, "its machine went first"

    scene(act, shape=ONE_OF_EACH)
