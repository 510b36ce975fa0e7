"""What people and machines do to the cloud, at random.

To add an operation, write a function and a line in `OPERATIONS`. A function takes the play and does one
thing; it returns what it did, or None where there was nothing to do it to. It touches an instance only after
`play.touched` says so: of all others the checker wants to see that nothing happened to their machines.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from cairn_crds import ComputeNode, Guest, Instance, InstanceSpec
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_crds.instance import PowerState, RebootType
from cairn_database import DatabaseError, InstanceRecord, VmState, asking, instances, removal
from cairn_database.records import NewInstance
from cairn_runtime.kubernetes import KubernetesError
from faults.world.world import PROJECT, World

MOST_INSTANCES = 24
LIVE = "SELECT id, vm_state FROM instances WHERE deleted = '0' ORDER BY created_at, id"
POWER = ("Running", "Stopped", "Paused", "Suspended")


@dataclass
class Play:
    """A random run: the world, the dice, and what has been done to whom since all was quiet."""

    world: World
    rng: random.Random
    number: int = 0
    touched: set[str] = field(default_factory=set)
    """Ids of instances whose machines may have changed."""
    accepted: int = 0
    """Requests that were accepted."""
    refused: int = 0
    seen: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    """The machines when all was quiet last: by host and id, how often they were booted, and their power."""

    def next_name(self) -> str:
        """For a new instance."""
        self.number += 1
        return f"vm-{self.number}"

    def some(self) -> dict[str, Any] | None:
        """One of the Instances, or None."""
        found = list(self.world.server.bodies("instances", PROJECT))
        return self.rng.choice(found) if found else None

    async def some_row(self) -> InstanceRecord | None:
        """One of the live rows, or None."""
        found = self.ids()
        return await instances.get(self.world.db, self.rng.choice(found)) if found else None

    def ids(self, *states: VmState) -> list[str]:
        """Of the live rows; of those in these states, where some are given."""
        rows = self.world.sql.raw.execute(LIVE).fetchall()
        return [row[0] for row in rows if not states or row[1] in states]

    def touch(self, body: dict[str, Any]) -> str:
        """Its name, and a note that its machine may change."""
        metadata = body["metadata"]
        self.touched |= {metadata["uid"], metadata.get("labels", {}).get(INSTANCE_LABEL, "")}
        name: str = metadata["name"]
        return name

    def request_id(self) -> str:
        """For the Compute API."""
        return f"req-{self.world.clock.new_uuid()}"

    def asked(self) -> asking.Asked:
        """By an administrator, through the Compute API."""
        return asking.Asked(request_id=self.request_id(), overrides_lock=True)


Act = Callable[[Play], Awaitable[str | None]]


@dataclass(frozen=True)
class Operation:
    """A line of the table."""

    weight: float
    act: Act
    needs_sql: bool = False
    """The Compute API does it: not while the database is down."""
    needs_api: bool = True
    """Not while the API server is down."""


async def perform(play: Play, operation: Operation) -> str | None:
    """Do it once. A refusal is an answer as any other."""
    world = play.world
    if (operation.needs_sql and not world.sql.is_up) or (operation.needs_api and not world.connection.is_up):
        return None
    try:
        done = await operation.act(play)
    except (KubernetesError, DatabaseError) as error:
        play.refused += 1
        return f"refused: {error}"
    if done is not None:
        play.accepted += 1
    return done


# --- kubectl -----------------------------------------------------------------------------------------------


async def create(play: Play) -> str | None:
    """kubectl create."""
    if len(world_instances(play)) >= MOST_INSTANCES:
        return await delete(play)
    spec = _random_spec(play)
    name = play.next_name()
    play.touch(play.world.new_instance(name, **spec))
    return f"create {name}"


def world_instances(play: Play) -> list[dict[str, Any]]:
    """All Instances."""
    return list(play.world.server.bodies("instances", PROJECT))


def _random_spec(play: Play) -> dict[str, Any]:
    rng = play.rng
    spec: dict[str, Any] = {"flavor": "large" if rng.random() < 0.25 else "small"}
    if rng.random() < 0.2:
        spec["networks"] = [{"network": rng.choice(("tiny", "blue"))}]
    if rng.random() < 0.1:
        spec["networks"] = []
    if rng.random() < 0.1:
        spec["powerState"] = rng.choice(POWER)
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


# --- the Compute API ---------------------------------------------------------------------------------------


async def create_by_api(play: Play) -> str | None:
    """POST /servers: the row first, then the resource, which a gateway that dies leaves to the conductor."""
    if len(world_instances(play)) >= MOST_INSTANCES:
        return await delete_by_api(play)
    world, name = play.world, play.next_name()
    spec = InstanceSpec.model_validate({"image": "demo", **_random_spec(play), "displayName": name})
    wishes = spec.networks if spec.networks is not None else [None]
    networks = [_network(world, wish.network if wish else "blue") for wish in wishes]
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


def _network(world: World, name: str) -> dict[str, Any]:
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


# --- behind Cairn's back -----------------------------------------------------------------------------------


async def lose_instance(play: Play) -> str | None:
    """Somebody takes the finalizer off and deletes the resource: the row stays."""
    body = play.some()
    if body is None or "deletionTimestamp" in body["metadata"]:
        return None
    name = body["metadata"]["name"]
    play.world.change(Instance, name, {"metadata": {"finalizers": None}})
    if play.world.instance(name) is None:
        return None
    play.touched.add(body["metadata"]["uid"])  # one without a row was just deleted
    play.world.remove(Instance, name)
    return f"lose Instance {name}"


async def lose_guest(play: Play) -> str | None:
    """An administrator deletes a Guest."""
    found = list(play.world.server.bodies("guests"))
    if not found:
        return None
    metadata = play.rng.choice(found)["metadata"]
    play.world.remove(Guest, metadata["name"], metadata["namespace"])
    return f"lose Guest {metadata['name']}"


async def stop_outside(play: Play) -> str | None:
    """The guest shuts itself down, or its process dies."""
    return _outside(play, lambda driver, machine: driver.stop(machine.instance_id), "stop")


async def crash_outside(play: Play) -> str | None:
    """The machine's process dies."""
    return _outside(play, lambda driver, machine: driver.crash(machine.instance_id), "crash")


