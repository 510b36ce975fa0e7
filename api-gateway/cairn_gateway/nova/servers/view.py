"""How a server looks in an answer, by microversion and by what the caller may see.

Source: Nova API, GET /servers/{server_id} (`nova/api/openstack/compute/views/servers.py`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from cairn_database import InstanceRecord
from cairn_database.networking.interfaces import Interface
from cairn_gateway.http.call import Call
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.paging import bookmark, links
from cairn_gateway.nova.servers.hosts import HostFacts
from cairn_gateway.nova.servers.states import POWER_STATES, WITH_FAULT, WITH_PROGRESS, status_of

Json = dict[str, Any]
EXTENDED = "os_compute_api:os-extended-server-attributes"
HOST_STATUS = "os_compute_api:servers:show:host_status"
HOST_STATUS_UNKNOWN = "os_compute_api:servers:show:host_status:unknown-only"
EXTRA_SPECS = "os_compute_api:servers:show:flavor-extra-specs"
DEFAULT_ZONE = "nova"


@dataclass(frozen=True)
class Surroundings:
    """What the rows of instances do not say."""

    project_ids: Mapping[str, str] = field(default_factory=dict)
    """Project resource name → the API's project id."""
    interfaces: Mapping[str, Sequence[Interface]] = field(default_factory=dict)
    """Instance id → its interfaces; those without any are left out."""
    hosts: Mapping[str, HostFacts] = field(default_factory=dict)
    """By the host's name."""


class ServerView:
    """Renders servers for one call. What the caller may see is asked of the policy once."""

    def __init__(self, call: Call, around: Surroundings, *, single: bool = True) -> None:
        self._call = call
        self._around = around
        version = call.version
        self._version = version
        self._single = single
        self._extended = call.allows(EXTENDED)
        self._extra_specs = version >= since.SERVER_FLAVOR_EMBEDDED and call.allows(EXTRA_SPECS)
        self._host_status = _host_status(call) if version >= since.SERVER_HOST_STATUS else ""
        self._administrator = call.is_admin

    @property
    def kind(self) -> tuple[Any, ...]:
        """What `full` makes of a server depends on this, on the record and its surroundings: nothing else."""
        return (
            self._version,
            self._call.base_url,
            self._single,
            self._extended,
            self._extra_specs,
            self._host_status,
            self._administrator,
        )

    def full(self, record: InstanceRecord) -> Json:
        """Everything that the caller may see."""
        version, details, spec = self._version, record.details, record.spec
        around = self._around
        project_id = around.project_ids.get(record.project, record.project)
        status = status_of(record.vm_state, record.task_state)
        server: Json = {
            "accessIPv4": details.get("accessIPv4") or "",
            "accessIPv6": details.get("accessIPv6") or "",
            "addresses": addresses_of(record, around),
            "created": moment(record.created_at),
            "flavor": self._flavor(record),
            "hostId": host_id(project_id, record.host),
            "id": record.id,
            "image": self._image(record),
            "links": links(self._call, "servers", record.id),
            "metadata": spec.get("metadata") or {},
            "name": record.display_name,
            "status": status,
            "tenant_id": project_id,
            "user_id": record.user_id or "",
            "updated": moment(record.updated_at),
            "OS-DCF:diskConfig": details.get("diskConfig", "MANUAL"),
            "OS-EXT-AZ:availability_zone": self._zone(record),
            "config_drive": "True" if spec.get("configDrive") else "",
            "key_name": record.key_pair.name if record.key_pair else None,
            "OS-SRV-USG:launched_at": usage_moment(record.launched_at),
            "OS-SRV-USG:terminated_at": usage_moment(record.terminated_at),
            "OS-EXT-STS:task_state": record.task_state,
            "OS-EXT-STS:vm_state": record.vm_state,
            "OS-EXT-STS:power_state": POWER_STATES[record.power_state],
            "os-extended-volumes:volumes_attached": self._volumes(record),
        }
        groups = {group.name for one in around.interfaces.get(record.id, ()) for group in one.security_groups}
        if groups:
            server["security_groups"] = [{"name": name} for name in sorted(groups)]
        if status in WITH_FAULT and record.fault_message is not None:
            server["fault"] = self._fault(record)
        if status in WITH_PROGRESS:
            server["progress"] = 0  # Nova counts while it migrates or resizes only
        if self._extended:
            self._add_extended(server, record)
        if version >= since.SERVER_LOCKED:
            server["locked"] = record.locked
        if self._host_status:
            self._add_host_status(server, record)
        self._add_newer(server, record)
        return server

    def _add_extended(self, server: Json, record: InstanceRecord) -> None:
        """For administrators."""
        prefix = "OS-EXT-SRV-ATTR:"
        server[f"{prefix}host"] = record.host
        server[f"{prefix}instance_name"] = f"instance-{record.id[:8]}"
        host = self._around.hosts.get(record.host or "")
        server[f"{prefix}hypervisor_hostname"] = host.hypervisor if host else record.host
        if self._version >= since.SERVER_EXTENDED_ATTRIBUTES:
            details = record.details
            server |= {
                f"{prefix}hostname": hostname_of(record),
                f"{prefix}kernel_id": "",
                f"{prefix}launch_index": details.get("launchIndex", 0),
                f"{prefix}ramdisk_id": "",
                f"{prefix}reservation_id": details.get("reservationId", ""),
                f"{prefix}root_device_name": details.get("rootDeviceName", "/dev/vda"),
                f"{prefix}user_data": user_data_of(record),
            }

    def _add_host_status(self, server: Json, record: InstanceRecord) -> None:
        host = self._around.hosts.get(record.host or "")
        status = (host.status if host else "UNKNOWN") if record.host else ""
        if self._host_status == "any" or status == "UNKNOWN":
            server["host_status"] = status

    def _add_newer(self, server: Json, record: InstanceRecord) -> None:
        version, spec = self._version, record.spec
        if version >= since.SERVER_DESCRIPTION:
            server["description"] = spec.get("description")
        if version >= since.SERVER_TAGS:
            server["tags"] = spec.get("tags") or []
        if version >= since.TRUSTED_CERTIFICATES:
            server["trusted_image_certificates"] = record.details.get("trustedImageCertificates")
        if version >= since.SERVER_GROUPS_IN_SERVER and self._single:
            server["server_groups"] = [record.group_id] if record.group_id else []
        if version >= since.LOCK_REASON:
            server["locked_reason"] = spec.get("lockedReason")
        if version >= since.HOSTNAME_FOR_ALL and not self._extended:
            server["OS-EXT-SRV-ATTR:hostname"] = hostname_of(record)
        if version >= since.PINNED_ZONE:
            server["pinned_availability_zone"] = record.availability_zone
        if version >= since.SCHEDULER_HINTS_IN_SERVER:
            server["scheduler_hints"] = record.details.get("schedulerHints") or {}

    def _zone(self, record: InstanceRecord) -> str:
        if record.host is None:
            return record.availability_zone or ""
        host = self._around.hosts.get(record.host)
        return (host.zone if host else None) or DEFAULT_ZONE

    def _volumes(self, record: InstanceRecord) -> list[Json]:
        if self._version < since.SERVER_VOLUMES_DELETE_ON_TERMINATION:
            return [{"id": volume.volume_id} for volume in record.volumes]
        return [
            {"id": volume.volume_id, "delete_on_termination": volume.delete_on_termination}
            for volume in record.volumes
        ]

    def _flavor(self, record: InstanceRecord) -> Json:
        flavor = record.flavor
        if self._version < since.SERVER_FLAVOR_EMBEDDED:
            flavor_id = flavor.get("id") or flavor["name"]
            return {"id": flavor_id, "links": bookmark(self._call, "flavors", flavor_id)}
        shown = {
            "vcpus": flavor["vcpus"],
            "ram": flavor["memoryMiB"],
            "disk": flavor.get("diskGiB", 0),
            "ephemeral": flavor.get("ephemeralGiB", 0),
            "swap": flavor.get("swapMiB", 0),
            "original_name": flavor.get("displayName") or flavor["name"],
        }
        if self._extra_specs:
            shown["extra_specs"] = flavor.get("extraSpecs") or {}
        return shown

    def _image(self, record: InstanceRecord) -> Json | str:
        image_id = record.image.get("id")
        if not image_id:
            return ""
        shown: Json = {"id": image_id, "links": bookmark(self._call, "images", image_id)}
        if self._version >= since.IMAGE_PROPERTIES_IN_SERVER:
            shown["properties"] = record.image.get("properties") or {}
        return shown

    def _fault(self, record: InstanceRecord) -> Json:
        fault: Json = {
            "code": record.fault_code or 500,
            "created": moment(record.fault_at or record.updated_at),
            "message": (record.fault_message or "")[:255],
        }
        # The first line is for everybody; what else there is, for administrators (as Nova's traces are).
        if fault["code"] != 500 or self._administrator:
            fault["details"] = record.fault_message
        return fault


