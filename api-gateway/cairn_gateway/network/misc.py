"""What clients ask on their way: versions, extensions, quotas, zones, and what Cairn has none of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from cairn_database.networking import limits
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import NotFound
from cairn_gateway.http.models import Integer, RequestModel
from cairn_gateway.http.routes import Enforce, Handler, Route, not_yet
from cairn_gateway.network import listing
from cairn_gateway.network.faults import Missing
from cairn_gateway.network.owners import names_for

PREFIX = "/network"
Json = dict[str, Any]

EXTENSIONS: dict[str, tuple[str, str]] = {
    "agent": ("agent", "Agents are listed; Cairn has none of its own."),
    "availability_zone": ("Availability Zone", "The zones of networks."),
    "binding": ("Port Binding", "Ports tell their host to administrators."),
    "external-net": ("Neutron external network", "Networks that floating IPs are taken from."),
    "net-mtu": ("Network MTU", "Networks tell their MTU."),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU of a network can be changed."),
    "network_availability_zone": ("Network Availability Zone", "Networks tell their zones."),
    "pagination": ("Pagination support", "Lists come in pages."),
    "port-security": ("Port Security", "Ports tell that their traffic is checked."),
    "project-id": ("project_id field enabled", "Resources name their project as project_id."),
    "quotas": ("Quota management support", "Limits of each project."),
    "quota_details": ("Quota details management support", "Limits with what is used."),
    "router": ("Neutron L3 Router", "Floating IPs. Routers are listed; Cairn cannot make any yet."),
    "security-group": ("security-group", "Security groups and their rules."),
    "sorting": ("Sorting support", "Lists are sorted by any field."),
    "standard-attr-description": ("standard-attr-description", "Resources have a description."),
    "standard-attr-revisions": ("Resource revision numbers", "Resources count their changes."),
    "standard-attr-timestamp": ("Resource timestamps", "Resources tell when they were made and changed."),
}
"""By alias: name and description."""
UPDATED = "2026-01-01T00:00:00-00:00"

NOTHING: dict[str, str] = {
    "address-groups": "get_address_group",
    "address-scopes": "get_address_scope",
    "agents": "get_agent",
    "routers": "get_router",
    "subnetpools": "get_subnetpool",
    "trunks": "get_trunk",
    "rbac-policies": "get_rbac_policy",
}
"""Collections that are always empty, with their rules."""
KINDS = {
    "address-groups": "AddressGroup",
    "address-scopes": "AddressScope",
    "agents": "Agent",
    "routers": "Router",
    "subnetpools": "SubnetPool",
    "trunks": "Trunk",
    "rbac-policies": "RbacPolicy",
}
NOT_MADE = {
    "address-groups": "create_address_group",
    "address-scopes": "create_address_scope",
    "routers": "create_router",
    "subnetpools": "create_subnetpool",
    "trunks": "create_trunk",
    "rbac-policies": "create_rbac_policy",
}


def _version(call: Call) -> Json:
    return {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [{"rel": "self", "href": f"{call.base_url}{PREFIX}/v2.0/"}],
    }


async def versions(call: Call) -> Answer:
    """The versions of the Network API."""
    return Answer({"versions": [_version(call)]})


async def resources(call: Call) -> Answer:
    """What v2.0 has."""
    names = (
        "networks",
        "subnets",
        "ports",
        "security-groups",
        "security-group-rules",
        "floatingips",
        "routers",
    )
    return Answer(
        {
            "resources": [
                {
                    "name": name.removesuffix("s").replace("-", "_"),
                    "collection": name.replace("-", "_"),
                    "links": [{"rel": "self", "href": f"{call.base_url}{PREFIX}/v2.0/{name}"}],
                }
                for name in names
            ]
        }
    )


def _extension(alias: str) -> Json:
    name, description = EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": UPDATED, "links": []}


async def extensions(_call: Call) -> Answer:
    """The extensions of Neutron's API that are here."""
    return Answer({"extensions": [_extension(alias) for alias in EXTENSIONS]})


async def extension(call: Call) -> Answer:
    """One extension."""
    alias = call.params["alias"]
    if alias not in EXTENSIONS:
        raise Missing("ExtensionsNotFound", f"Extensions not found: {alias}.")
    return Answer({"extension": _extension(alias)})


async def zones(call: Call) -> Answer:
    """The zones that networks are in: one, everywhere."""
    views = [{"name": "nova", "resource": "network", "state": "available"}]
    chosen = listing.filters(call)
    return Answer({"availability_zones": [item for item in views if listing.matches(item, chosen)]})


def _empty(collection: str) -> Handler:
    async def index(call: Call) -> Answer:
        call.allows(NOTHING[collection])
        return Answer({collection.replace("-", "_"): []})

    index.__doc__ = f"No {collection.replace('-', ' ')} ever."
    return index


def _none_such(collection: str) -> Handler:
    async def show(call: Call) -> Answer:
        kind = KINDS[collection]
        raise Missing(f"{kind}NotFound", f"{kind} {call.params['id']} could not be found")

    show.__doc__ = f"There are no {collection.replace('-', ' ')}."
    return show


