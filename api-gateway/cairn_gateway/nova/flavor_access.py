"""Which projects may use a flavor that is not public.

The Flavor resource lists Project resources by name; clients speak of projects by id.
Source of behaviour: Nova API, os-flavor-access.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from cairn_crds import Flavor
from cairn_database import catalog, tenants
from cairn_database.flavors import FlavorRecord, Seen
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import RequestModel
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.queries import refuse_query
from cairn_runtime import kubernetes

ADD = "os_compute_api:os-flavor-access:add_tenant_access"
REMOVE = "os_compute_api:os-flavor-access:remove_tenant_access"
TenantId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]


class Tenant(RequestModel):
    """A project, by id."""

    tenant: TenantId


class AddTenantAccess(RequestModel):
    """POST /flavors/{id}/action with addTenantAccess."""

    add: Tenant = Field(alias="addTenantAccess")


class RemoveTenantAccess(RequestModel):
    """POST /flavors/{id}/action with removeTenantAccess."""

    remove: Tenant = Field(alias="removeTenantAccess")


def may_use(call: Call, flavor: FlavorRecord) -> bool:
    """Whether it is public, or the caller's project was let use it."""
    return flavor.spec.public or call.caller.project in flavor.spec.projects


def visible(call: Call, flavor: FlavorRecord) -> bool:
    """Whether the caller can see it, and make instances of it. Administrators see all."""
    return call.is_admin or may_use(call, flavor)


async def flavor_of(call: Call) -> FlavorRecord:
    """The flavor that the path names. Raises NotFound for none, and for one that the caller may not see."""
    flavor_id = call.params["flavor_id"]
    flavor = await catalog.flavor_by_id(call.services.db, flavor_id)
    if flavor is None or not visible(call, flavor):
        raise NotFound(f"Flavor {flavor_id} could not be found.")
    return flavor


async def change(call: Call, flavor: FlavorRecord, spec: dict[str, Any]) -> FlavorRecord:
    """Merge `spec` (in the resource's form) into the resource's, and take in what comes of it. Raises
    NotFound when the resource is gone, BadRequest when it cannot be so."""
    services = call.services
    try:
        body = await services.cluster.patch(Flavor, flavor.resource, {"spec": spec})
    except kubernetes.NotFound as error:
        raise NotFound(f"Flavor {flavor.id} could not be found.") from error
    except kubernetes.Invalid as error:
        raise BadRequest(f"The flavor cannot be so: {error}") from error
    changed: Flavor = Flavor.from_api(body)
    seen = Seen(changed.metadata.uid, changed.metadata.generation)
    await catalog.flavors.upsert(services.db, flavor.resource, changed.spec, seen)
    return FlavorRecord(
        flavor.id, flavor.name, flavor.resource, changed.spec, flavor.created_at, flavor.updated_at
    )


async def index(call: Call) -> Answer:
    """The projects that may use a flavor"""
    refuse_query(call)
    flavor = await flavor_of(call)
    if flavor.spec.public:
        raise NotFound("Access list not available for public flavors.")
    return await _answer(call, flavor)


async def add(call: Call) -> Answer:
    """Let a project use a flavor"""
    tenant: str = call.checked.add.tenant
    project = await tenants.get_project_by_id(call.services.db, tenant)
    if project is None:
        raise BadRequest(f"Project ID {tenant} is not a valid project.")
    flavor = await flavor_of(call)
    if flavor.spec.public and call.version >= at.FLAVOR_ACCESS_REFUSES_PUBLIC:
        raise Conflict("Can not add access to a public flavor.")
    if project.name in flavor.spec.projects:
        raise Conflict(
            f"Flavor access already exists for flavor {flavor.id} and project {tenant} combination."
        )
    changed = await change(call, flavor, {"projects": [*flavor.spec.projects, project.name]})
    return await _answer(call, changed)


async def remove(call: Call) -> Answer:
    """Let a project no longer use a flavor"""
    tenant: str = call.checked.remove.tenant
    flavor = await flavor_of(call)
    project = await tenants.get_project_by_id(call.services.db, tenant)
    name = tenant if project is None else project.name
    if name not in flavor.spec.projects:
        raise NotFound(f"Flavor access not found for {flavor.id} / {tenant} combination.")
    rest = [other for other in flavor.spec.projects if other != name]
    return await _answer(call, await change(call, flavor, {"projects": rest}))


async def _answer(call: Call, flavor: FlavorRecord) -> Answer:
    access = []
    for name in flavor.spec.projects:
        project = await tenants.get_project(call.services.db, name)
        if project is not None:  # of one that is deleted, clients know nothing any more
            access.append({"flavor_id": flavor.id, "tenant_id": project.id})
    return Answer({"flavor_access": access})


ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors/{flavor_id}/os-flavor-access", index, "os_compute_api:os-flavor-access"),
    Route(
        "POST",
        "/flavors/{flavor_id}/action",
        add,
        ADD,
        body=AddTenantAccess,
        action="addTenantAccess",
    ),
    Route(
        "POST",
        "/flavors/{flavor_id}/action",
        remove,
        REMOVE,
        body=RemoveTenantAccess,
        action="removeTenantAccess",
    ),
)
