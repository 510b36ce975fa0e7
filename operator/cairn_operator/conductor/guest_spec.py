"""What the host is told: the Guest that a row stands for. A pure function of the row and its host's zone, so
that a Guest that was lost comes back the same."""

from __future__ import annotations

import base64
import ipaddress
from dataclasses import replace
from typing import Any

from cairn_crds import Guest, GuestSpec, InstanceSpec, Metadata
from cairn_crds.guest import (
    GuestConfig,
    GuestNetwork,
    GuestSuccessor,
    GuestVolume,
    InstanceReference,
    node_namespace,
)
from cairn_crds.guest_operation import (
    GuestOperation,
    GuestPassword,
    LiveDestination,
    OperationKind,
    Upload,
)
from cairn_crds.image_source import GuestImage
from cairn_crds.instance import DesiredPower
from cairn_crds.peer import Peer
from cairn_database import InstanceRecord, InterfaceRecord, TaskState
from cairn_database.aggregates import DEFAULT_ZONE
from cairn_database.images.signing import SigningKeys
from cairn_database.networking.plugging import DETACHING, sockets
from cairn_database.records import AttachedVolume, MoveKind, Operation, Successor
from cairn_operator.conductor.power import OFF, SETTLED

NO_KEYS = SigningKeys(())


def build_guest(
    record: InstanceRecord,
    *,
    absent: bool = False,
    keys: SigningKeys = NO_KEYS,
    zone: str = DEFAULT_ZONE,
    peer: Peer | None = None,
) -> Guest:
    """The Guest of `record`, which has a host. `absent`: the one that tells the host to remove it. `keys`
    sign the address of an image in the gateway's store. `zone`: the host's, which the guest is told where
    none was asked for. `peer`: the host that its disks come from."""
    if record.host is None:
        raise ValueError(f"instance {record.id} has no host")
    return Guest(
        metadata=Metadata(name=record.id, namespace=node_namespace(record.host)),
        spec=build_spec(record, absent=absent, keys=keys, zone=zone, peer=peer),
    )


def build_spec(
    record: InstanceRecord,
    *,
    absent: bool = False,
    keys: SigningKeys = NO_KEYS,
    zone: str = DEFAULT_ZONE,
    peer: Peer | None = None,
) -> GuestSpec:
    """The machine that `record` stands for."""
    spec = InstanceSpec.model_validate(record.request["spec"])
    flavor = record.flavor
    return GuestSpec(
        instance=InstanceReference(namespace=record.namespace, name=record.name, project=record.project),
        absent=absent,
        launched=record.launched_at is not None and not is_arriving(record),
        fencing_epoch=record.fencing_epoch,
        power_state=_power(record, spec),
        reboot=spec.reboot,
        vcpus=flavor["vcpus"],
        memory_mib=flavor["memoryMiB"],
        root_disk_gib=flavor.get("diskGiB", 0),
        ephemeral_disk_gib=flavor.get("ephemeralGiB", 0),
        swap_mib=flavor.get("swapMiB", 0),
        image=guest_image(base_image(record), keys),
        networks=[
            _network(socket.interface, socket.network)
            for socket in sockets(record)
            if socket.interface.change != DETACHING
        ],
        volumes=[_volume(one) for one in record.volumes if one.made and one.change != DETACHING],
        config=GuestConfig(
            config_drive=spec.config_drive,
            hostname=spec.hostname or record.name.replace(".", "-")[:63].strip("-"),
            availability_zone=record.availability_zone or zone,
            public_keys={record.key_pair.name: record.key_pair.public_key} if record.key_pair else {},
            user_data_base64=_user_data(spec),
            admin_password_hash=spec.admin_password_hash,
            metadata=spec.metadata,
        ),
        operation=_operation(record, keys, peer),
        crash_dump=spec.crash_dump.generation,
        request_id=record.request_id,
        extra_specs=flavor.get("extraSpecs", {}),
    )


ARRIVING = (TaskState.RESIZE_FINISH, TaskState.REBUILD_SPAWNING, TaskState.UNSHELVING)
"""Tasks in which a host is to make a machine for an instance that has run before, somewhere else."""


def is_arriving(record: InstanceRecord) -> bool:
    """Whether its host has not had it before."""
    move = record.move
    if record.task_state is TaskState.MIGRATING:
        told = record.operation
        return told is not None and told.kind is OperationKind.PREPARE_INCOMING and told.host == record.host
    return record.task_state in ARRIVING and move is not None and not move.stays


def base_image(record: InstanceRecord) -> dict[str, Any]:
    """What its root disk is made of: of one that has been shelved, the image of itself."""
    shelved: dict[str, Any] | None = record.details.get("baseImage")
    return shelved or record.image


def guests_of(record: InstanceRecord) -> list[InstanceRecord]:
    """What hosts should have of it: for each of them, the row as that host is to see it. Whatever another
    host has is to go.

    Besides its own host that is the other end of a move: where it came from, kept off until the move is
    confirmed, or where a live migration is awaited.
    """
    if record.host is None or record.task_state in BEFORE_GUEST:
        return []
    own = record
    if record.operation is not None and record.operation.host != record.host:
        own = replace(record, operation=None)
    if _has_landed(record):
        # As it was told before: nothing new to reach, so that the migration ends at once.
        own = replace(record, operation=_of_move(record, OperationKind.PREPARE_INCOMING))
    views = [] if _leaves_host(record) else [own]
    other = _other(record)
    return views if other is None else [*views, other]


