"""The seven promises, looked at in SQL, in the API server and on the hypervisors.

Some are watched at every step (`Watcher`), the others hold once things have gone quiet (`findings`): each
finding is a sentence that begins with the number of the promise it breaks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cairn_crds import ConditionStatus, Guest, Instance, InstanceSpec
from cairn_crds.base import INSTANCE_LABEL
from cairn_crds.guest import node_namespace
from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, VmState, audit, instances
from cairn_operator.conductor.projection import View, project
from faults import checker_volumes
from faults.world.api import Event
from faults.world.loop import OWNER
from faults.world.world import World

AWAKE = (PowerState.RUNNING, PowerState.PAUSED)
POWER: dict[VmState, tuple[PowerState, ...]] = {
    VmState.ACTIVE: (PowerState.RUNNING,),
    VmState.PAUSED: (PowerState.PAUSED,),
    VmState.SUSPENDED: (PowerState.SUSPENDED,),
    VmState.STOPPED: (PowerState.SHUTDOWN, PowerState.CRASHED),
}
OVERFULL = """
SELECT name, vcpus_used, vcpus_limit, memory_mib_used, memory_mib_limit, disk_gib_used, disk_gib_limit
FROM compute_nodes
WHERE vcpus_used > vcpus_limit OR memory_mib_used > memory_mib_limit OR disk_gib_used > disk_gib_limit
"""


class Broken(AssertionError):
    """A promise is broken."""


class Watcher:
    """What must hold at every step."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: set[tuple[str, str]] = set()
        self._let_go: set[str] = set()
        self._taken: set[tuple[str, str]] = set()
        """Guests that an administrator has deleted before their host had removed the machine."""
        self.broken: list[str] = []
        world.server.on_write = self._after_write
        world.sql.after_commit = self._after_commit
        for host in world.hosts.values():
            host.on_call = self.look_at_machines

    def look_at_machines(self) -> None:
        """Promises 1 and 5: one awake machine per id, and none made for who is deleted."""
        awake: Counter[str] = Counter()
        machines = []
        for name, host in self._world.hosts.items():
            for machine in host.machines():
                if machine.power_state in AWAKE:
                    awake[machine.instance_id] += 1
                    machines.append(machine)
                key = (name, machine.instance_id)
                if key not in self._known:
                    self._known.add(key)
                    self._look_at_new(key)
        for instance_id, count in awake.items():
            if count > 1:
                self._break(f"1: machine {instance_id} runs {count} times")
        for finding in checker_volumes.doubled_volumes(machines):
            self._break(finding)

    def _look_at_new(self, key: tuple[str, str]) -> None:
        row = self._world.sql.raw.execute("SELECT deleted FROM instances WHERE id = ?", [key[1]]).fetchone()
        if row is not None and row[0] != key[1]:
            return
        # A host that was declared down, and comes back in that moment, may be at it still: it is told to
        # remove the machine, and what it leaves is found in the end.
        namespace = node_namespace(key[0])
        guest = self._world.server.body("guests", namespace, key[1])
        is_told = guest["spec"]["absent"] if guest is not None else (namespace, key[1]) in self._taken
        if not is_told:
            self._break(f"5: machine {key[1]} was made on {key[0]} after it had been deleted")

    def _after_write(self, plural: str, event: Event) -> None:
        """Promise 5: what Cairn itself has let go of does not come back."""
        if plural == "guests" and event.type == "DELETED" and OWNER.get() is None:
            guest = event.body()
            if guest["spec"]["absent"]:
                self._taken.add((guest["metadata"]["namespace"], guest["metadata"]["name"]))
        if plural != "instances" or event.type == "MODIFIED":
            return
        metadata = event.body()["metadata"]
        if event.type == "DELETED" and OWNER.get() is not None:
            self._let_go.add(metadata["uid"])
        elif metadata.get("labels", {}).get(INSTANCE_LABEL) in self._let_go:
            self._break(f"5: Instance {metadata['name']} came back after it had been deleted")

    def _after_commit(self) -> None:
        """Promise 2."""
        for row in self._world.sql.raw.execute(OVERFULL).fetchall():
            self._break(f"2: host {row[0]} is overfull: {row[1:]}")
        for finding in checker_volumes.crowded_groups(self._world):
            self._break(finding)

    def _break(self, finding: str) -> None:
        if finding not in self.broken:
            self._world.trace.add(f"BROKEN {finding}")
            self.broken.append(finding)


async def findings(world: World) -> list[str]:
    """What is not as it should be now that all is quiet."""
    found = [finding async for finding in _rows(world)]
    found += [finding async for finding in checker_volumes.findings(world)]
    found += [f"4: {finding}" for finding in await audit.findings(world.db)]
    found += list(_lost(world))
    return found


async def _rows(world: World) -> AsyncIterator[str]:
    live = {record.id: record for record in await instances.list_live(world.db, limit=100_000)}
    shown = {body["metadata"]["name"]: body for body in world.server.bodies("instances")}
    for record in live.values():
        body = shown.pop(record.name, None)
        if record.task_state is not None:
            yield f"3: {record.name} is still in task {record.task_state} ({record.vm_state})"
            continue
        if body is None:
            yield f"6: {record.name} has a row and no Instance"
            continue
        for finding in (
            *checker_volumes.unsettled(record),
            *_compare_resource(record, body, world),
            *_compare_machine(record, world),
        ):
            yield finding
    for name, body in shown.items():
        accepted = [c for c in body["status"].get("conditions", []) if c["type"] == "Accepted"]
        if "deletionTimestamp" in body["metadata"]:
            yield f"3: Instance {name} is still being deleted, and has no row"
        elif not accepted or accepted[0]["status"] != "False":
            yield f"6: Instance {name} has neither a row nor a refusal"
    for finding in (*_stray_guests(world, live), *_stray_machines(world, live)):
        yield finding


