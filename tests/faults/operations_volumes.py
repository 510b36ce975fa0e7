"""Volumes and interfaces: made, plugged in and out, grown and deleted, at random.

Nothing of this is a reason for a machine to be booted: it is not touched by it, but where it is new.
"""

from __future__ import annotations

from typing import Any

from cairn_crds import API_VERSION, Instance, InstanceSpec, Volume, VolumeAttachment
from cairn_database import instances
from cairn_database.networking import plugging
from cairn_database.networking.plugging import Plug
from cairn_database.records import NewInstance
from cairn_database.volumes import attaching, store
from cairn_database.volumes.wants import VolumeWant
from faults.actors import MOST_INSTANCES, Operation, Play
from faults.operations_api import network_document
from faults.operations_kubectl import world_instances
from faults.world.world import PROJECT

MOST = 8
"""Volumes."""
LARGEST_GIB = 6


def _volumes(play: Play) -> list[dict[str, Any]]:
    return list(play.world.server.bodies("volumes", PROJECT))


def _some_volume(play: Play) -> dict[str, Any] | None:
    found = _volumes(play)
    return play.rng.choice(found) if found else None


async def create_volume(play: Play) -> str | None:
    """kubectl create: a Volume, empty or of an image."""
    if len(_volumes(play)) >= MOST:
        return await delete_volume(play)
    rng, world = play.rng, play.world
    play.number += 1
    name = f"vol-{play.number}"
    spec: dict[str, Any] = {"sizeGiB": rng.randint(1, 3), "backend": rng.choice(("Local", "Shared"))}
    if rng.random() < 0.4:
        spec["image"] = "demo"
    if rng.random() < 0.3:
        spec["host"] = rng.choice(list(world.hosts))
    metadata = {"name": name, "namespace": PROJECT}
    world.create({"apiVersion": API_VERSION, "kind": "Volume", "metadata": metadata, "spec": spec})
    return f"create {name} {spec}"


async def delete_volume(play: Play) -> str | None:
    """kubectl delete; it goes when nobody has it any more."""
    body = _some_volume(play)
    if body is None:
        return None
    play.world.remove(Volume, body["metadata"]["name"])
    return f"delete {body['metadata']['name']}"


async def grow_volume(play: Play) -> str | None:
    """kubectl patch: spec.sizeGiB."""
    body = _some_volume(play)
    if body is None or body["spec"]["sizeGiB"] >= LARGEST_GIB:
        return None
    name, size = body["metadata"]["name"], body["spec"]["sizeGiB"] + 1
    play.world.change(Volume, name, {"spec": {"sizeGiB": size}})
    return f"{name} to {size} GiB"


async def attach(play: Play) -> str | None:
    """kubectl create: a VolumeAttachment."""
    instance, volume = play.some(), _some_volume(play)
    if instance is None or volume is None:
        return None
    play.number += 1
    one, other = instance["metadata"]["name"], volume["metadata"]["name"]
    metadata = {"name": f"att-{play.number}", "namespace": PROJECT}
    spec = {"instance": one, "volume": other, "deleteOnTermination": play.rng.random() < 0.2}
    play.world.create(
        {"apiVersion": API_VERSION, "kind": "VolumeAttachment", "metadata": metadata, "spec": spec}
    )
    return f"attach {other} to {one}"


async def detach(play: Play) -> str | None:
    """kubectl delete: a VolumeAttachment."""
    found = list(play.world.server.bodies("volumeattachments", PROJECT))
    if not found:
        return None
    name = play.rng.choice(found)["metadata"]["name"]
    play.world.remove(VolumeAttachment, name)
    return f"detach {name}"


async def attach_by_api(play: Play) -> str | None:
    """POST /servers/{id}/os-volume_attachments."""
    record, volume = await play.some_row(), _some_volume(play)
    known = await store.at(play.world.db, PROJECT, volume["metadata"]["name"]) if volume else None
    if record is None or known is None:
        return None
    await attaching.attach(play.world.db, record.id, play.asked(), VolumeWant(volume_id=known.id))
    return f"attach {known.name} to {record.name} by API"