def _has_landed(record: InstanceRecord) -> bool:
    move = record.move
    return record.task_state is TaskState.MIGRATING and move is not None and record.host == move.destination


def _of_move(record: InstanceRecord, kind: OperationKind) -> Operation | None:
    """The operation of its move that the other end has been told, and goes on being told."""
    host = record.host if kind is OperationKind.PREPARE_INCOMING else record.other_host
    return None if record.move is None else Operation(record.move.id, kind, host or "")


def _leaves_host(record: InstanceRecord) -> bool:
    """Whether its own host is to have nothing of it any more."""
    move, task = record.move, record.task_state
    if task is TaskState.SHELVING_OFFLOADING:
        return True
    if move is None:
        return False
    if move.kind is MoveKind.EVACUATION:
        return task is TaskState.REBUILDING and move.destination is not None and record.host == move.source
    if task is TaskState.UNSHELVING:
        return move.failure is not None
    return task is TaskState.RESIZE_REVERTING and not move.stays and record.host == move.destination


BEFORE_GUEST = (TaskState.SCHEDULING, TaskState.NETWORKING)
"""Tasks in which nothing has been made on the host yet."""


def _other(record: InstanceRecord) -> InstanceRecord | None:
    move, host = record.move, record.other_host
    if move is None or host is None:
        return None
    if move.kind is MoveKind.LIVE:
        prepared = Operation(move.id, OperationKind.PREPARE_INCOMING, host)
        is_awaited = record.operation is not None and record.host == move.source
        # The epoch that it arrives in: a host that has let go of it before takes no order of that one.
        epoch = record.fencing_epoch + 1
        view = replace(record, host=host, operation=prepared, fencing_epoch=epoch)
        return view if is_awaited else None
    kept = record.host == move.destination and record.task_state is not TaskState.RESIZE_CONFIRMING
    if move.kind is MoveKind.EVACUATION or not kept:
        return None
    was = {**record.request, "spec": {**record.spec, "powerState": DesiredPower.STOPPED.value}}
    return replace(
        record,
        host=host,
        flavor=move.old_flavor or record.flavor,
        fencing_epoch=record.fencing_epoch - 1,
        operation=_of_move(record, OperationKind.RELEASE_DISKS),
        task_state=None,
        request=was,
    )


def _power(record: InstanceRecord, spec: InstanceSpec) -> DesiredPower:
    is_leaving = record.task_state is TaskState.RESIZE_MIGRATING
    is_shelved = spec.power_state is DesiredPower.SHELVED
    # Somebody or its guest has switched it off: an edit of its metadata, say, does not start it again.
    stays_off = record.task_state is None and record.vm_state in SETTLED and record.power_state in OFF
    return DesiredPower.STOPPED if is_leaving or is_shelved or stays_off else spec.power_state


def _operation(record: InstanceRecord, keys: SigningKeys, peer: Peer | None) -> GuestOperation | None:
    operation = record.operation
    if operation is None:
        return None
    given, move = operation.given, record.move
    destination = None
    if operation.kind is OperationKind.LIVE_MIGRATE and move is not None:
        destination = LiveDestination(
            host=move.destination or "",
            address=move.address or "",
            copy_disks=move.copy_disks is not False,
            abort=move.abort,
            force_complete=move.force_complete,
        )
    return GuestOperation(
        id=operation.id,
        kind=operation.kind,
        image=guest_image(given["image"], keys) if "image" in given else None,
        upload=Upload(url=keys.signed_upload(given["url"])) if "url" in given else None,
        password=GuestPassword.model_validate(given["password"]) if "password" in given else None,
        peer=peer if operation.kind is OperationKind.FETCH_DISKS else None,
        destination=destination,
        shut_down=bool(given.get("shutDown")),
        graceful_seconds=given.get("gracefulSeconds"),
    )


def guest_image(image: dict[str, Any], keys: SigningKeys) -> GuestImage:
    """What a host is told of an image."""
    return GuestImage(
        name=image["name"],
        url=keys.signed(image["url"]),
        sha256=image["sha256"],
        disk_format=image.get("diskFormat", "qcow2"),
        properties=image.get("properties", {}),
    )


def _volume(volume: AttachedVolume) -> GuestVolume:
    return GuestVolume(
        id=volume.volume_id,
        backend=volume.backend,
        size_gib=volume.size_gib,
        device=volume.device,
        bus=volume.bus,
        boot_index=volume.boot_index,
        read_only=volume.read_only,
        tag=volume.tag,
        successor=_successor(volume.successor),
    )


def _successor(successor: Successor | None) -> GuestSuccessor | None:
    if successor is None or not successor.made:
        return None
    return GuestSuccessor(
        id=successor.swap_id,
        volume=successor.volume_id,
        backend=successor.backend,
        size_gib=successor.size_gib,
        cancel=successor.cancel,
    )


def _user_data(spec: InstanceSpec) -> str | None:
    if spec.user_data is not None:
        return base64.b64encode(spec.user_data.encode()).decode()
    return spec.user_data_base64


def _network(interface: InterfaceRecord, network: dict[str, Any]) -> GuestNetwork:
    cidr = ipaddress.ip_network(network["cidr"], strict=False)
    gateway = network.get("gateway") or str(cidr[1])
    return GuestNetwork(
        network=interface.network,
        network_id=network.get("id", ""),
        cidr=str(cidr),
        gateway=gateway,
        dns=network.get("dns") or [gateway],
        mtu=network.get("mtu", 1500),
        bridge=network.get("bridge"),
        mac=interface.mac,
        address=interface.address,
    )
