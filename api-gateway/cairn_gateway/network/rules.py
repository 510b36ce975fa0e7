"""/v2.0/security-group-rules: what the groups' specs say, one by one."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Annotated, Any, ClassVar, Literal

import sqlalchemy as sa
from pydantic import Field

from cairn_crds import SecurityGroupSpec
from cairn_crds.security_group import Direction, EtherType, SecurityGroupRule
from cairn_database.networking import groups
from cairn_database.networking.errors import RuleExists
from cairn_database.networking.groups import GroupRecord, RuleRecord
from cairn_database.networking.reservations import reserved
from cairn_database.networking.tables import security_group_rules, security_groups
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.models import Integer, Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.network import bodies, listing
from cairn_gateway.network.bodies import Id, Ignored, Owned
from cairn_gateway.network.faults import Bad, missing, translated
from cairn_gateway.network.groups import edit, ensure_default, group_of, groups_seen, rule_view
from cairn_gateway.network.owners import Owners, enforce, names_for, owner_for

Json = dict[str, Any]
ANY = ("any", "")
NUMBERS = {
    "icmp": 1,
    "tcp": 6,
    "udp": 17,
    "ipv6-icmp": 58,
    "icmpv6": 58,
    "sctp": 132,
    "dccp": 33,
    "udplite": 136,
}
OTHERS = frozenset(
    [
        "ah",
        "egp",
        "esp",
        "gre",
        "igmp",
        "ipip",
        "ipv6-encap",
        "ipv6-frag",
        "ipv6-nonxt",
        "ipv6-opts",
        "ipv6-route",
        "ospf",
        "pgm",
        "rsvp",
        "vrrp",
    ]
)
WITH_PORTS = frozenset(("tcp", "udp", "sctp", "dccp", "udplite"))
ICMP = frozenset(("icmp", "ipv6-icmp", "icmpv6"))
NAMES = {str(number): name for name, number in NUMBERS.items() if name != "icmpv6"}


class RuleCreate(Owned):
    """A new rule."""

    unsupported: ClassVar[tuple[str, ...]] = ("remote_address_group_id",)

    security_group_id: Id
    direction: Literal["ingress", "egress"]
    ethertype: Annotated[str, Field(max_length=8)] | None = None
    protocol: Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, le=255)] | None = None
    port_range_min: Integer | None = None
    port_range_max: Integer | None = None
    remote_ip_prefix: Annotated[str, Field(max_length=49)] | None = None
    remote_group_id: Id | None = None
    remote_address_group_id: Ignored = None
    description: Text255 | None = None


def rule_for(item: RuleCreate, remote_group: str | None) -> SecurityGroupRule:
    """The rule as a spec has it; `remote_group`: the resource's name. Raises Bad."""
    ether_type = _ether_type(item.ethertype)
    protocol = _protocol(item.protocol)
    _check_ports(protocol, item.port_range_min, item.port_range_max)
    if item.remote_group_id and item.remote_ip_prefix:
        message = "Only remote_ip_prefix or remote_group_id may be provided."
        raise Bad("SecurityGroupMultipleRemoteEntites", message)
    prefix = _prefix(item.remote_ip_prefix, ether_type)
    return SecurityGroupRule(
        direction=Direction(item.direction),
        ether_type=ether_type,
        protocol=protocol,
        port_min=item.port_range_min,
        port_max=item.port_range_max,
        remote_prefix=prefix,
        remote_group=remote_group,
        description=item.description or None,
    )


def _ether_type(text: str | None) -> EtherType:
    for ether_type in EtherType:
        if (text or "IPv4").lower() == ether_type.value.lower():
            return ether_type
    message = f"Security group rule for ethertype '{text}' not supported. Allowed values are IPv4, IPv6."
    raise Bad("SecurityGroupRuleInvalidEtherType", message)


def _protocol(value: str | int | None) -> str | None:
    if value is None or (isinstance(value, str) and value.lower() in ANY):
        return None
    word = str(value).lower()
    word = NAMES.get(word, word)
    if word in NUMBERS or word in OTHERS or (word.isascii() and word.isdigit() and int(word) <= 255):
        return word
    raise Bad(
        "SecurityGroupRuleInvalidProtocol",
        f"Security group rule protocol {value} not supported. Only protocol values "
        f"{', '.join(sorted(NUMBERS))} and integer representations [0 to 255] are supported.",
    )


def _check_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    if low is None and high is None:
        return
    if protocol is None:
        message = "Must also specify protocol if port range is given."
        raise Bad("SecurityGroupProtocolRequiredWithPorts", message)
    if protocol in ICMP:
        for field, value in (("port_range_min", low), ("port_range_max", high)):
            if value is not None and not 0 <= value <= 255:
                message = f"Invalid value for ICMP {field} {value}. It must be 0 to 255."
                raise Bad("SecurityGroupInvalidIcmpValue", message)
        if low is None:
            message = (
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing."
            )
            raise Bad("SecurityGroupMissingIcmpType", message)
        return
    if protocol not in WITH_PORTS:
        message = f"Port range cannot be specified for protocol {protocol}."
        raise Bad("SecurityGroupInvalidProtocolForPort", message)
    if low is None or high is None or not 1 <= low <= high <= 65535:
        message = "For TCP/UDP protocols, port_range_min must be <= port_range_max, both 1 to 65535."
        raise Bad("SecurityGroupInvalidPortRange", message)


def _prefix(text: str | None, ether_type: EtherType) -> str | None:
    """With its length. Bits of a host in it stay, as in Neutron: clients compare with what they sent."""
    if not text:
        return None
    try:
        network = ip_interface(text)
    except ValueError as error:
        raise Bad("InvalidCIDR", f"Invalid CIDR {text} given as IP prefix.") from error
    if f"IPv{network.version}" != ether_type.value:
        message = f"Conflicting value ethertype {ether_type} for CIDR {text}"
        raise Bad("SecurityGroupRuleParameterConflict", message)
    return network.with_prefixlen


