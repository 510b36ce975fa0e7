"""Server groups: instances that should be together, or apart.

A group is a ServerGroup resource in its project's namespace, with an id of its own from the API; what is made
with kubectl has its uid. Source of behaviour: Nova API, /os-server-groups.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cairn_crds import ServerGroup
from cairn_crds.base import Metadata
from cairn_crds.server_group import GroupPolicy, ServerGroupSpec
from cairn_database import QuotaExceeded, server_groups
from cairn_database.server_groups import OwnedServerGroup
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Forbidden, NotFound, OverQuota
from cairn_gateway.http.models import Integer, Name, RequestModel, Since, Until
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.naming import resource_name
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.paging import MAX_LIMIT, page_limit
from cairn_gateway.nova.queries import query_of, refuse_query
from cairn_gateway.reserving import reserve_and_create
from cairn_runtime import kubernetes

RULE = "os_compute_api:os-server-groups:"
ALL_PROJECTS = RULE + "index:all_projects"
ONE = "/os-server-groups/{server_group_id}"
ID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
HARD = (GroupPolicy.AFFINITY, GroupPolicy.ANTI_AFFINITY)


class Rules(RequestModel):
    """How strictly the policy is meant."""

    max_server_per_host: Annotated[Integer, Field(ge=1, le=0x7FFFFFFF)] | None = None


class NewServerGroup(RequestModel):
    """What a new group is to be."""

    name: Name
    policies: Annotated[
        list[Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]] | None,
        Field(min_length=1, max_length=1),
        Until(at.before(at.SERVER_GROUP_RULES)),
    ] = None
    policy: Annotated[GroupPolicy | None, Since(at.SERVER_GROUP_RULES)] = None
    rules: Annotated[Rules | None, Since(at.SERVER_GROUP_RULES)] = None

    @model_validator(mode="after")
    def _has_a_policy(self) -> NewServerGroup:
        if self.policy is None and not self.policies:
            raise ValueError("a policy is required")
        return self

    @property
    def chosen(self) -> GroupPolicy:
        """The one policy, however the version says it."""
        return self.policy or GroupPolicy(self.policies[0] if self.policies else "")


class CreateServerGroup(RequestModel):
    """POST /os-server-groups."""

    server_group: NewServerGroup


def _shown(call: Call, group: OwnedServerGroup) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group.id, "name": group.name}
    if call.version >= at.SERVER_GROUP_RULES:
        limit = group.max_per_host
        shown |= {
            "policy": group.policy.value,
            "rules": {} if limit is None else {"max_server_per_host": limit},
        }
    else:
        shown |= {"policies": [group.policy.value], "metadata": {}}
    shown["members"] = list(group.members)
    if call.version >= at.SERVER_GROUP_OWNER:
        shown |= {"project_id": group.project_id or "", "user_id": group.user_id or ""}
    return shown


async def index(call: Call) -> Answer:
    """The server groups of the caller's project, or of all projects"""
    query = query_of(call, ("all_projects", "limit", "offset"), since=at.UNKNOWN_PARAMETERS_REFUSED)
    namespace = call.caller.namespace
    if "all_projects" in query and call.is_admin:
        call.enforce(rule=ALL_PROJECTS)
        found = await server_groups.owned(call.services.db)
    else:
        found = [] if namespace is None else await server_groups.owned(call.services.db, namespace)
    offset = query.get("offset", "0")
    if not offset.isascii() or not offset.isdigit():
        raise BadRequest(f"Invalid input for query parameters offset. Value: {offset}.")
    limit = page_limit(query.get("limit")) if "limit" in query else MAX_LIMIT
    start = min(int(offset[:10]), len(found))
    return Answer({"server_groups": [_shown(call, group) for group in found[start : start + limit]]})


async def show(call: Call) -> Answer:
    """One server group"""
    refuse_query(call)
    return Answer({"server_group": _shown(call, await _group_of(call))})


async def _group_of(call: Call) -> OwnedServerGroup:
    group_id = call.params["server_group_id"]
    missing = NotFound(f"Instance group {group_id} could not be found.")
    if not ID.fullmatch(group_id):
        call.enforce()
        raise missing
    group = await server_groups.by_id(call.services.db, group_id)
    if group is None:
        call.enforce()
        raise missing
    call.enforce({"project_id": group.project_id, "user_id": group.user_id})
    return group


async def create(call: Call) -> Answer:
    """Make a server group"""
    asked: NewServerGroup = call.checked.server_group
    policy = asked.chosen
    if policy not in HARD and call.version < at.SERVER_GROUP_SOFT_POLICIES:
        raise BadRequest(
            f"Invalid input for field/attribute policies. Value: ['{policy}']. "
            f"'{policy}' is not one of ['anti-affinity', 'affinity']"
        )
    rules = asked.rules.model_dump(exclude_none=True) if asked.rules else {}
    if rules and policy is not GroupPolicy.ANTI_AFFINITY:
        raise BadRequest("Only anti-affinity policy supports rules.")
    spec = ServerGroupSpec(
        id=str(uuid.uuid4()),
        display_name=asked.name,
        user=call.caller.user_id,
        policy=policy,
        max_server_per_host=min(rules["max_server_per_host"], 10000) if rules else None,
    )
    return Answer({"server_group": _shown(call, await _make(call, asked.name, spec))})


async def _make(call: Call, name: str, spec: ServerGroupSpec) -> OwnedServerGroup:
    services, caller = call.services, call.caller
    namespace, project = caller.namespace, caller.project
    if namespace is None or project is None:
        raise Forbidden("This needs a token that is scoped to a project.")
    try:
        made: ServerGroup = await reserve_and_create(
            services.cluster,
            resource_name(name, "group"),
            reserve=lambda resource: server_groups.reserve(services.db, namespace, resource, spec, project),
            resource=lambda resource: ServerGroup(
                metadata=Metadata(name=resource, namespace=namespace), spec=spec
            ),
            release=lambda resource: server_groups.release(services.db, namespace, resource),
        )
    except QuotaExceeded as error:
        raise OverQuota("Quota exceeded, too many server groups.") from error
    metadata = made.metadata
    await server_groups.upsert_server_group(
        services.db, namespace, metadata.name, made.spec, group_id=metadata.uid, uid=metadata.uid
    )
    return OwnedServerGroup(
        str(spec.id),
        name,
        namespace,
        metadata.name,
        spec.policy,
        spec.max_server_per_host,
        caller.project_id,
        spec.user,
        (),
        metadata.creation_timestamp or datetime.now(UTC),
    )


async def delete(call: Call) -> Answer:
    """Delete a server group; its members live on"""
    services, group = call.services, await _group_of(call)
    try:
        found: ServerGroup = await services.cluster.get(ServerGroup, group.resource, group.namespace)
    except kubernetes.NotFound:
        uid = None
    else:
        uid = found.metadata.uid
        await services.cluster.delete(ServerGroup, group.resource, group.namespace)
    await server_groups.remove_server_group(services.db, group.namespace, group.resource, uid)
    if uid is None:
        raise NotFound(f"Instance group {group.id} could not be found.")
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-server-groups", index, RULE + "index"),
    Route("POST", "/os-server-groups", create, RULE + "create", body=CreateServerGroup),
    Route("GET", ONE, show, RULE + "show", enforce=Enforce.HANDLER),
    Route("DELETE", ONE, delete, RULE + "delete", status=204, enforce=Enforce.HANDLER),
)
