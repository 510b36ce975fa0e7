"""From a rule as clients send it to the rule that the resource says; and rule ids."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_crds.security_group import SecurityGroupRule
from cairn_database.networking import groups
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import check
from cairn_gateway.network.rules import RuleCreate, rule_for

GROUP = str(uuid.uuid4())


def made(**fields: Any) -> SecurityGroupRule:
    sent = {"security_group_id": GROUP, "direction": "ingress", **fields}
    return rule_for(check(RuleCreate, sent), None)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"protocol": "any"}, {"protocol": None}),
        ({"protocol": 6}, {"protocol": "tcp"}),
        ({"protocol": "17"}, {"protocol": "udp"}),
        ({"protocol": "ICMPv6", "ethertype": "ipv6"}, {"protocol": "icmpv6"}),
        ({"protocol": "99"}, {"protocol": "99"}),
        ({"remote_ip_prefix": "10.0.0.7"}, {"remote_prefix": "10.0.0.7/32"}),
        ({"remote_ip_prefix": "10.0.0.7/24"}, {"remote_prefix": "10.0.0.7/24"}),
        ({"remote_ip_prefix": "fe80::/64", "ethertype": "IPv6"}, {"remote_prefix": "fe80::/64"}),
        (
            {"protocol": "icmp", "port_range_min": "8", "port_range_max": 0},
            {"port_min": 8, "port_max": 0},
        ),
        ({"description": ""}, {"description": None}),
    ],
)
def test_what_is_sent_becomes_a_rule(sent: dict[str, Any], expected: dict[str, Any]) -> None:
    rule = made(**sent)
    assert {name: getattr(rule, name) for name in expected} == expected


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "protocol": st.none()
            | st.text(max_size=50)
            | st.integers(-5, 300)
            | st.sampled_from(["tcp", "icmp"]),
            "port_range_min": st.none() | st.integers(-5, 70000) | st.text(max_size=9),
            "port_range_max": st.none() | st.integers(-5, 70000),
            "remote_ip_prefix": st.none() | st.text(max_size=60) | st.ip_addresses().map(str),
            "ethertype": st.none() | st.text(max_size=9),
            "description": st.none() | st.text(max_size=300),
        },
    )
)
def test_whatever_is_sent_is_a_rule_or_refused(sent: dict[str, Any]) -> None:
    try:
        rule = made(**sent)
    except BadRequest:
        return
    assert SecurityGroupRule.model_validate(rule.to_api()) == rule


def test_a_rules_id_is_what_it_says_and_whose_it_is() -> None:
    rule = made(protocol="tcp", port_range_min=80, port_range_max=80)
    told = rule.model_copy(update={"description": "http"})
    other = made(protocol="tcp", port_range_min=81, port_range_max=81)
    ids = {groups.rule_id(GROUP, item) for item in (rule, told, other)}
    assert len(ids) == 2
    assert groups.rule_id(str(uuid.uuid4()), rule) not in ids
