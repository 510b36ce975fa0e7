"""The quotas of projects, and of single users in them.

A project's own limits are its Project resource's: a change goes there first, then to SQL. A user's are SQL's
alone. Source of behaviour: Nova API, /os-quota-sets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from cairn_crds import Project
from cairn_crds.base import api_name
from cairn_database import quota_limits, quotas, tenants
from cairn_database.tenants import ProjectRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import Boolean, RequestModel, Until
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.queries import query_of
from cairn_gateway.nova.quota_names import CAIRN_NAMES, NOVA_NAMES, Limit, of_sets
from cairn_runtime import kubernetes

RULE = "os_compute_api:os-quota-sets:"
ONE = "/os-quota-sets/{project_id}"
UserId = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Network = Annotated[Limit | None, Until(at.before(at.NETWORK_QUOTAS_REMOVED))]
Injected = Annotated[Limit | None, Until(at.before(at.INJECTED_FILE_QUOTAS_REMOVED))]


class QuotaSet(RequestModel):
    """The limits to change; what is left out stays."""

    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    key_pairs: Limit | None = None
    server_groups: Limit | None = None
    server_group_members: Limit | None = None
    metadata_items: Limit | None = None
    fixed_ips: Network = None
    floating_ips: Network = None
    security_groups: Network = None
    security_group_rules: Network = None
    injected_files: Injected = None
    injected_file_content_bytes: Injected = None
    injected_file_path_bytes: Injected = None
    force: Boolean = False


class UpdateQuotaSet(RequestModel):
    """PUT /os-quota-sets/{project_id}."""

    quota_set: QuotaSet = Field()


async def show(call: Call) -> Answer:
    """A project's quotas, or a user's in it"""
    project, user_id = await _asked(call)
    db = call.services.db
    if user_id is None:
        limits = await quota_limits.project_limits(db, project.name)
    else:
        limits = await quota_limits.user_limits(db, project.name, user_id)
    return Answer({"quota_set": {"id": call.params["project_id"], **_shown(call, limits)}})


async def detail(call: Call) -> Answer:
    """A project's quotas and what is used of them"""
    project, user_id = await _asked(call)
    found = await quotas.usages(call.services.db, project.name, user_id)
    shown = {
        NOVA_NAMES[name]: {"in_use": found[name].in_use, "limit": found[name].limit, "reserved": 0}
        for name in of_sets(call.version)
    }
    return Answer({"quota_set": {"id": call.params["project_id"], **shown}})


async def defaults(call: Call) -> Answer:
    """The quotas of projects that have no own"""
    query_of(call)
    call.enforce({"project_id": call.params["project_id"]})
    await _project_of(call)
    limits = await quota_limits.class_limits(call.services.db)
    return Answer({"quota_set": {"id": call.params["project_id"], **_shown(call, limits)}})


async def update(call: Call) -> Answer:
    """Change a project's quotas, or a user's in it"""
    project, user_id = await _asked(call)
    asked: QuotaSet = call.checked.quota_set
    wanted = {
        CAIRN_NAMES[name]: limit
        for name, limit in asked.model_dump(exclude={"force"}).items()
        if limit is not None
    }
    if not asked.force:
        await _check(call, project, user_id, wanted)
    db = call.services.db
    if user_id is not None:
        limits = await quota_limits.set_user(db, project.name, user_id, wanted)
    else:
        if wanted:
            await _patch(call, project, _in_resource(wanted))
        limits = await quota_limits.project_limits(db, project.name)
    return Answer({"quota_set": _shown(call, limits)})


async def delete(call: Call) -> Answer:
    """Put a project's quotas, or a user's in it, back to the defaults"""
    user_id = _query(call)
    call.enforce({"project_id": call.params["project_id"]})
    project = await tenants.get_project_by_id(call.services.db, call.params["project_id"])
    if project is None:
        return Answer()
    if user_id is not None:
        await quota_limits.forget_user(call.services.db, project.name, user_id)
    else:
        await _patch(call, project, None)
    return Answer()


