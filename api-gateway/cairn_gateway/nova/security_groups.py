"""The Compute API's security groups of old (up to 2.35), and those of a server.

Source of behaviour: Nova's `security_groups` and its `security_group_api`: rules for what comes in only.
"""

from __future__ import annotations

from typing import Any

from cairn_database import InstanceNotFound, InstanceRecord
from cairn_database.networking import groups, of_instance
from cairn_database.networking.errors import SecurityGroupNotFound
from cairn_database.networking.interfaces import interfaces_of
from cairn_database.networking.tables import security_groups as table
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import RequestModel, Text255, check
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network.groups import (
    GroupCreate,
    GroupUpdate,
    create_one,
    delete_one,
    ensure_default,
    group_of,
    groups_seen,
    update_one,
    views_of,
)
from cairn_gateway.network.owners import owner_for
from cairn_gateway.network.rules import RuleCreate, rule_of
from cairn_gateway.network.rules import create_one as create_rule_one
from cairn_gateway.network.rules import delete_one as delete_rule_one
from cairn_gateway.nova.network_faults import as_nova
from cairn_gateway.nova.network_proxies import UNTIL
from cairn_gateway.nova.paging import page_limit
from cairn_gateway.nova.servers.load import UUID, server_of, target_of

Json = dict[str, Any]
ANYWHERE = {"IPv4": "0.0.0.0/0", "IPv6": "::/0"}


class GroupBody(RequestModel):
    """Name and description."""

    name: Text255
    description: Text255


class Group(RequestModel):
    """`{"security_group": {…}}`."""

    security_group: GroupBody


class RuleBody(RequestModel):
    """A rule for what comes in."""

    parent_group_id: Any = None
    ip_protocol: Any = None
    from_port: Any = None
    to_port: Any = None
    cidr: Any = None
    group_id: Any = None


class Rule(RequestModel):
    """`{"security_group_rule": {…}}`."""

    security_group_rule: RuleBody


class GroupName(RequestModel):
    """A group, by name or id."""

    name: Text255


class AddGroup(RequestModel):
    """`{"addSecurityGroup": {"name": …}}`."""

    addSecurityGroup: GroupName  # noqa: N815 - the body's own name


class RemoveGroup(RequestModel):
    """`{"removeSecurityGroup": {"name": …}}`."""

    removeSecurityGroup: GroupName  # noqa: N815 - the body's own name


def _rule(rule: Json, names: dict[str, Json]) -> Json:
    low, high, protocol = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    if protocol is not None and low is None and high is None:
        low, high = (1, 65535) if protocol in ("tcp", "udp") else (-1, -1)
    remote = rule["remote_group_id"]
    return {
        "id": rule["id"],
        "parent_group_id": rule["security_group_id"],
        "ip_protocol": protocol,
        "from_port": low,
        "to_port": high,
        "group": names.get(remote, {}) if remote else {},
        "ip_range": {} if remote else {"cidr": rule["remote_ip_prefix"] or ANYWHERE[rule["ethertype"]]},
    }


async def _shown(call: Call, records: list[groups.GroupRecord]) -> list[Json]:
    views = await views_of(call, records)
    remote = {rule["remote_group_id"] for view in views for rule in view["security_group_rules"]} - {None}
    named = await groups.find(call.services.db, table.c.id.in_(remote)) if remote else []
    projects = {view["id"]: view["project_id"] for view in views}
    names = {
        item.id: {"name": item.display_name, "tenant_id": projects.get(item.id, call.caller.project_id)}
        for item in named
    }
    shown = [
        {
            "id": view["id"],
            "name": view["name"],
            "description": view["description"],
            "tenant_id": view["project_id"],
            "rules": [
                _rule(rule, names) for rule in view["security_group_rules"] if rule["direction"] == "ingress"
            ],
        }
        for view in views
    ]
    return sorted(shown, key=lambda item: (item["tenant_id"], item["name"]))


def _id(value: Any) -> str:
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise BadRequest("Security group id should be uuid")
    return value


async def index(call: Call) -> Answer:
    """The project's security groups; `all_tenants` shows an administrator everybody's."""
    await ensure_default(call, await owner_for(call, None))
    query = call.query_dict()
    everybody = "all_tenants" in query and call.is_admin
    mine = [] if everybody else [table.c.project == (call.caller.project or "")]
    shown = await _shown(call, await groups_seen(call, *mine))
    offset = query.get("offset", "0")
    if not offset.isascii() or not offset.isdigit():
        raise BadRequest("offset param must be an integer from 0 on")
    start = int(offset)
    return Answer({"security_groups": shown[start : start + page_limit(query.get("limit"))]})


async def _group(call: Call, key: Any) -> groups.GroupRecord:
    with as_nova():
        return await group_of(call, _id(key))


async def show(call: Call) -> Answer:
    """One security group."""
    record = await _group(call, call.params["security_group_id"])
    return Answer({"security_group": (await _shown(call, [record]))[0]})


async def create(call: Call) -> Answer:
    """Make a security group."""
    body: GroupBody = call.checked.security_group
    with as_nova():
        record = await create_one(call, GroupCreate(name=body.name, description=body.description))
    return Answer({"security_group": (await _shown(call, [record]))[0]})


async def update(call: Call) -> Answer:
    """Change a security group's name and description."""
    record = await _group(call, call.params["security_group_id"])
    body: GroupBody = call.checked.security_group
    with as_nova():
        after = await update_one(call, record, GroupUpdate(name=body.name, description=body.description))
    return Answer({"security_group": (await _shown(call, [after]))[0]})


async def delete(call: Call) -> Answer:
    """Delete a security group."""
    record = await _group(call, call.params["security_group_id"])
    with as_nova():
        await delete_one(call, record)
    return Answer()


