"""What people do through the Compute API, at random: its transactions, with gateways that die half way."""

from __future__ import annotations

from typing import Any

from cairn_crds import Instance, InstanceSpec
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_crds.instance import RebootType
from cairn_database import InstanceRecord, asking, instances, removal
from cairn_database.records import NewInstance
from faults.actors import MOST_INSTANCES, Play
from faults.operations_kubectl import random_spec, world_instances
from faults.world.world import PROJECT, World


async def create_by_api(play: Play) -> str | None:
    """POST /servers: the row first, then the resource, which a gateway that dies leaves to the conductor."""
    if len(world_instances(play)) >= MOST_INSTANCES:
        return await delete_by_api(play)
    world, name = play.world, play.next_name()
    spec = InstanceSpec.model_validate({"image": "demo", **random_spec(play), "displayName": name})
    wishes = spec.networks if spec.networks is not None else [None]
    networks = [network_document(world, wish.network if wish else "blue") for wish in wishes]
    server_id = str(world.clock.new_uuid())
    flavor = world.server.body("flavors", "", spec.flavor)
    image = world.server.body("images", "", "demo")
    assert flavor is not None
    assert image is not None
    new = NewInstance(
        id=server_id,
        project=PROJECT,
        namespace=PROJECT,
        name=name,
        request={"spec": spec.to_api(), "networks": networks, "generation": 1, "shown": spec.changeable()},
        flavor={"id": spec.flavor, **flavor["spec"], "name": spec.flavor},
        image={"id": image["metadata"]["uid"], **image["spec"], "name": "demo"},
        request_id=play.request_id(),
    )
    await instances.register(world.db, new)
    play.touched.add(server_id)
    if not world.connection.is_up or play.rng.random() < 0.2:
        return f"create {name} by API, without its resource"
    metadata = {
        "name": name,
        "namespace": PROJECT,
        "labels": {INSTANCE_LABEL: server_id},
        "finalizers": [INSTANCE_FINALIZER],
    }
    world.create(
        {
            "apiVersion": "compute.cairn.dev/v1alpha1",
            "kind": "Instance",
            "metadata": metadata,
            "spec": spec.to_api(),
        }
    )
    return f"create {name} by API"


def network_document(world: World, name: str) -> dict[str, Any]:
    """As a row keeps it."""
    body = world.server.body("networks", "", name)
    assert body is not None
    return {"name": name, "id": body["metadata"]["uid"], **body["spec"]}


async def delete_by_api(play: Play) -> str | None:
    """DELETE /servers/{id}, whose gateway may die before it deletes the resource."""
    record = await play.some_row()
    if record is None:
        return None
    play.touched.add(record.id)
    await removal.begin_delete(play.world.db, record.id, request_id=play.request_id())
    if play.world.connection.is_up and play.rng.random() < 0.8:
        play.world.remove(Instance, record.name)
    return f"delete {record.name} by API"


async def power_by_api(play: Play) -> str | None:
    """os-start, os-stop, pause …"""
    record = await play.some_row()
    if record is None:
        return None
    play.touched.add(record.id)
    action = play.rng.choice(tuple(asking.POWER_TASKS))
    await asking.change_power(play.world.db, record.id, action, play.asked())
    _hint(play, record)
    return f"{action} {record.name} by API"


async def reboot_by_api(play: Play) -> str | None:
    """reboot."""
    record = await play.some_row()
    if record is None:
        return None
    play.touched.add(record.id)
    kind = play.rng.choice((RebootType.SOFT, RebootType.HARD))
    await asking.reboot(play.world.db, record.id, kind, play.asked())
    _hint(play, record)
    return f"reboot {record.name} {kind} by API"


async def label_by_api(play: Play) -> str | None:
    """PUT /servers/{id}, metadata, tags."""
    record = await play.some_row()
    if record is None:
        return None
    number = play.rng.randrange(1000)
    fields = play.rng.choice(
        (
            {"description": f"by API {number}"},
            {"tags": [f"api-{number}"]},
            {"metadata": {"by": f"api {number}"}},
        )
    )
    await asking.change_labels(
        play.world.db, record.id, lambda _record: (fields, {}), request_id=play.request_id()
    )
    _hint(play, record)
    return f"label {record.name} by API {fields}"


def _hint(play: Play, record: InstanceRecord) -> None:
    """As the gateway does after it has changed a row; now and then it cannot."""
    if play.world.connection.is_up and play.rng.random() < 0.8:
        patch = {"metadata": {"annotations": {"compute.cairn.dev/request": play.request_id()}}}
        play.world.change(Instance, record.name, patch)