# --- quotas ----------------------------------------------------------------------------------------------

Limit = Annotated[Integer, Field(ge=-1, le=2**31 - 1)]


class Limits(RequestModel):
    """New limits; -1 is unlimited."""

    network: Limit | None = None
    subnet: Limit | None = None
    port: Limit | None = None
    router: Limit | None = None
    floatingip: Limit | None = None
    security_group: Limit | None = None
    security_group_rule: Limit | None = None
    force: Any = None
    check_limit: Any = None


class QuotaUpdate(RequestModel):
    """New limits of a project."""

    quota: Limits


async def _project(call: Call) -> str:
    """The project that the path names, as rows name it; an unknown one has the defaults."""
    project_id = call.params["project_id"]
    at = {"project_id": project_id, "tenant_id": project_id}
    call.enforce(at)
    found = await names_for(call, [project_id])
    return found[0] if found else project_id


async def quota(call: Call) -> Answer:
    """The limits of a project."""
    report = await limits.report(call.services.db, await _project(call))
    return Answer({"quota": {name: limit for name, (limit, _used) in report.items()}})


async def quota_details(call: Call) -> Answer:
    """The limits of a project, and what it has."""
    report = await limits.report(call.services.db, await _project(call))
    details = {name: {"limit": limit, "used": used, "reserved": 0} for name, (limit, used) in report.items()}
    return Answer({"quota": details})


async def quota_defaults(call: Call) -> Answer:
    """What a project may have unless somebody says otherwise."""
    await _project(call)
    return Answer({"quota": dict(limits.DEFAULTS)})


async def set_quota(call: Call) -> Answer:
    """Set limits of a project."""
    project_id = call.params["project_id"]
    call.enforce({"project_id": project_id, "tenant_id": project_id})
    found = await names_for(call, [project_id])
    if not found:
        raise NotFound(f"Project {project_id} could not be found.")
    new: Limits = call.checked.quota
    chosen = {name: value for name in limits.DEFAULTS if (value := getattr(new, name)) is not None}
    await limits.set_limits(call.services.db, found[0], chosen)
    report = await limits.report(call.services.db, found[0])
    return Answer({"quota": {name: limit for name, (limit, _used) in report.items()}})


async def reset_quota(call: Call) -> Answer:
    """Back to the defaults."""
    await limits.set_limits(call.services.db, await _project(call), None)
    return Answer()


async def own_quota(call: Call) -> Answer:
    """Whose quotas are asked for, of a token (Neutron: GET /v2.0/quotas/tenant)."""
    return Answer({"tenant": {"tenant_id": call.project_id}})


async def quotas(call: Call) -> Answer:
    """Projects whose limits are not the defaults."""
    call.enforce({})
    found = await limits.changed_projects(call.services.db)
    views = []
    for name, project_id in found:
        report = await limits.report(call.services.db, name)
        said = {key: limit for key, (limit, _used) in report.items()}
        views.append({**said, "project_id": project_id, "tenant_id": project_id})
    return Answer({"quotas": views})


def _collections() -> list[Route]:
    found = [
        Route("GET", f"/v2.0/{name}", _empty(name), rule, enforce=Enforce.HANDLER)
        for name, rule in NOTHING.items()
    ]
    found += [Route("GET", f"/v2.0/{name}/{{id}}", _none_such(name), rule) for name, rule in NOTHING.items()]
    found += [
        Route("POST", f"/v2.0/{name}", not_yet(f"make {name.replace('-', ' ')}"), rule, not_yet=True)
        for name, rule in NOT_MADE.items()
    ]
    return found


ROUTES: tuple[Route, ...] = (
    Route("GET", "/", versions, None),
    Route("GET", "/v2.0", resources, None),
    Route("GET", "/v2.0/extensions", extensions, "get_extension"),
    Route("GET", "/v2.0/extensions/{alias}", extension, "get_extension"),
    Route("GET", "/v2.0/availability_zones", zones, "get_availability_zone"),
    Route("GET", "/v2.0/quotas", quotas, "get_quota", enforce=Enforce.HANDLER),
    Route("GET", "/v2.0/quotas/tenant", own_quota, "get_quota"),
    Route("GET", "/v2.0/quotas/{project_id}", quota, "get_quota", enforce=Enforce.HANDLER),
    Route("GET", "/v2.0/quotas/{project_id}/default", quota_defaults, "get_quota", enforce=Enforce.HANDLER),
    Route("GET", "/v2.0/quotas/{project_id}/details", quota_details, "get_quota", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/quotas/{project_id}",
        set_quota,
        "update_quota",
        body=QuotaUpdate,
        enforce=Enforce.HANDLER,
    ),
    Route(
        "DELETE",
        "/v2.0/quotas/{project_id}",
        reset_quota,
        "delete_quota",
        status=204,
        enforce=Enforce.HANDLER,
    ),
    *_collections(),
)
