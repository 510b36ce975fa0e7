"""Neutron's filters."""

from __future__ import annotations

from typing import Any

import pytest

from cairn_gateway.network.listing import matches

VIEW: dict[str, Any] = {
    "id": "1",
    "name": "web",
    "shared": False,
    "mtu": 1500,
    "port_id": None,
    "security_groups": ["a", "b"],
    "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.7"}],
}


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({}, True),
        ({"name": ["web"]}, True),
        ({"name": ["db", "web"]}, True),
        ({"name": ["db"]}, False),
        ({"shared": ["False"]}, True),
        ({"shared": ["true"]}, False),
        ({"shared": ["0"]}, True),
        ({"mtu": ["1500"]}, True),
        ({"port_id": [""]}, True),
        ({"port_id": ["x"]}, False),
        ({"security_groups": ["b"]}, True),
        ({"security_groups": ["c"]}, False),
        ({"fixed_ips": ["ip_address=10.0.0.7"]}, True),
        ({"fixed_ips": ["subnet_id=other"]}, False),
        ({"fixed_ips": ["ip_address_substr=0.0"]}, True),
        ({"name": ["web"], "mtu": ["9000"]}, False),
        ({"something": ["else"]}, True),
    ],
)
def test_filters(chosen: dict[str, list[str]], kept: bool) -> None:
    assert matches(VIEW, chosen) is kept
