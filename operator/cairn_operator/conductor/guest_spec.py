"""What the host is told: the Guest that a row stands for. A pure function of the row and its host's zone, so
that a Guest that was lost comes back the same."""

from __future__ import annotations

import base64
import ipaddress
from typing import Any

from cairn_crds import Guest, GuestSpec, InstanceSpec, Metadata
from cairn_crds.guest import GuestConfig, GuestNetwork, InstanceReference, node_namespace
from cairn_crds.image_source import GuestImage
from cairn_database import InstanceRecord, InterfaceRecord
from cairn_database.aggregates import DEFAULT_ZONE
from cairn_database.images.signing import SigningKeys

NO_KEYS = SigningKeys(())


def build_guest(
    record: InstanceRecord,
    *,
    absent: bool = False,
    keys: SigningKeys = NO_KEYS,
    zone: str = DEFAULT_ZONE,
) -> Guest:
    """The Guest of `record`, which has a host. `absent`: the one that tells the host to remove it. `keys`
    sign the address of an image in the gateway's store. `zone`: the host's, which the guest is told where
    none was asked for."""
    if record.host is None:
        raise ValueError(f"instance {record.id} has no host")
    return Guest(
        metadata=Metadata(name=record.id, namespace=node_namespace(record.host)),
        spec=build_spec(record, absent=absent, keys=keys, zone=zone),
    )


def build_spec(
    record: InstanceRecord,
    *,
    absent: bool = False,
    keys: SigningKeys = NO_KEYS,
    zone: str = DEFAULT_ZONE,
) -> GuestSpec:
    """The machine that `record` stands for."""
    spec = InstanceSpec.model_validate(record.request["spec"])
    flavor, image = record.flavor, record.image
    return GuestSpec(
        instance=InstanceReference(namespace=record.namespace, name=record.name, project=record.project),
        absent=absent,
        launched=record.launched_at is not None,
        fencing_epoch=record.fencing_epoch,
        power_state=spec.power_state,
        reboot=spec.reboot,
        vcpus=flavor["vcpus"],
        memory_mib=flavor["memoryMiB"],
        root_disk_gib=flavor.get("diskGiB", 0),
        ephemeral_disk_gib=flavor.get("ephemeralGiB", 0),
        swap_mib=flavor.get("swapMiB", 0),
        image=GuestImage(
            name=image["name"],
            url=keys.signed(image["url"]),
            sha256=image["sha256"],
            disk_format=image.get("diskFormat", "qcow2"),
            properties=image.get("properties", {}),
        ),
        networks=[
            _network(interface, record.request["networks"][interface.ordinal])
            for interface in record.interfaces
        ],
        config=GuestConfig(
            config_drive=spec.config_drive,
            hostname=spec.hostname or record.name.replace(".", "-")[:63].strip("-"),
            availability_zone=record.availability_zone or zone,
            public_keys={record.key_pair.name: record.key_pair.public_key} if record.key_pair else {},
            user_data_base64=_user_data(spec),
            admin_password_hash=spec.admin_password_hash,
            metadata=spec.metadata,
        ),
        request_id=record.request_id,
        extra_specs=flavor.get("extraSpecs", {}),
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