def _host_status(call: Call) -> str:
    if call.allows(HOST_STATUS):
        return "any"
    return "unknown" if call.allows(HOST_STATUS_UNKNOWN) else ""


def addresses_of(record: InstanceRecord, around: Surroundings) -> dict[str, list[Json]]:
    """By the network's name, in the order of the interfaces."""
    found: dict[str, list[Json]] = {}
    for interface in around.interfaces.get(record.id, ()):
        addresses = found.setdefault(interface.network_name, [])
        addresses += [_address(address, interface.mac, "fixed") for address in interface.addresses]
        addresses += [_address(address, interface.mac, "floating") for address in interface.floating]
    return found


def _address(address: str, mac: str, kind: str) -> Json:
    return {
        "version": 6 if ":" in address else 4,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": mac,
    }


@lru_cache(maxsize=4096)
def host_id(project_id: str, host: str | None) -> str:
    """Which host, without saying which: the same for a project's servers on the same host."""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest() if host else ""


def moment(value: datetime) -> str:
    """Nova's isotime: `2026-11-22T14:00:00Z`."""
    return value.isoformat()[:19] + "Z"


def usage_moment(value: datetime | None) -> str | None:
    """With microseconds and without a zone, as OS-SRV-USG has it."""
    return None if value is None else value.replace(tzinfo=None).isoformat(timespec="microseconds")


def hostname_of(record: InstanceRecord) -> str:
    """The guest's own name."""
    given = record.details.get("hostname") or record.spec.get("hostname")
    return str(given or record.name.replace(".", "-")[:63].strip("-"))


def user_data_of(record: InstanceRecord) -> str | None:
    """base64, as it was given."""
    spec = record.spec
    if spec.get("userData") is not None:
        return base64.b64encode(spec["userData"].encode()).decode()
    data: str | None = spec.get("userDataBase64")
    return data