async def detach_by_api(play: Play) -> str | None:
    """DELETE /servers/{id}/os-volume_attachments/{volume_id}."""
    rows = await instances.list_live(play.world.db, limit=1000)
    pairs = [(row, one.volume_id) for row in rows for one in row.volumes]
    if not pairs:
        return None
    record, volume_id = play.rng.choice(pairs)
    await attaching.detach(play.world.db, record.id, play.asked(), volume_id)
    return f"detach {volume_id} from {record.name} by API"


async def boot_from_volume(play: Play) -> str | None:
    """POST /servers with a bootable volume."""
    world = play.world
    bootable = [body for body in _volumes(play) if body["spec"].get("image")]
    if not bootable or len(world_instances(play)) >= MOST_INSTANCES:
        return None
    volume = await store.at(world.db, PROJECT, play.rng.choice(bootable)["metadata"]["name"])
    flavor = world.server.body("flavors", "", "small")
    if volume is None or flavor is None:
        return None
    name, server_id = play.next_name(), str(world.clock.new_uuid())
    spec = InstanceSpec.model_validate({"image": "demo", "flavor": "small", "networks": []})
    new = NewInstance(
        id=server_id,
        project=PROJECT,
        namespace=PROJECT,
        name=name,
        request={"spec": spec.to_api(), "networks": [], "generation": 1, "shown": spec.changeable()},
        flavor={"id": "small", **flavor["spec"], "name": "small"},
        image=volume.image or {},
        request_id=play.request_id(),
        volumes=(
            VolumeWant(volume_id=volume.id, boot_index=0, delete_on_termination=play.rng.random() < 0.5),
        ),
    )
    await instances.register(world.db, new)
    play.touched.add(server_id)
    return f"create {name} from {volume.name}"


async def rewire(play: Play) -> str | None:
    """kubectl patch: spec.networks."""
    body = play.some()
    if body is None:
        return None
    networks = [{"network": play.rng.choice(("blue", "tiny"))} for _ in range(play.rng.randint(0, 2))]
    name = body["metadata"]["name"]
    play.world.change(Instance, name, {"spec": {"networks": networks}})
    return f"networks of {name}: {networks}"


async def plug_by_api(play: Play) -> str | None:
    """POST /servers/{id}/os-interface."""
    record = await play.some_row()
    if record is None:
        return None
    network = play.rng.choice(("blue", "tiny"))
    plug = Plug({"network": network}, network_document(play.world, network))
    await plugging.attach(play.world.db, record.id, play.asked(), plug)
    return f"plug {record.name} into {network} by API"


async def unplug_by_api(play: Play) -> str | None:
    """DELETE /servers/{id}/os-interface/{port_id}."""
    record = await play.some_row()
    ports = [one.port_id for one in record.interfaces if one.port_id] if record else []
    if record is None or not ports:
        return None
    port = play.rng.choice(ports)
    await plugging.detach(play.world.db, record.id, play.asked(), port)
    return f"unplug {port} from {record.name} by API"


VOLUMES: dict[str, Operation] = {
    "create a volume": Operation(2, create_volume),
    "delete a volume": Operation(1, delete_volume),
    "grow a volume": Operation(1, grow_volume),
    "attach": Operation(3, attach),
    "detach": Operation(2, detach),
    "attach by API": Operation(2, attach_by_api, needs_sql=True),
    "detach by API": Operation(1.5, detach_by_api, needs_sql=True, needs_api=False),
    "boot from a volume": Operation(1, boot_from_volume, needs_sql=True),
}
INTERFACES: dict[str, Operation] = {
    "networks": Operation(2, rewire),
    "plug by API": Operation(1.5, plug_by_api, needs_sql=True),
    "unplug by API": Operation(1.5, unplug_by_api, needs_sql=True, needs_api=False),
}
"""As `operations.OPERATIONS`."""