async def create(call: Call) -> Answer:
    """Add rules to security groups."""
    wanted, several = bodies.wanted(call, "security_group_rule")
    rules = [await create_one(call, item) for item in wanted]
    owners = await Owners.of(call, (rule.project for rule in rules))
    views = [rule_view(rule, owners) for rule in rules]
    return Answer({"security_group_rules": views} if several else {"security_group_rule": views[0]}, 201)


async def create_one(call: Call, item: RuleCreate) -> RuleRecord:
    """Raises Bad, Missing, Clash (the rule is there already, or the quota is used up)."""
    group = await group_of(call, item.security_group_id)
    owners = await Owners.of(call, [group.project])
    project_id = owners.id_of(group.project)
    call.enforce({"project_id": project_id, "tenant_id": project_id}, "create_security_group_rule")
    rule = rule_for(item, await _remote_name(call, group, item.remote_group_id))
    key = groups.rule_id(group.id, rule)

    async def change(spec: SecurityGroupSpec) -> SecurityGroupSpec:
        if any(groups.rule_id(group.id, other) == key for other in spec.rules):
            raise RuleExists(key)
        return spec.model_copy(update={"rules": [*spec.rules, rule]})

    with translated():
        async with reserved(call.services.db, group.project, "security_group_rule", key):
            await edit(call, group, change)
    found = await groups.list_rules(call.services.db, security_group_rules.c.id == key)
    if not found:
        raise missing("SecurityGroupRule", key)
    return found[0]


async def _remote_name(call: Call, group: GroupRecord, remote_id: str | None) -> str | None:
    if remote_id is None:
        return None
    remote = await groups.get(call.services.db, remote_id)
    if remote is None or remote.namespace != group.namespace:
        raise missing("SecurityGroup", remote_id)
    return remote.name


async def rules_seen(call: Call, *conditions: sa.ColumnElement[bool]) -> list[RuleRecord]:
    """The rules of the caller's project; everybody's for an administrator."""
    mine = [] if call.is_admin else [security_groups.c.project == (call.caller.project or "")]
    return await groups.list_rules(call.services.db, *mine, *conditions)


async def rule_of(call: Call, rule_id: str) -> RuleRecord:
    """The rule, if the caller may see it. Raises Missing."""
    found = await rules_seen(call, security_group_rules.c.id == rule_id)
    if not found:
        raise missing("SecurityGroupRule", rule_id)
    return found[0]


def _target(rule: RuleRecord, owners: Owners) -> dict[str, str | None]:
    project_id = owners.id_of(rule.project)
    return {"project_id": project_id, "tenant_id": project_id}


async def index(call: Call) -> Answer:
    """The rules of the caller's project."""
    call.allows("get_security_group_rule")
    chosen = listing.filters(call)
    if call.caller.project is not None and call.caller.namespace is not None:
        await ensure_default(call, await owner_for(call, None))
    conditions: list[sa.ColumnElement[bool]] = []
    if "security_group_id" in chosen:
        conditions.append(security_group_rules.c.group_id.in_(chosen["security_group_id"]))
    if "id" in chosen:
        conditions.append(security_group_rules.c.id.in_(chosen["id"]))
    if "project_id" in chosen:
        conditions.append(security_groups.c.project.in_(await names_for(call, chosen["project_id"])))
    rules = await rules_seen(call, *conditions)
    owners = await Owners.of(call, (rule.project for rule in rules))
    views = [
        rule_view(rule, owners)
        for rule in rules
        if call.allows("get_security_group_rule", _target(rule, owners))
    ]
    return listing.page(call, "security-group-rules", views, chosen)


async def show(call: Call) -> Answer:
    """One rule."""
    rule = await rule_of(call, call.params["id"])
    owners = await Owners.of(call, [rule.project])
    enforce(call, "security_group_rule", "SecurityGroupRule", "get", _target(rule, owners))
    return Answer({"security_group_rule": listing.only_fields(call, rule_view(rule, owners))})


async def delete(call: Call) -> Answer:
    """Take a rule out of its group."""
    rule = await rule_of(call, call.params["id"])
    owners = await Owners.of(call, [rule.project])
    enforce(call, "security_group_rule", "SecurityGroupRule", "delete", _target(rule, owners))
    await delete_one(call, rule)
    return Answer()


async def delete_one(call: Call, rule: RuleRecord) -> None:
    """Raises Missing."""
    found = await groups_seen(call, security_groups.c.id == rule.group_id)
    if not found:
        raise missing("SecurityGroupRule", rule.id)
    group = found[0]

    async def change(spec: SecurityGroupSpec) -> SecurityGroupSpec:
        rest = [other for other in spec.rules if groups.rule_id(group.id, other) != rule.id]
        if len(rest) == len(spec.rules):
            raise missing("SecurityGroupRule", rule.id)
        return spec.model_copy(update={"rules": rest})

    await edit(call, group, change)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v2.0/security-group-rules", index, "get_security_group_rule", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2.0/security-group-rules",
        create,
        "create_security_group_rule",
        status=201,
        body=bodies.one_or_many("security_group_rule", RuleCreate),
        enforce=Enforce.HANDLER,
    ),
    Route("GET", "/v2.0/security-group-rules/{id}", show, "get_security_group_rule", enforce=Enforce.HANDLER),
    Route(
        "DELETE",
        "/v2.0/security-group-rules/{id}",
        delete,
        "delete_security_group_rule",
        status=204,
        enforce=Enforce.HANDLER,
    ),
)
