"""A port as Neutron shows it, and what that takes beside its row."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database.networking import networks
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.ports import PortRecord
from cairn_database.tables import instances
from cairn_gateway.http.call import Call
from cairn_gateway.network.networks import moment
from cairn_gateway.network.owners import Owners
from cairn_gateway.network.ports_wanted import NORMAL

Json = dict[str, Any]
RUNNING = frozenset(("active", "paused", "rescued"))


class Around:
    """What showing ports needs beside their rows."""

    def __init__(self, owners: Owners, of: dict[str, NetworkRecord], machines: dict[str, Any]) -> None:
        self.owners = owners
        self.networks = of
        self.machines = machines

    @classmethod
    async def of(cls, call: Call, records: list[PortRecord]) -> Around:
        """For these ports."""
        names = {record.network for record in records}
        only = next(iter(names)) if len(names) == 1 else None
        found = await networks.find(call.services.db, name=only) if names else []
        by_name = {item.name: item for item in found if item.name is not None}
        people = [record.project for record in records] + [item.owner for item in by_name.values()]
        ids = [record.instance_id for record in records if record.instance_id]
        return cls(await Owners.of(call, people), by_name, await _machines(call, ids))


async def _machines(call: Call, instance_ids: list[str]) -> dict[str, Any]:
    """Host and state of the instances that ports belong to."""
    found: dict[str, Any] = {}
    columns = sa.select(instances.c.id, instances.c.host, instances.c.vm_state)
    for start in range(0, len(instance_ids), 500):
        statement = columns.where(instances.c.id.in_(instance_ids[start : start + 500]))
        rows = await call.services.db.read(lambda conn, query=statement: list(conn.execute(query)))  # type: ignore[misc]
        found |= {row.id: row for row in rows}
    return found


def view(record: PortRecord, around: Around, *, admin: bool = False) -> Json:
    """As Neutron shows it; `admin`: with what only administrators see."""
    network = around.networks.get(record.network)
    machine = around.machines.get(record.instance_id or "")
    project_id = around.owners.id_of(record.project)
    active = machine is not None and machine.vm_state in RUNNING
    shown = {
        "id": record.id,
        "name": record.name,
        "network_id": network.id if network else "",
        "tenant_id": project_id,
        "project_id": project_id,
        "mac_address": record.mac,
        "admin_state_up": record.details.get("adminStateUp", True),
        "status": "ACTIVE" if active else "DOWN",
        "device_id": record.instance_id or record.device_id,
        "device_owner": record.device_owner,
        "fixed_ips": [
            {"subnet_id": network.subnet_id if network else "", "ip_address": address}
            for address in record.addresses
        ],
        "security_groups": list(record.security_groups),
        "description": record.details.get("description", ""),
        "binding:vnic_type": NORMAL,
        "port_security_enabled": True,
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "dns_name": record.details.get("dnsName", ""),
        "dns_assignment": [],
        "dns_domain": "",
        "qos_policy_id": None,
        "qos_network_policy_id": None,
        "resource_request": None,
        "ip_allocation": "immediate",
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
        "tags": [],
    }
    if admin:
        shown |= {
            "binding:host_id": (machine.host if machine else None) or record.details.get("host", ""),
            "binding:profile": record.details.get("profile", {}),
            "binding:vif_type": "bridge" if active else "unbound",
            "binding:vif_details": {},
        }
    return shown


def target_of(record: PortRecord, around: Around) -> dict[str, str | None]:
    """What the policy's rules are asked about."""
    network = around.networks.get(record.network)
    owner = around.owners.id_of(network.owner) if network else None
    project_id = around.owners.id_of(record.project) or None
    return {
        "project_id": project_id,
        "tenant_id": project_id,
        "network:project_id": owner or None,
        "shared": str(network.shared if network else False),
        "device_owner": record.device_owner,
    }
