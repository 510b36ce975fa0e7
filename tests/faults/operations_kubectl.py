"""What people do with kubectl, at random."""

from __future__ import annotations

from typing import Any

from cairn_crds import API_VERSION, Instance
from faults.actors import MOST_INSTANCES, POWER, Play
from faults.world.world import PROJECT, World

GROUPS: dict[str, dict[str, Any]] = {
    "apart-in-twos": {"policy": "anti-affinity", "maxServerPerHost": 2},
    "together": {"policy": "affinity"},
}
"""The server groups that some Instances are in."""


def make_groups(world: World) -> None:
    """kubectl create: the ServerGroups, before anything is played."""
    for name, spec in GROUPS.items():
        metadata = {"name": name, "namespace": PROJECT}
        world.create({"apiVersion": API_VERSION, "kind": "ServerGroup", "metadata": metadata, "spec": spec})


async def create(play: Play) -> str | None:
    """kubectl create."""
    if len(world_instances(play)) >= MOST_INSTANCES:
        return await delete(play)
    spec = random_spec(play)
    name = play.next_name()
    play.touch(play.world.new_instance(name, **spec))
    return f"create {name}"


def world_instances(play: Play) -> list[dict[str, Any]]:
    """All Instances."""
    return list(play.world.server.bodies("instances", PROJECT))


def random_spec(play: Play) -> dict[str, Any]:
    rng = play.rng
    spec: dict[str, Any] = {"flavor": "large" if rng.random() < 0.25 else "small"}
    if rng.random() < 0.2:
        spec["networks"] = [{"network": rng.choice(("tiny", "blue"))}]
    if rng.random() < 0.1:
        spec["networks"] = []
    if rng.random() < 0.1:
        spec["powerState"] = rng.choice(POWER)
    if rng.random() < 0.15:
        spec["schedulerHints"] = {"group": rng.choice(list(GROUPS))}
    return spec


async def delete(play: Play) -> str | None:
    """kubectl delete."""
    body = play.some()
    if body is None:
        return None
    name = play.touch(body)
    play.world.remove(Instance, name)
    return f"delete {name}"


async def change_power(play: Play) -> str | None:
    """kubectl patch: spec.powerState."""
    body = play.some()
    if body is None:
        return None
    power = play.rng.choice(POWER)
    name = play.touch(body)
    play.world.change(Instance, name, {"spec": {"powerState": power}})
    return f"{name} to {power}"


async def reboot(play: Play) -> str | None:
    """kubectl patch: spec.reboot."""
    body = play.some()
    if body is None:
        return None
    name = play.touch(body)
    kind = play.rng.choice(("Soft", "Hard"))
    generation = body["spec"]["reboot"]["generation"] + 1
    play.world.change(Instance, name, {"spec": {"reboot": {"generation": generation, "type": kind}}})
    return f"reboot {name} {kind}"


async def label(play: Play) -> str | None:
    """kubectl patch: what only describes it."""
    body = play.some()
    if body is None:
        return None
    name = body["metadata"]["name"]
    number = play.rng.randrange(1000)
    patch: dict[str, Any] = play.rng.choice(
        (
            {"metadata": {"role": f"r{number}"}},
            {"description": f"description {number}"},
            {"tags": [f"tag-{number}"]},
            {"displayName": f"name {number}"},
            {"locked": number % 2 == 0},
        )
    )
    play.world.change(Instance, name, {"spec": patch})
    return f"label {name} {patch}"


async def annotate(play: Play) -> str | None:
    """Somebody else's controller writes on Cairn's resources."""
    body = play.some()
    if body is None:
        return None
    name = body["metadata"]["name"]
    play.world.change(Instance, name, {"metadata": {"annotations": {"else": str(play.rng.random())}}})
    return f"annotate {name}"
