"""/os-hosts (until 2.42): an older view of services and hypervisors."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from cairn_database import hosts, nodes, tenants
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound, NotImplementedYet
from cairn_gateway.http.models import RequestModel
from cairn_gateway.http.routes import Handler, Route
from cairn_gateway.nova import services_known
from cairn_gateway.nova.hypervisors_view import numbers
from cairn_gateway.nova.microversions import HOSTS_REMOVED, before
from cairn_gateway.nova.queries import given
from cairn_gateway.nova.services import DISABLE, ENABLE, change_node

RULE = "os_compute_api:os-hosts:"
Word = Literal["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"]


class UpdateBody(RequestModel):
    """`PUT /os-hosts/{host_name}`."""

    status: Word | None = None
    maintenance_mode: Word | None = None

    @model_validator(mode="after")
    def _says_something(self) -> UpdateBody:
        if self.status is None and self.maintenance_mode is None:
            raise ValueError("status or maintenance_mode has to be there")
        return self


async def index(call: Call) -> Answer:
    """List the enabled services by host, all or those of a zone."""
    zone = given(call.query_dict().get("zone"))
    shown = [
        {"host_name": service.host, "service": service.topic, "zone": service.zone}
        for service in await services_known.known_services(call.services)
        if not service.disabled and zone in (None, service.zone)
    ]
    return Answer({"hosts": shown})


async def show(call: Call) -> Answer:
    """Show what a host has, what is used of it, and by which projects."""
    node = await _named(call)
    own = numbers(node)
    shares = await hosts.shares_of_host(call.services.db, node.name)
    rows: list[tuple[str, int, int, int]] = [
        ("(total)", own.vcpus, own.memory_mb, own.local_gb),
        ("(used_now)", own.vcpus_used, own.memory_mb_used, own.local_gb_used),
        (
            "(used_max)",
            sum(share.vcpus for share in shares),
            sum(share.memory_mib for share in shares),
            sum(share.disk_gib for share in shares),
        ),
    ]
    for share in shares:
        project = await tenants.get_project(call.services.db, share.project)
        project_id = project.id if project else share.project
        rows.append((project_id, share.vcpus, share.memory_mib, share.disk_gib))
    return Answer({"host": [_resource(node.name, *row) for row in rows]})


def _resource(host: str, project: str, cpu: int, memory_mb: int, disk_gb: int) -> dict[str, Any]:
    shown = {"host": host, "project": project, "cpu": cpu, "memory_mb": memory_mb, "disk_gb": disk_gb}
    return {"resource": shown}


async def update(call: Call) -> Answer:
    """Enable or disable a host. Maintenance mode is for hypervisors that move guests away by themselves."""
    body: UpdateBody = call.checked
    node = await _named(call)
    if body.maintenance_mode is not None:
        raise NotImplementedYet("Cairn's hypervisors have no maintenance mode. Nothing was changed.")
    enable = str(body.status).lower() == "enable"
    await change_node(call.services, node.name, ENABLE if enable else DISABLE)
    return Answer({"host": node.name, "status": "enabled" if enable else "disabled"})


def _power(what: str) -> Handler:
    async def refuse(call: Call) -> Answer:
        node = await _named(call)
        raise NotImplementedYet(f"Cairn cannot {what} host {node.name}. Nothing was changed.")

    refuse.__doc__ = f"No driver can {what} its host."
    return refuse


async def _named(call: Call) -> ComputeNodeRecord:
    """The host that the path names. Raises NotFound."""
    name = call.params["host_name"]
    node = await nodes.get_compute_node(call.services.db, name)
    if node is None:
        raise NotFound(f"Compute host {name} could not be found.")
    return node


_ONE = "/os-hosts/{host_name}"
_LAST = before(HOSTS_REMOVED)
ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-hosts", index, RULE + "list", until=_LAST),
    Route("GET", _ONE, show, RULE + "show", until=_LAST),
    Route("PUT", _ONE, update, RULE + "update", until=_LAST, body=UpdateBody),
    Route("GET", f"{_ONE}/startup", _power("start"), RULE + "start", until=_LAST, not_yet=True),
    Route("GET", f"{_ONE}/shutdown", _power("shut down"), RULE + "shutdown", until=_LAST, not_yet=True),
    Route("GET", f"{_ONE}/reboot", _power("reboot"), RULE + "reboot", until=_LAST, not_yet=True),
)