async def start_outside(play: Play) -> str | None:
    """virsh start. Not of what moves: what a migration has shut down is not for anybody to start."""
    moving = await _moving(play)

    def start(driver: Any, machine: Any) -> None:
        is_off = machine.power_state in (PowerState.SHUTDOWN, PowerState.CRASHED)
        if is_off and machine.instance_id not in moving:
            machine.boot()
            driver._changed(machine)

    return _outside(play, start, "start")


async def _moving(play: Play) -> set[str]:
    return {record.id for record in await instances.list_live(play.world.db, limit=1000) if record.move}


async def undefine_outside(play: Play) -> str | None:
    """virsh undefine: the disks stay. Not of what moves: that is found out when the move's time is up."""
    moving = await _moving(play)

    def undefine(driver: Any, machine: Any) -> None:
        if machine.instance_id not in moving:
            driver.undefine(machine.instance_id)

    return _outside(play, undefine, "undefine")


async def remove_outside(play: Play) -> str | None:
    """Somebody removes the machine with its disks. Not of what moves, as above."""
    moving = await _moving(play)

    def remove(driver: Any, machine: Any) -> None:
        if machine.instance_id not in moving:
            driver._nodes[machine.node].pop(machine.instance_id)
            driver._tell(machine)

    return _outside(play, remove, "remove")


def _outside(play: Play, act: Callable[[Any, Any], None], what: str) -> str | None:
    hosts = play.world.hosts.values()
    found = [(host.driver, machine) for host in hosts for machine in host.machines() if machine.complete]
    if not found:
        return None
    driver, machine = play.rng.choice(found)
    play.touched.add(machine.instance_id)
    play.world.trace.add(f"{what} machine {machine.instance_id} outside")
    act(driver, machine)
    return f"{what} {machine.instance_id} outside"


async def reboot_host(play: Play) -> str | None:
    """Power failure of a host."""
    name = play.rng.choice(list(play.world.hosts))
    for machine in play.world.hosts[name].machines():
        play.touched.add(machine.instance_id)
    play.world.reboot_host(name)
    return f"reboot host {name}"


async def disable_host(play: Play) -> str | None:
    """An administrator takes a host out, or back in."""
    name = play.rng.choice(list(play.world.hosts))
    disabled = play.rng.random() < 0.3
    play.world.change(ComputeNode, name, {"spec": {"disabled": disabled}})
    return f"host {name} disabled: {disabled}"


# --- Cairn's own processes, and what they stand on ----------------------------------------------------------