# --- what the calls share --------------------------------------------------------------------------------


def _query(call: Call) -> str | None:
    user_id = query_of(call, ("user_id",), since=at.UNKNOWN_PARAMETERS_REFUSED).get("user_id") or None
    if user_id is not None and len(user_id) > 64:
        raise BadRequest("Invalid input for query parameters user_id: it is longer than 64 characters.")
    return user_id


async def _asked(call: Call) -> tuple[ProjectRecord, str | None]:
    """The project, once the policy allows it, and the user if there is one."""
    user_id = _query(call)
    call.enforce({"project_id": call.params["project_id"]})
    return await _project_of(call), user_id


async def _project_of(call: Call) -> ProjectRecord:
    project_id = call.params["project_id"]
    project = await tenants.get_project_by_id(call.services.db, project_id)
    if project is None:
        raise BadRequest(f"Project ID {project_id} is not a valid project.")
    return project


def _shown(call: Call, limits: Mapping[str, int]) -> dict[str, int]:
    return {NOVA_NAMES[name]: limits[name] for name in of_sets(call.version)}


def _infinite(limit: int) -> float:
    return math.inf if limit < 0 else limit


async def _check(call: Call, project: ProjectRecord, user_id: str | None, wanted: Mapping[str, int]) -> None:
    """A limit has to leave room for what is used and given to users already, and a user's has to fit into the
    project's. Raises BadRequest."""
    db = call.services.db
    used = await quotas.usages(db, project.name, user_id)
    given = await quota_limits.sum_of_users(db, project.name, user_id or "")
    whole = await quota_limits.project_limits(db, project.name)
    for name, limit in wanted.items():
        least, most = used[name].in_use, quota_limits.UNLIMITED
        if user_id is None:
            least = max(least, given.get(name, 0))
        elif whole[name] >= 0:
            most = whole[name] - given.get(name, 0)
        if _infinite(limit) < least:
            raise BadRequest(
                f"Quota limit {limit} for {NOVA_NAMES[name]} must be greater than or equal to already used "
                f"and reserved {least}."
            )
        if user_id is not None and whole[name] >= 0 and _infinite(limit) > most:
            raise BadRequest(
                f"Quota limit {limit} for {NOVA_NAMES[name]} must be less than or equal to {most}."
            )


def _in_resource(wanted: Mapping[str, int]) -> dict[str, Any]:
    """As `spec.quotas` says it."""
    own: dict[str, Any] = {
        api_name(name): limit for name, limit in wanted.items() if name in quota_limits.COUNTED
    }
    others = {name: limit for name, limit in wanted.items() if name in quota_limits.OTHERS}
    return own | ({"others": others} if others else {})


async def _patch(call: Call, project: ProjectRecord, changes: dict[str, Any] | None) -> None:
    """Write it to the Project resource, then take it in. Raises BadRequest when there is no such resource."""
    services = call.services
    try:
        body = await services.cluster.patch(Project, project.name, {"spec": {"quotas": changes}})
    except kubernetes.NotFound as error:
        raise BadRequest(f"Project ID {project.id} is not a valid project.") from error
    changed: Project = Project.from_api(body)
    metadata = changed.metadata
    await tenants.upsert_project(
        services.db, project.name, changed.spec, uid=metadata.uid, generation=metadata.generation
    )


HANDLER = Enforce.HANDLER
ROUTES: tuple[Route, ...] = (
    Route("GET", ONE, show, RULE + "show", enforce=HANDLER),
    Route("GET", ONE + "/detail", detail, RULE + "detail", enforce=HANDLER),
    Route("GET", ONE + "/defaults", defaults, RULE + "defaults", enforce=HANDLER),
    Route("PUT", ONE, update, RULE + "update", body=UpdateQuotaSet, enforce=HANDLER),
    Route("DELETE", ONE, delete, RULE + "delete", status=202, enforce=HANDLER),
)
