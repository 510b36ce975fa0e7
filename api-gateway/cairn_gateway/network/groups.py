"""/v2.0/security-groups. The SecurityGroup resource says what the rules are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import sqlalchemy as sa
import structlog

from cairn_crds import Metadata, SecurityGroup, SecurityGroupSpec
from cairn_crds.security_group import Direction, EtherType, SecurityGroupRule
from cairn_database.networking import groups, limits
from cairn_database.networking.groups import GroupKey, GroupRecord, RuleRecord
from cairn_database.networking.owners import Owner
from cairn_database.networking.tables import security_group_rules, security_groups
from cairn_database.rows import now
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.models import Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.naming import slug, with_suffix
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Flag, Ignored, Name, Owned
from cairn_gateway.network.faults import Bad, Clash, missing, translated
from cairn_gateway.network.networks import moment
from cairn_gateway.network.owners import Owners, enforce, names_for, owner_for
from cairn_runtime.kubernetes import AlreadyExists, ApiServerUnavailable, Conflict, KubernetesError
from cairn_runtime.kubernetes import NotFound as ResourceNotFound

Json = dict[str, Any]
log = structlog.get_logger()
ATTEMPTS = 5
EGRESS = [SecurityGroupRule(direction=Direction.EGRESS, ether_type=ether_type) for ether_type in EtherType]
"""What a new group lets through."""


class GroupCreate(Owned):
    """A new security group."""

    name: Name = ""
    description: Text255 | None = None
    stateful: Flag = True


class GroupUpdate(bodies.Attributes):
    """What may change."""

    unsupported: ClassVar[tuple[str, ...]] = ()

    name: Name | None = None
    description: Text255 | None = None
    stateful: Ignored = None


def view(record: GroupRecord, rules: list[RuleRecord], owners: Owners) -> Json:
    """As Neutron shows it."""
    project_id = owners.id_of(record.project)
    return {
        "id": record.id,
        "name": record.display_name,
        "tenant_id": project_id,
        "project_id": project_id,
        "description": record.spec.description or "",
        "stateful": True,
        "shared": False,
        "security_group_rules": [rule_view(rule, owners) for rule in rules],
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "revision_number": record.revision,
        "tags": [],
    }


def rule_view(rule: RuleRecord, owners: Owners) -> Json:
    """As Neutron shows it."""
    project_id = owners.id_of(rule.project)
    return {
        "id": rule.id,
        "tenant_id": project_id,
        "project_id": project_id,
        "security_group_id": rule.group_id,
        "ethertype": rule.ethertype,
        "direction": rule.direction,
        "protocol": rule.protocol,
        "port_range_min": rule.port_min,
        "port_range_max": rule.port_max,
        "remote_ip_prefix": rule.remote_prefix,
        "remote_address_group_id": None,
        "normalized_cidr": rule.remote_prefix,
        "remote_group_id": rule.remote_group_id,
        "description": rule.description or "",
        "belongs_to_default_sg": None,
        "created_at": moment(rule.created_at),
        "updated_at": moment(rule.created_at),
        "revision_number": 0,
        "tags": [],
    }


async def ensure_default(call: Call, owner: Owner) -> GroupRecord:
    """The project's group `default`; its resource is made too, now or by the conductor."""
    group, lacks_resource = await groups.ensure_default(call.services.db, owner.name, owner.namespace)
    if lacks_resource:
        try:
            await _make_resource(call, group)
        except (KubernetesError, ApiServerUnavailable) as error:
            log.warning("security_group.resource_not_made", namespace=owner.namespace, error=str(error))
    return group


async def _make_resource(call: Call, group: GroupRecord) -> None:
    """The resource of a row that has none. Raises AlreadyExists and what else the API server says."""
    spec = group.spec.model_copy(update={"id": group.id})
    resource = SecurityGroup(metadata=Metadata(name=group.name, namespace=group.namespace), spec=spec)
    try:
        body = await call.services.cluster.create(resource)
    except AlreadyExists:
        if group.name != groups.DEFAULT:
            raise
        found = await call.services.cluster.get(SecurityGroup, group.name, group.namespace)
        await _take_in(call, group.project, found)
        return
    await _take_in(call, group.project, SecurityGroup.from_api(body))


async def _take_in(call: Call, project: str, resource: SecurityGroup) -> None:
    metadata = resource.metadata
    key = GroupKey(project, metadata.namespace or "", metadata.name)
    source = groups.Source(metadata.uid, metadata.generation)
    await groups.upsert(call.services.db, key, resource.spec, source)


async def groups_seen(call: Call, *conditions: sa.ColumnElement[bool]) -> list[GroupRecord]:
    """The groups of the caller's project; everybody's for an administrator."""
    mine = [] if call.is_admin else [security_groups.c.project == (call.caller.project or "")]
    return await groups.find(call.services.db, *mine, *conditions)