def _process(prefix: str, act: Callable[[Play, Any], None], what: str) -> Act:
    async def perform_on_one(play: Play) -> str | None:
        found = play.world.alive(prefix)
        if not found:
            return None
        process = play.rng.choice(found)
        act(play, process)
        return f"{what} {process}"

    perform_on_one.__doc__ = f"{what} a {prefix} process."
    return perform_on_one


def _kill(play: Play, process: Any) -> None:
    play.world.kill(process)


def _terminate(play: Play, process: Any) -> None:
    play.world.resume(process)
    process.stop.set()


def _pause(play: Play, process: Any) -> None:
    play.world._pause_for_a_while(process)


def _silence(play: Play, process: Any) -> None:
    watches = play.world.watches.get(process.name)
    if watches is None:
        return
    watches.silent = True

    def speak() -> None:
        watches.silent = False

    play.world.loop.call_later(play.rng.uniform(5.0, 90.0), speak)


def _skew(play: Play, process: Any) -> None:
    process.skew = play.rng.uniform(-150.0, 150.0)


async def api_outage(play: Play) -> str | None:
    """The API server is down for a while, and may have forgotten the past when it is back."""
    world = play.world
    world.trace.add("API server down")
    world.connection.stop()
    forgets = play.rng.random() < 0.5

    def back() -> None:
        if forgets:
            world.server.compact()
        world.trace.add("API server up")
        world.connection.start()

    world.loop.call_later(play.rng.uniform(0.5, 15.0), back)
    return "API server down"


async def sql_outage(play: Play) -> str | None:
    """The database is down for a while."""
    play.world.trace.add("database down")
    play.world.sql.stop()
    play.world.loop.call_later(play.rng.uniform(0.5, 20.0), play.world.sql.start)
    return "database down"


async def break_watches(play: Play) -> str | None:
    """Every watch is cut, and has to begin anew."""
    if play.rng.random() < 0.5:
        play.world.server.compact()
    play.world.connection.break_streams()
    return "watches cut"


async def wait(play: Play) -> str | None:
    """Nothing happens for a while."""
    await asyncio.sleep(play.rng.uniform(1.0, 8.0))
    return "wait"


OPERATIONS: dict[str, Operation] = {
    "create": Operation(14, create),
    "create by API": Operation(8, create_by_api, needs_sql=True, needs_api=False),
    "delete": Operation(9, delete),
    "delete by API": Operation(5, delete_by_api, needs_sql=True, needs_api=False),
    "change power": Operation(16, change_power),
    "change power by API": Operation(10, power_by_api, needs_sql=True, needs_api=False),
    "reboot": Operation(5, reboot),
    "reboot by API": Operation(4, reboot_by_api, needs_sql=True, needs_api=False),
    "label": Operation(8, label),
    "label by API": Operation(5, label_by_api, needs_sql=True, needs_api=False),
    "annotate": Operation(2, annotate),
    "lose Instance": Operation(0.7, lose_instance),
    "lose Guest": Operation(1, lose_guest),
    "stop outside": Operation(2, stop_outside, needs_api=False),
    "start outside": Operation(2, start_outside, needs_sql=True, needs_api=False),
    "crash outside": Operation(1, crash_outside, needs_api=False),
    "undefine outside": Operation(0.5, undefine_outside, needs_sql=True, needs_api=False),
    "remove outside": Operation(0.4, remove_outside, needs_sql=True, needs_api=False),
    "reboot host": Operation(0.3, reboot_host, needs_api=False),
    "disable host": Operation(0.5, disable_host),
    "kill conductor": Operation(1, _process("conductor", _kill, "kill"), needs_api=False),
    "kill scheduler": Operation(0.7, _process("scheduler", _kill, "kill"), needs_api=False),
    "kill agent": Operation(1, _process("agent", _kill, "kill"), needs_api=False),
    "end a process": Operation(0.5, _process("", _terminate, "end"), needs_api=False),
    "pause conductor": Operation(0.7, _process("conductor", _pause, "pause"), needs_api=False),
    "pause a process": Operation(0.3, _process("", _pause, "pause"), needs_api=False),
    "silence a watch": Operation(0.4, _process("", _silence, "silence"), needs_api=False),
    "skew a clock": Operation(0.3, _process("", _skew, "skew the clock of"), needs_api=False),
    "API server down": Operation(0.25, api_outage),
    "database down": Operation(0.25, sql_outage, needs_sql=True, needs_api=False),
    "watches cut": Operation(0.3, break_watches),
    "wait": Operation(3, wait, needs_api=False),
}
"""What may happen, and how often compared with the rest."""
