"""`/v3/projects` (Keystone API: Projects): Project resources, as API clients see them."""

from __future__ import annotations

from typing import Any

from cairn_crds.project import ProjectSpec
from cairn_database import tenants
from cairn_database.identity import domains
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import DEFAULT_DOMAIN
from cairn_database.tenants import ProjectRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.identity import documents, tenancy
from cairn_gateway.identity.models import NewProject, ProjectCreate, ProjectUpdate
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    collection,
    enforce,
    filters,
    flag,
    readable,
    route,
    truth,
)
from cairn_gateway.identity.users import home_domain


async def _load(call: Call) -> ProjectRecord:
    project_id = call.params["project_id"]
    project = await tenants.get_project_by_id(call.services.db, project_id)
    if project is None:
        raise IdentityNotFound("project", project_id)
    enforce(call, target__project__id=project.id, target__project__domain_id=project.domain_id)
    return project


async def list_projects(call: Call) -> Answer:
    """The projects; those of a domain for who has a token of a domain."""
    home = call.caller.domain_id
    wanted = filters(call, "domain_id", "name", "enabled", "parent_id")
    domain_id = home or wanted.get("domain_id")
    enforce(call, target__domain_id=domain_id)
    if flag(call, "is_domain"):
        return collection(call, "projects", [])
    found = await tenants.list_projects(
        call.services.db,
        domain_id=domain_id,
        display_name=wanted.get("name"),
        enabled=truth(wanted.get("enabled")),
    )
    parent = wanted.get("parent_id")
    shown = [documents.project(call, project) for project in found if parent in (None, project.domain_id)]
    return collection(call, "projects", shown)


async def show_project(call: Call) -> Answer:
    """A project."""
    return Answer({"project": documents.project(call, await _load(call))})


async def create_project(call: Call) -> Answer:
    """Make a project: the Project resource, its namespace and its row."""
    asked: NewProject = call.checked.project
    domain_id = asked.domain_id or home_domain(call)
    enforce(call, target__project__domain_id=domain_id)
    if asked.is_domain:
        raise BadRequest("Make a domain by POST /v3/domains; projects are none.")
    if asked.parent_id not in (None, domain_id):
        raise BadRequest("Cairn's projects have no projects below them: leave parent_id out.")
    _refuse_tags(asked)
    domain = await domains.get_domain(call.services.db, domain_id)
    spec = ProjectSpec(
        display_name=asked.name,
        domain=None if domain.id == DEFAULT_DOMAIN else domain.id,
        description=asked.description or None,
        enabled=asked.enabled,
    )
    made = await tenancy.create_project(call.services.db, call.services.cluster.kubernetes, spec)
    return Answer({"project": documents.project(call, made)})


async def update_project(call: Call) -> Answer:
    """Change a project's name or description, or whether it is enabled."""
    project = await _load(call)
    asked: NewProject = call.checked.project
    given = asked.given()
    if given.get("domain_id", project.domain_id) != project.domain_id:
        raise BadRequest("The domain of a project cannot be changed.")
    _refuse_tags(asked)
    changes: dict[str, Any] = {}
    if "name" in given:
        changes["display_name"] = given["name"]
    if "description" in given:
        changes["description"] = given["description"] or None
    if "enabled" in given:
        changes["enabled"] = given["enabled"]
    services = call.services
    if changes:
        project = await tenancy.update_project(services.db, services.cluster.kubernetes, project, changes)
    return Answer({"project": documents.project(call, project)})


async def delete_project(call: Call) -> Answer:
    """Delete a project that has no instances."""
    project = await _load(call)
    await tenancy.delete_project(call.services.db, call.services.cluster.kubernetes, project)
    return Answer(status=NO_CONTENT)


def _refuse_tags(asked: NewProject) -> None:
    if asked.tags:
        raise BadRequest("Cairn's projects have no tags; label the Project resource instead.")


ROUTES = (
    *readable("/projects", list_projects, "list_projects"),
    route("POST", "/projects", create_project, "create_project", status=201, body=ProjectCreate),
    *readable("/projects/{project_id}", show_project, "get_project"),
    route("PATCH", "/projects/{project_id}", update_project, "update_project", body=ProjectUpdate),
    route("DELETE", "/projects/{project_id}", delete_project, "delete_project"),
)