async def views_of(call: Call, records: list[GroupRecord]) -> list[Json]:
    """With their rules, those that the caller may see."""
    owners = await Owners.of(call, (record.project for record in records))
    by_group: dict[str, list[RuleRecord]] = {}
    ids = [record.id for record in records]
    for start in range(0, len(ids), 500):
        chunk = security_group_rules.c.group_id.in_(ids[start : start + 500])
        for rule in await groups.list_rules(call.services.db, chunk):
            by_group.setdefault(rule.group_id, []).append(rule)
    return [
        view(record, by_group.get(record.id, []), owners)
        for record in records
        if call.allows("get_security_group", _target(record, owners))
    ]


def _target(record: GroupRecord, owners: Owners) -> dict[str, str | None]:
    project_id = owners.id_of(record.project)
    return {"project_id": project_id, "tenant_id": project_id, "shared": "False"}


async def group_of(call: Call, group_id: str) -> GroupRecord:
    """The group, if the caller may see it. Raises Missing."""
    found = await groups_seen(call, security_groups.c.id == group_id)
    if not found:
        raise missing("SecurityGroup", group_id)
    return found[0]


async def index(call: Call) -> Answer:
    """The security groups of the caller's project."""
    call.allows("get_security_group")
    chosen = listing.filters(call)
    if call.caller.project is not None and call.caller.namespace is not None:
        await ensure_default(call, await owner_for(call, None))
    conditions: list[sa.ColumnElement[bool]] = []
    if "id" in chosen:
        conditions.append(security_groups.c.id.in_(chosen["id"]))
    if "project_id" in chosen:
        conditions.append(security_groups.c.project.in_(await names_for(call, chosen["project_id"])))
    if "name" in chosen:
        conditions.append(security_groups.c.display_name.in_(chosen["name"]))
    views = await views_of(call, await groups_seen(call, *conditions))
    return listing.page(call, "security-groups", views, chosen)


async def show(call: Call) -> Answer:
    """One security group."""
    record = await group_of(call, call.params["id"])
    views = await views_of(call, [record])
    if not views:
        raise missing("SecurityGroup", record.id)
    return Answer({"security_group": listing.only_fields(call, views[0])})


async def create(call: Call) -> Answer:
    """Make security groups."""
    wanted, several = bodies.wanted(call, "security_group")
    made = [await create_one(call, item) for item in wanted]
    views = await views_of(call, made)
    return Answer({"security_groups": views} if several else {"security_group": views[0]}, 201)


async def create_one(call: Call, item: GroupCreate) -> GroupRecord:
    """A new group: the row takes the quota, then its resource is made. Raises Bad, Clash, Denied."""
    owner = await owner_for(call, item.wanted_project)
    call.enforce({"project_id": owner.id, "tenant_id": owner.id}, "create_security_group")
    if item.name == groups.DEFAULT:
        message = "Default security group already exists."
        raise Clash("SecurityGroupDefaultAlreadyExists", message)
    if not item.stateful:
        raise Bad("BadRequest", "Cairn cannot make stateless security groups yet. Nothing was changed.")
    await ensure_default(call, owner)
    await call.services.cluster.require()
    spec = SecurityGroupSpec(
        display_name=item.name or None, description=item.description or None, rules=EGRESS
    )
    base = slug(item.name, "group")
    for name in (base if base != groups.DEFAULT else with_suffix(base), *_names(base)):
        key = GroupKey(owner.name, owner.namespace, name)
        with translated():
            group = await _add_row(call, key, spec)
        if group is None:
            continue
        try:
            with translated():
                await _make_resource(call, group)
        except AlreadyExists:
            await groups.remove(call.services.db, key.namespace, key.name)
            continue
        except Bad:
            await groups.remove(call.services.db, key.namespace, key.name)
            raise
        return (await groups.get(call.services.db, group.id)) or group
    raise Clash("SecurityGroupNameTaken", f"No resource name for '{item.name}' is free. Try again.")


def _names(base: str) -> list[str]:
    return [with_suffix(base) for _ in range(ATTEMPTS)]


async def _add_row(call: Call, key: GroupKey, spec: SecurityGroupSpec) -> GroupRecord | None:
    """The row, unless a group has that resource name. Raises NetworkQuotaExceeded."""
    at = (security_groups.c.namespace == key.namespace) & (security_groups.c.name == key.name)

    def transaction(conn: sa.Connection) -> bool:
        limits.check_quota(conn, key.project, "security_group", 1)
        if conn.execute(sa.select(security_groups.c.id).where(at)).first() is not None:
            return False
        groups.write(conn, key, spec, None, now())
        return True

    if not await call.services.db.run(transaction):
        return None
    return await groups.at(call.services.db, key.namespace, key.name)