# --- rules -----------------------------------------------------------------------------------------------


def _port(value: Any, protocol: str) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError) as error:
        what = "Type and Code must be integers for ICMP protocol type"
        raise BadRequest(
            f"Invalid input received: {what if protocol == 'icmp' else 'To and From ports must be integers'}"
        ) from error
    return number


def _wanted(body: RuleBody, group: groups.GroupRecord) -> Json:
    """The rule as the Network API takes it. Raises BadRequest."""
    protocol = str(body.ip_protocol or "").lower()
    low, high = _port(body.from_port, protocol), _port(body.to_port, protocol)
    if body.group_id is not None and low is None and high is None:
        low, high = {"icmp": (-1, -1), "tcp": (1, 65535), "udp": (1, 65535)}.get(protocol, (None, None))
    complete = protocol and low is not None and high is not None
    if body.group_id is None and not complete:
        raise BadRequest("Not enough parameters to build a valid rule.")
    wanted: Json = {"security_group_id": group.id, "direction": "ingress"}
    if complete:
        if protocol not in ("tcp", "udp", "icmp"):
            raise BadRequest(f"Invalid IP protocol {body.ip_protocol}.")
        wanted["protocol"] = protocol
        if protocol != "icmp" or low != -1:
            wanted |= {"port_range_min": low, "port_range_max": None if high == -1 else high}
    if body.group_id is not None:
        return {**wanted, "remote_group_id": _id(body.group_id)}
    cidr = body.cidr or "0.0.0.0/0"
    if not isinstance(cidr, str):
        raise BadRequest(f"Invalid cidr {cidr}.")
    return {**wanted, "remote_ip_prefix": cidr, "ethertype": "IPv6" if ":" in cidr else "IPv4"}


async def create_rule(call: Call) -> Answer:
    """Add a rule to a security group."""
    body: RuleBody = call.checked.security_group_rule
    group = await _group(call, body.parent_group_id)
    item = check(RuleCreate, _wanted(body, group))
    with as_nova():
        made = await create_rule_one(call, item)
    shown = (await _shown(call, [group]))[0]["rules"]
    return Answer({"security_group_rule": next(rule for rule in shown if rule["id"] == made.id)})


async def delete_rule(call: Call) -> Answer:
    """Take a rule out of its security group."""
    with as_nova():
        rule = await rule_of(call, _id(call.params["rule_id"]))
        await delete_rule_one(call, rule)
    return Answer()


# --- of a server -----------------------------------------------------------------------------------------


async def of_server(call: Call) -> Answer:
    """The security groups that a server's interfaces are in."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    found = (await interfaces_of(call.services.db, [record.id])).get(record.id, [])
    ids = {group.id for interface in found for group in interface.security_groups}
    records = await groups.find(call.services.db, table.c.id.in_(ids)) if ids else []
    return Answer({"security_groups": await _shown(call, records)})


async def _named(call: Call, project: str, namespace: str, name: str) -> groups.GroupRecord:
    try:
        return (await groups.resolve(call.services.db, project, namespace, [name]))[0]
    except SecurityGroupNotFound as error:
        raise NotFound(str(error)) from error
    except groups.AmbiguousName as error:
        raise Conflict(str(error)) from error


async def add_to_server(call: Call) -> Answer:
    """Put a server's interfaces into a security group."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    name = call.checked.addSecurityGroup.name
    group = await _named(call, record.project, record.namespace, name)
    if not record.interfaces:
        raise BadRequest(
            "Network requires port_security_enabled and subnet associated in order to apply security groups."
        )
    try:
        after = await of_instance.add_group(call.services.db, record.id, group.id, group.name)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    await _tell(call, record, after)
    return Answer()


async def remove_from_server(call: Call) -> Answer:
    """Take a server's interfaces out of a security group."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    name = call.checked.removeSecurityGroup.name
    group = await _named(call, record.project, record.namespace, name)
    try:
        after, was_in = await of_instance.remove_group(call.services.db, record.id, group.id, group.name)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    await _tell(call, record, after)
    if not was_in:
        raise NotFound(f"Security group {group.id} not associated with the instance {record.id}")
    return Answer()


async def _tell(call: Call, before: InstanceRecord, after: InstanceRecord) -> None:
    """The resource's spec is to follow the row."""
    if after.version != before.version:
        await call.services.cluster.hint(after.namespace, after.name, call.request_id)


def _old(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    return Route(method, path, handler, f"os_compute_api:os-security-groups:{rule}", until=UNTIL, **options)


def _act(key: str, handler: Any, rule: str, body: type[RequestModel]) -> Route:
    return Route(
        "POST",
        "/servers/{server_id}/action",
        handler,
        f"os_compute_api:os-security-groups:{rule}",
        status=202,
        action=key,
        body=body,
        enforce=Enforce.HANDLER,
    )


ROUTES: tuple[Route, ...] = (
    _old("GET", "/os-security-groups", index, "get"),
    _old("POST", "/os-security-groups", create, "create", body=Group),
    _old("GET", "/os-security-groups/{security_group_id}", show, "show"),
    _old("PUT", "/os-security-groups/{security_group_id}", update, "update", body=Group),
    _old("DELETE", "/os-security-groups/{security_group_id}", delete, "delete", status=202),
    _old("POST", "/os-security-group-rules", create_rule, "rule:create", body=Rule),
    _old("DELETE", "/os-security-group-rules/{rule_id}", delete_rule, "rule:delete", status=202),
    Route(
        "GET",
        "/servers/{server_id}/os-security-groups",
        of_server,
        "os_compute_api:os-security-groups:list",
        enforce=Enforce.HANDLER,
    ),
    _act("addSecurityGroup", add_to_server, "add", AddGroup),
    _act("removeSecurityGroup", remove_from_server, "remove", RemoveGroup),
)
