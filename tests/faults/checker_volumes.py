"""What must be true of volumes, interfaces and server groups; called by `checker.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cairn_agent.drivers.fake_volumes import SHARED
from cairn_crds.guest import node_namespace
from cairn_crds.volume import VolumeBackend
from cairn_database import InstanceRecord, VmState
from cairn_database.volumes import store
from cairn_database.volumes.store import VolumeRecord
from faults.world.world import World

CROWDED = """
SELECT server_groups.name, instances.host, count(*) FROM instances
JOIN server_groups ON server_groups.id = instances.group_id
WHERE server_groups.policy = 'anti-affinity' AND instances.deleted = '0' AND instances.host IS NOT NULL
GROUP BY server_groups.id, instances.host HAVING count(*) > coalesce(server_groups.max_per_host, 1)
"""


def crowded_groups(world: World) -> Iterator[str]:
    """At every commit: members of an anti-affinity group are on different hosts."""
    for name, host, count in world.sql.raw.execute(CROWDED).fetchall():
        yield f"2: {count} members of anti-affinity group {name} are on {host}"


def doubled_volumes(awake: list[Any]) -> Iterator[str]:
    """At every step: a volume is written by one machine that is awake."""
    writers = Counter(
        one["id"] for machine in awake for one in machine.shape.get("volumes", ()) if not one["readOnly"]
    )
    yield from (f"1: volume {name} is in {count} machines" for name, count in writers.items() if count > 1)


def unsettled(record: InstanceRecord) -> Iterator[str]:
    """In times of quiet: what was to be plugged in or out has been, or has been given up. One in error
    has no machine to do it to, and waits for the change's time limit."""
    if record.vm_state is VmState.ERROR:
        return
    for volume in record.volumes:
        if volume.change is not None:
            yield f"3: volume {volume.volume_id} of {record.name} is still {volume.change}"
    for interface in record.interfaces:
        if interface.change is not None:
            yield f"3: interface {interface.mac} of {record.name} is still {interface.change}"


def wired_otherwise(record: InstanceRecord, machine: Any) -> Iterator[str]:
    """In times of quiet: the machine has the interfaces that the row says."""
    has, said = sorted(machine.shape.get("macs", ())), sorted(one.mac for one in record.interfaces)
    if has != said:
        yield f"6: {record.name} has interfaces {said}, its machine {has}"


async def findings(world: World) -> AsyncIterator[str]:
    """In times of quiet: rows, resources, HostVolumes and files are about the same volumes."""
    keys = await store.keys(world.db)
    rows = [row for namespace, name, _ in keys if (row := await store.at(world.db, namespace, name))]
    shown = {body["metadata"]["name"]: body for body in world.server.bodies("volumes")}
    orders = {_key(body): body for body in world.server.bodies("hostvolumes")}
    files: dict[tuple[str, str], Any] = {}
    for host in world.hosts.values():
        files.update(host.driver.volumes._known)
    for row in rows:
        for finding in _compare(row, shown.pop(row.name, None), orders, files):
            yield finding
    for name, body in shown.items():
        if "deletionTimestamp" in body["metadata"]:
            yield f"3: Volume {name} is still being deleted, and has no row"
    for namespace, name in orders:
        yield f"4: HostVolume {namespace}/{name} belongs to nobody"
    for node, name in files:
        yield f"4: file of volume {name} on {node or 'all hosts'} belongs to nobody"


def _key(body: dict[str, Any]) -> tuple[str, str]:
    return body["metadata"]["namespace"], body["metadata"]["name"]


def _compare(
    row: VolumeRecord,
    body: dict[str, Any] | None,
    orders: dict[tuple[str, str], Any],
    files: dict[tuple[str, str], Any],
) -> Iterator[str]:
    if body is None:
        yield f"6: volume {row.name} has a row and no resource"
    if (row.deleting or (body and "deletionTimestamp" in body["metadata"])) and not row.instance_ids:
        yield f"3: volume {row.name} is still being deleted, and nobody has it"
    if row.host is None:
        return
    order = orders.pop((node_namespace(row.host), row.id), None)
    where = SHARED if row.spec.backend is VolumeBackend.SHARED else row.host
    made = files.pop((where, row.id), None)
    if order is None:
        yield f"6: volume {row.name} is on {row.host}, and has no HostVolume there"
    elif order["spec"]["sizeGiB"] != row.size_gib and not row.deleting:
        yield f"6: volume {row.name} has {row.size_gib} GiB, its HostVolume {order['spec']['sizeGiB']}"
    if row.message is not None:
        return  # the host cannot make it
    if made is None or made["sizeGiB"] != row.size_gib or row.made_gib != row.size_gib:
        yield f"6: volume {row.name} has {row.size_gib} GiB, made are {row.made_gib}, there is {made}"