async def edit(
    call: Call, record: GroupRecord, change: Callable[[SecurityGroupSpec], Awaitable[SecurityGroupSpec]]
) -> GroupRecord:
    """Change the resource as it is now, and take it in; somebody else's change in between is kept.

    Raises Missing, Clash, and what `change` raises.
    """
    cluster = call.services.cluster
    if record.resource_uid is None:
        await _make_resource(call, record)
    for _ in range(ATTEMPTS):
        try:
            found: SecurityGroup = await cluster.get(SecurityGroup, record.name, record.namespace)
            wanted = (await change(found.spec)).to_api()
            gone = {name: None for name in found.spec.to_api() if name not in wanted}
            version = found.metadata.resource_version
            patch = {"metadata": {"resourceVersion": version}, "spec": {**wanted, **gone}}
            with translated():
                body = await cluster.patch(SecurityGroup, record.name, patch, record.namespace)
        except Conflict:
            continue
        except ResourceNotFound as error:
            raise missing("SecurityGroup", record.id) from error
        with translated():
            await _take_in(call, record.project, SecurityGroup.from_api(body))
        after = await groups.get(call.services.db, record.id)
        if after is None:
            raise missing("SecurityGroup", record.id)
        return after
    raise Clash("SecurityGroupConflict", f"Security group {record.id} is being changed by others. Try again.")


async def update(call: Call) -> Answer:
    """Change a group's name or description."""
    record = await group_of(call, call.params["id"])
    owners = await Owners.of(call, [record.project])
    enforce(call, "security_group", "SecurityGroup", "update", _target(record, owners))
    after = await update_one(call, record, bodies.changes(call, "security_group"))
    return Answer({"security_group": (await views_of(call, [after]))[0]})


async def update_one(call: Call, record: GroupRecord, item: GroupUpdate) -> GroupRecord:
    """Raises Clash for the default group's name."""
    if record.name == groups.DEFAULT and item.name not in (None, record.display_name):
        message = "Updating default security group not allowed."
        raise Clash("SecurityGroupCannotUpdateDefault", message)

    async def change(spec: SecurityGroupSpec) -> SecurityGroupSpec:
        new: Json = {}
        if item.given("name"):
            new["display_name"] = item.name or None
        if item.given("description"):
            new["description"] = item.description or None
        return spec.model_copy(update=new)

    return await edit(call, record, change)


async def delete(call: Call) -> Answer:
    """Delete a group that nothing uses."""
    record = await group_of(call, call.params["id"])
    owners = await Owners.of(call, [record.project])
    enforce(call, "security_group", "SecurityGroup", "delete", _target(record, owners))
    await delete_one(call, record)
    return Answer()


async def delete_one(call: Call, record: GroupRecord) -> None:
    """Raises Clash while ports are in it, and, unless the caller is an administrator, for the default group
    (Neutron: SecurityGroupCannotRemoveDefault)."""
    if record.name == groups.DEFAULT and not call.is_admin:
        message = "Insufficient rights for removing default security group."
        raise Clash("SecurityGroupCannotRemoveDefault", message)
    with translated():
        await groups.refuse_use(call.services.db, record.id)
    await _delete_rules_naming(call, record)
    await call.services.cluster.delete(SecurityGroup, record.name, record.namespace)
    await groups.remove(call.services.db, record.namespace, record.name)


async def _delete_rules_naming(call: Call, record: GroupRecord) -> None:
    """The rules of other groups that let in its members go with it, as in Neutron."""
    rules = security_group_rules.c
    naming = await groups.list_rules(
        call.services.db, rules.remote_group_id == record.id, rules.group_id != record.id
    )
    gone = {rule.id for rule in naming}
    owners = {rule.group_id for rule in naming}
    for other in await groups.find(call.services.db, security_groups.c.id.in_(owners)):
        await edit(call, other, _without(other, gone))


def _without(
    group: GroupRecord, gone: set[str]
) -> Callable[[SecurityGroupSpec], Awaitable[SecurityGroupSpec]]:
    async def change(spec: SecurityGroupSpec) -> SecurityGroupSpec:
        rest = [rule for rule in spec.rules if groups.rule_id(group.id, rule) not in gone]
        return spec.model_copy(update={"rules": rest})

    return change


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/security-groups", index, "get_security_group", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/security-groups",
        create,
        "create_security_group",
        status=201,
        body=bodies.one_or_many("security_group", GroupCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/security-groups/{id}", show, "get_security_group", enforce=Enforce.HANDLER),
    Route(
        "PUT",
        "/v2.0/security-groups/{id}",
        update,
        "update_security_group",
        body=bodies.one("security_group", GroupUpdate),
        enforce=Enforce.HANDLER,
    ),
    Route(
        "DELETE",
        "/v2.0/security-groups/{id}",
        delete,
        "delete_security_group",
        status=204,
        enforce=Enforce.HANDLER,
    ),
)
