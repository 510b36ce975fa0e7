"""What a guest is told about itself, in the documents of OpenStack's and EC2's metadata.

Pure functions: the config drive writes these documents to a disk, the metadata service answers with them.
The shapes, key names and versions are Nova's (`nova/api/metadata/base.py`, `nova/virt/netutils.py`), which
cloud-init, cloudbase-init and ignition read.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import yaml

from cairn_agent.drivers.api import DriverError
from cairn_crds.guest import GuestNetwork, GuestSpec

OPENSTACK_VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
    "2025-04-04",
)
"""Of the documents under openstack/, oldest first; `latest` is the last."""

EC2_VERSIONS = ("2009-04-04",)
"""Of the documents under ec2/: the one that Nova puts on a config drive unless told otherwise."""

LATEST = "latest"

_RANDOM_SEED_SINCE = "2013-04-04"
_VENDOR_DATA_SINCE = "2013-10-17"
_PROJECT_ID_SINCE = "2015-10-15"
_NETWORK_DATA_SINCE = "2015-10-15"
_DEVICES_SINCE = "2016-06-30"
_VENDOR_DATA2_SINCE = "2016-10-06"
_DEDICATED_CPUS_SINCE = "2020-10-14"

_RANDOM_SEED_BYTES = 512


class UserDataInvalid(DriverError):
    """The user data is not base64: no host could give it to the guest."""

    reason = "UserDataInvalid"
    permanent = True


def random_seed() -> bytes:
    """Fresh entropy for one guest's `random_seed`."""
    return os.urandom(_RANDOM_SEED_BYTES)


def user_data(spec: GuestSpec) -> bytes | None:
    """The user data as the guest sees it. Raises UserDataInvalid."""
    encoded = spec.config.user_data_base64
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=False)
    except binascii.Error:
        raise UserDataInvalid("userData is not valid base64") from None


def meta_data(instance_id: str, spec: GuestSpec, seed: bytes, version: str = LATEST) -> dict[str, Any]:
    """`openstack/<version>/meta_data.json`. `seed`: see `random_seed`."""
    config = spec.config
    data: dict[str, Any] = {"uuid": instance_id}
    if config.metadata:
        data["meta"] = dict(config.metadata)
    if config.public_keys:
        data["public_keys"] = dict(config.public_keys)
        data["keys"] = [
            {"name": name, "type": "ssh", "data": key} for name, key in config.public_keys.items()
        ]
    data["hostname"] = config.hostname
    data["name"] = spec.instance.name
    data["launch_index"] = 0
    data["availability_zone"] = config.availability_zone
    if _has(version, _RANDOM_SEED_SINCE):
        data["random_seed"] = base64.b64encode(seed).decode()
    if _has(version, _PROJECT_ID_SINCE):
        data["project_id"] = spec.instance.project
    if _has(version, _DEVICES_SINCE):
        data["devices"] = []
    if _has(version, _DEDICATED_CPUS_SINCE):
        data["dedicated_cpus"] = []
    return data


def network_data(instance_id: str, spec: GuestSpec) -> dict[str, Any]:
    """`openstack/<version>/network_data.json`.

    On a NAT network the host answers DHCP, so the guest is told to ask; on a bridge of the host it is
    told its address, as Nova does for subnets without DHCP.
    """
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for index, interface in enumerate(spec.networks):
        dhcp = interface.bridge is None
        dns = [{"type": "dns", "address": address} for address in interface.dns]
        links.append(
            {
                "id": f"interface{index}",
                "vif_id": interface_id(instance_id, interface.mac),
                "type": "bridge",
                "mtu": None if dhcp else interface.mtu,
                "ethernet_mac_address": interface.mac,
            }
        )
        network: dict[str, Any] = {
            "id": f"network{index}",
            "type": "ipv4_dhcp" if dhcp else "ipv4",
            "link": f"interface{index}",
        }
        if not dhcp:
            network |= _static_address(interface) | {"services": dns}
        networks.append(network | {"network_id": interface.network_id})
        services += [service for service in dns if service not in services]
    return {"links": links, "networks": networks, "services": services}


