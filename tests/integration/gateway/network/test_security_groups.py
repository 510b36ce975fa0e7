"""Security groups and rules: one truth in the resource, and Neutron's refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cairn_crds import SecurityGroup
from cairn_database.networking import groups
from integration.gateway.network.conftest import City, Person


async def _group(me: Person, name: str = "web") -> dict[str, Any]:
    return dict((await me.post("/security-groups", {"security_group": {"name": name}}))["security_group"])


async def _rule(me: Person, group: dict[str, Any], status: int = 201, **rule: Any) -> dict[str, Any]:
    body = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress", **rule}}
    return await me.post("/security-group-rules", body, status)


async def test_a_project_has_a_default_group(city: City, me: Person) -> None:
    [default] = (await me.get("/security-groups"))["security_groups"]
    assert (default["name"], default["description"]) == ("default", "Default security group")
    rules = default["security_group_rules"]
    assert sorted((rule["direction"], rule["ethertype"], rule["remote_group_id"]) for rule in rules) == [
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    ]
    resource = await city.services.cluster.get(SecurityGroup, "default", city.project)
    assert resource.spec.id == default["id"]
    error = await me.delete(f"/security-groups/{default['id']}", 409)
    assert error["NeutronError"]["type"] == "SecurityGroupCannotRemoveDefault"
    await me.put(f"/security-groups/{default['id']}", {"security_group": {"name": "x"}}, 409)
    await me.post("/security-groups", {"security_group": {"name": "default"}}, 409)


async def test_a_group_is_a_resource(city: City, me: Person) -> None:
    group = await _group(me, "Web Servers")
    assert [rule["direction"] for rule in group["security_group_rules"]] == ["egress", "egress"]
    resource = await city.services.cluster.get(SecurityGroup, "web-servers", city.project)
    assert (resource.spec.display_name, resource.spec.id) == ("Web Servers", group["id"])
    twin = await _group(me, "Web Servers")
    assert twin["id"] != group["id"]
    body = {"security_group": {"name": "API", "description": "of the API"}}
    changed = (await me.put(f"/security-groups/{group['id']}", body))["security_group"]
    assert (changed["name"], changed["description"]) == ("API", "of the API")
    await me.delete(f"/security-groups/{group['id']}")
    await me.get(f"/security-groups/{group['id']}", 404)
    assert await groups.at(city.services.db, city.project, "web-servers") is None


async def test_rules_are_in_the_resource(city: City, me: Person) -> None:
    group = await _group(me)
    wish = {"protocol": "tcp", "port_range_min": 80, "port_range_max": 443, "remote_ip_prefix": "0.0.0.0/0"}
    rule = (await _rule(me, group, **wish, description="http"))["security_group_rule"]
    assert {name: rule[name] for name in wish} == wish
    assert (rule["ethertype"], rule["description"]) == ("IPv4", "http")
    resource = await city.services.cluster.get(SecurityGroup, "web", city.project)
    assert [item.port_min for item in resource.spec.rules] == [None, None, 80]
    error = await _rule(me, group, 409, **wish)
    assert error["NeutronError"]["type"] == "SecurityGroupRuleExists"
    assert rule["id"] in error["NeutronError"]["message"]
    error = await _rule(me, group, 409, **{**wish, "protocol": "6"})
    listed = await me.get("/security-group-rules", security_group_id=group["id"], direction="ingress")
    assert listed["security_group_rules"] == [rule]
    assert (await me.get(f"/security-group-rules/{rule['id']}"))["security_group_rule"] == rule
    await me.delete(f"/security-group-rules/{rule['id']}")
    await me.get(f"/security-group-rules/{rule['id']}", 404)
    resource = await city.services.cluster.get(SecurityGroup, "web", city.project)
    assert len(resource.spec.rules) == 2
    await me.delete(f"/security-group-rules/{rule['id']}", 404)


async def test_a_rule_may_name_another_group(me: Person, stranger: Person) -> None:
    group, front = await _group(me), await _group(me, "front")
    rule = (await _rule(me, group, remote_group_id=front["id"]))["security_group_rule"]
    assert rule["remote_group_id"] == front["id"]
    theirs = await _group(stranger)
    await _rule(me, group, 404, remote_group_id=theirs["id"])
    await _rule(stranger, group, 404)
    await stranger.delete(f"/security-group-rules/{rule['id']}", 404)
    await me.delete(f"/security-groups/{front['id']}")
    await me.get(f"/security-group-rules/{rule['id']}", 404)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"protocol": "nonsense"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": 256}, "HTTPBadRequest"),
        ({"port_range_min": 1, "port_range_max": 2}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 9, "port_range_max": 2}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 9}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "icmp", "port_range_min": 300}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmp", "port_range_max": 3}, "SecurityGroupMissingIcmpType"),
        (
            {"protocol": "gre", "port_range_min": 1, "port_range_max": 2},
            "SecurityGroupInvalidProtocolForPort",
        ),
        ({"remote_ip_prefix": "10.0.0.0/99"}, "InvalidCIDR"),
        ({"remote_ip_prefix": "fe80::/64"}, "SecurityGroupRuleParameterConflict"),
        ({"ethertype": "IPv5"}, "SecurityGroupRuleInvalidEtherType"),
        ({"direction": "sideways"}, "HTTPBadRequest"),
    ],
)
async def test_a_rule_that_makes_no_sense(me: Person, rule: dict[str, Any], kind: str) -> None:
    [default] = (await me.get("/security-groups"))["security_groups"]
    error = await _rule(me, default, 400, **rule)
    assert error["NeutronError"]["type"] == kind


async def test_rules_added_at_once_are_all_there(city: City, me: Person) -> None:
    group = await _group(me)
    ports = range(8000, 8004)
    await asyncio.gather(
        *(_rule(me, group, protocol="tcp", port_range_min=port, port_range_max=port) for port in ports)
    )
    shown = (await me.get(f"/security-groups/{group['id']}"))["security_group"]["security_group_rules"]
    assert sorted(rule["port_range_min"] for rule in shown if rule["port_range_min"]) == list(ports)
    resource = await city.services.cluster.get(SecurityGroup, "web", city.project)
    assert len(resource.spec.rules) == 6


async def test_the_quota_of_rules_holds_against_all_at_once(city: City, admin: Person, me: Person) -> None:
    group = await _group(me)
    there = len(group["security_group_rules"])
    project_id = await city.project_id(city.project)
    await admin.put(f"/quotas/{project_id}", {"quota": {"security_group_rule": await _rules(me) + 3}})
    bodies = [
        {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress",
                                 "protocol": "tcp", "port_range_min": port, "port_range_max": port}}
        for port in range(5000, 5006)
    ]  # fmt: skip
    answers = await asyncio.gather(
        *(me.client.post("/v2.0/security-group-rules", json=body) for body in bodies)
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 3
    resource = await city.services.cluster.get(SecurityGroup, "web", city.project)
    assert len(resource.spec.rules) == there + 3
    made = next(answer for answer in answers if answer.is_success).json()["security_group_rule"]
    await me.delete(f"/security-group-rules/{made['id']}")
    await _rule(me, group, protocol="udp")


async def _rules(me: Person) -> int:
    return len((await me.get("/security-group-rules"))["security_group_rules"])


async def test_quotas_of_groups_and_rules(city: City, admin: Person, me: Person) -> None:
    project_id = await city.project_id(city.project)
    await admin.put(f"/quotas/{project_id}", {"quota": {"security_group": 4, "security_group_rule": 11}})
    bodies = [{"security_group": {"name": f"g{number}"}} for number in range(6)]
    answers = await asyncio.gather(*(me.client.post("/v2.0/security-groups", json=body) for body in bodies))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 409, 409, 409]
    groups_there = (await me.get("/security-groups"))["security_groups"]
    assert len(groups_there) == 4
    await _rule(me, groups_there[0], protocol="udp")
    error = await _rule(me, groups_there[0], 409, protocol="tcp")
    assert error["NeutronError"]["type"] == "OverQuota"