def _compare_resource(record: InstanceRecord, body: dict[str, Any], world: World) -> Iterator[str]:
    instance = Instance.from_api(body)
    if instance.metadata.uid != record.resource_uid:
        yield f"6: {record.name}: the row is bound to {record.resource_uid}, not to {instance.metadata.uid}"
    if instance.metadata.deletion_timestamp is not None:
        yield f"3: {record.name} is being deleted, and its row is {record.vm_state}"
        return
    wanted = InstanceSpec.model_validate(record.request["spec"]).changeable()
    said = instance.spec.changeable()
    differing = {name for name in said.keys() | wanted.keys() if said.get(name) != wanted.get(name)}
    conditions = {item.type: item.status for item in instance.status.conditions}
    if differing and conditions.get("SpecApplied") is not ConditionStatus.FALSE:
        yield f"6: {record.name}: spec and row differ in {sorted(differing)}, and nothing says why"
    guest = _guest(world, record)
    refusal = None
    status = project(View(instance, record, guest, refusal), world.clock.wall())
    for name in ("phase", "vm_state", "task_state", "power_state", "host", "addresses", "reboot_generation"):
        said_of, is_so = getattr(instance.status, name), getattr(status, name)
        if said_of != is_so:
            yield f"6: {record.name}: status.{name} says {said_of!r}, it is {is_so!r}"


def _guest(world: World, record: InstanceRecord) -> Any:
    body = world.server.body("guests", node_namespace(record.host or ""), record.id)
    return Guest.from_api(body) if body else None


def _compare_volumes(record: InstanceRecord, machine: Any) -> Iterator[str]:
    """The machine has the volumes that the row says, whatever was under way."""
    has = sorted(one["id"] for one in machine.shape.get("volumes", ()))
    said = sorted(one.volume_id for one in record.volumes)
    if record.is_swapping:
        yield f"3: {record.name} is still swapping volumes"
    elif has != said:
        yield f"6: {record.name} has volumes {said}, its machine {has}"


def _compare_machine(record: InstanceRecord, world: World) -> Iterator[str]:
    if record.host is None:
        if record.vm_state not in (VmState.ERROR, VmState.SHELVED_OFFLOADED):
            yield f"6: {record.name} is {record.vm_state} on no host"
        return
    machine = world.hosts[record.host].machine(record.id)
    guest = world.server.body("guests", node_namespace(record.host), record.id)
    if guest is None:
        yield f"6: {record.name} is on {record.host}, and has no Guest there"
    elif guest["spec"]["absent"]:
        yield f"6: {record.name} lives, and its Guest on {record.host} is absent"
    if record.vm_state is VmState.ERROR:
        return
    power = machine.power_state if machine is not None and machine.complete else None
    if power not in POWER.get(record.vm_state, (record.power_state,)):
        yield f"6: {record.name} is {record.vm_state}, its machine on {record.host} is {power}"
    if power is not record.power_state:
        yield f"6: {record.name}: the row says {record.power_state}, the hypervisor {power}"
    if machine is not None and machine.complete:
        yield from _compare_volumes(record, machine)
        yield from checker_volumes.wired_otherwise(record, machine)
    if guest is not None and guest["status"].get("powerState") != str(power):
        yield f"6: {record.name}: the Guest says {guest['status'].get('powerState')}, the hypervisor {power}"


def _hosts_of(record: InstanceRecord) -> list[str]:
    """Its own, and the one that keeps what it was until a resize is confirmed."""
    return [host for host in (record.host, record.other_host) if host is not None]


def _stray_guests(world: World, live: dict[str, InstanceRecord]) -> Iterator[str]:
    for body in world.server.bodies("guests"):
        metadata = body["metadata"]
        record = live.get(metadata["name"])
        if record is None or metadata["namespace"] not in map(node_namespace, _hosts_of(record)):
            yield f"4: Guest {metadata['namespace']}/{metadata['name']} belongs to nobody"


def _stray_machines(world: World, live: dict[str, InstanceRecord]) -> Iterator[str]:
    for name, host in world.hosts.items():
        for machine in host.machines():
            record = live.get(machine.instance_id)
            if record is None or name not in _hosts_of(record):
                yield f"4: machine {machine.instance_id} on {name} belongs to nobody"


def _lost(world: World) -> Iterator[str]:
    running = {process.name for process in world.alive()}
    yield from (f"7: {name} does not run" for name in world.names if name not in running)
    for body in world.server.bodies("computenodes"):
        up = [item["status"] for item in body["status"].get("conditions", []) if item["type"] == "Up"]
        if up != ["True"]:
            yield f"6: host {body['metadata']['name']} is not up"
    yield from (f"7: unexpected error: {error}" for error in world.loop.errors)
    yield from (f"7: unexpected error: {error}" for error in world.errors)