def interface_id(instance_id: str, mac: str) -> str:
    """The id of one interface: the same whenever it is asked for."""
    return str(uuid.uuid5(uuid.UUID(instance_id), mac))


def _static_address(interface: GuestNetwork) -> dict[str, Any]:
    default = {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": interface.gateway}  # noqa: S104
    return {
        "ip_address": interface.address,
        "netmask": str(ipaddress.IPv4Network(interface.cidr, strict=False).netmask),
        "routes": [default] if interface.gateway else [],
    }


def ec2_id(prefix: str, identifier: str) -> str:
    """The EC2 form (`i-…`, `ami-…`) of a UUID or checksum: its first 17 hexadecimal digits."""
    return f"{prefix}-{identifier.replace('-', '')[:17]}"


def ec2_meta_data(instance_id: str, spec: GuestSpec) -> dict[str, Any]:
    """`ec2/<version>/meta-data.json` as of 2009-04-04."""
    config = spec.config
    data: dict[str, Any] = {
        "ami-id": ec2_id("ami", spec.image.sha256),
        "ami-launch-index": 0,
        "ami-manifest-path": "FIXME",  # Nova's and Eucalyptus' literal value
        "instance-id": ec2_id("i", instance_id),
        "hostname": config.hostname,
        "local-ipv4": spec.networks[0].address if spec.networks else "",
        "reservation-id": ec2_id("r", instance_id),
        "security-groups": [],
    }
    if config.public_keys:
        name, key = next(iter(config.public_keys.items()))
        data["public-keys"] = {"0": {"_name": f"0={name}", "openssh-key": key}}
    return data | {
        "local-hostname": config.hostname,
        "public-hostname": config.hostname,
        "public-ipv4": "",
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "placement": {"availability-zone": config.availability_zone},
        "instance-action": "none",
    }


def vendor_data(spec: GuestSpec) -> dict[str, Any]:
    """`openstack/<version>/vendor_data.json`: the administrator's password, as its hash, for cloud-init.

    cloud-init lays user data over this. `password` is for the image's default user (`debian`, `ubuntu` …) and
    counts only where user data has neither a `password` nor passwords in `chpasswd`. `expire: false` keeps
    the guest from asking for another password at the first login (cloud-init: Set Passwords).
    """
    hashed = spec.config.admin_password_hash
    if hashed is None:
        return {}
    config = {"password": hashed, "chpasswd": {"expire": False}}
    return {"cloud-init": f"#cloud-config\n{yaml.safe_dump(config, sort_keys=False, width=1000)}"}


def vendor_data2() -> dict[str, Any]:
    """`openstack/<version>/vendor_data2.json` with nothing configured."""
    return {"static": {}}


def documents(instance_id: str, spec: GuestSpec, seed: bytes) -> Iterator[tuple[str, bytes]]:
    """Every document of a config drive by its path. Raises UserDataInvalid.

    Paths are Cairn's own; what a user chose is only ever inside a document.
    """
    data = user_data(spec)
    ec2 = _json(ec2_meta_data(instance_id, spec))
    for version in (*EC2_VERSIONS, LATEST):
        if data is not None:
            yield f"ec2/{version}/user-data", data
        yield f"ec2/{version}/meta-data.json", ec2
    network, vendor = _json(network_data(instance_id, spec)), _json(vendor_data(spec))
    for version in (*OPENSTACK_VERSIONS, LATEST):
        yield f"openstack/{version}/meta_data.json", _json(meta_data(instance_id, spec, seed, version))
        if data is not None:
            yield f"openstack/{version}/user_data", data
        if _has(version, _VENDOR_DATA_SINCE):
            yield f"openstack/{version}/vendor_data.json", vendor
        if _has(version, _NETWORK_DATA_SINCE):
            yield f"openstack/{version}/network_data.json", network
        if _has(version, _VENDOR_DATA2_SINCE):
            yield f"openstack/{version}/vendor_data2.json", _json(vendor_data2())


def _has(version: str, since: str) -> bool:
    """Whether a version has what came with `since`. The versions are dates, so they compare as text."""
    return version == LATEST or version >= since


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document)
