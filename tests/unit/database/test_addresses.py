"""Which addresses a network has for instances."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn_crds.network import NetworkSpec
from cairn_database import addresses
from cairn_database.networking import pools


def _text(ranges: list[pools.Range]) -> list[str]:
    return [f"{IPv4Address(first)}-{IPv4Address(last)}" for first, last in ranges]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"cidr": "10.0.0.0/24"}, ["10.0.0.2-10.0.0.254"]),
        ({"cidr": "10.0.0.7/24"}, ["10.0.0.2-10.0.0.254"]),
        ({"cidr": "10.0.0.0/24", "gateway": "10.0.0.254"}, ["10.0.0.1-10.0.0.253"]),
        ({"cidr": "10.0.0.0/24", "gateway": "10.0.0.9"}, ["10.0.0.1-10.0.0.8", "10.0.0.10-10.0.0.254"]),
        ({"cidr": "10.0.0.0/30"}, ["10.0.0.2-10.0.0.2"]),
        ({"cidr": "10.0.0.0/31"}, ["10.0.0.0-10.0.0.0"]),
        (
            {"cidr": "10.0.0.0/24", "pools": [{"start": "10.0.0.0", "end": "10.0.0.3"}]},
            ["10.0.0.2-10.0.0.3"],
        ),
        ({"cidr": "10.0.0.0/24", "pools": [{"start": "10.0.9.1", "end": "10.0.9.9"}]}, []),
        ({"cidr": "10.0.0.0/24", "pools": [{"start": "10.0.0.9", "end": "10.0.0.4"}]}, []),
    ],
)
def test_usable_addresses(spec: dict[str, object], expected: list[str]) -> None:
    assert _text(addresses.usable(NetworkSpec.model_validate(spec))) == expected


@given(
    prefix=st.integers(22, 30),
    pools=st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 1100)), max_size=5),
    gateway=st.integers(0, 1023),
)
def test_usable_addresses_are_in_the_pools_and_the_network_and_no_gateway(
    prefix: int, pools: list[tuple[int, int]], gateway: int
) -> None:
    network = IPv4Network(f"10.0.0.0/{prefix}")
    base = int(network.network_address)
    at = IPv4Address(base + gateway % network.num_addresses)
    spec = NetworkSpec.model_validate(
        {
            "cidr": str(network),
            "gateway": str(at),
            "pools": [
                {"start": str(IPv4Address(base + first)), "end": str(IPv4Address(base + last))}
                for first, last in pools
            ],
        }
    )
    expected = {int(host) for host in network.hosts()} - {int(at)}
    if pools:
        expected &= {base + n for first, last in pools for n in range(first, last + 1)}
    ranges = addresses.usable(spec)
    found = [n for first, last in ranges for n in range(first, last + 1)]
    assert found == sorted(expected)
    assert addresses.count_usable(spec) == len(expected)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_subtracting_leaves_the_rest_in_as_few_ranges_as_can_be(have: set[int], gone: set[int]) -> None:
    ranges = pools.merged((n, n) for n in have)
    left = pools.subtract(ranges, sorted(gone))
    assert [n for first, last in left for n in range(first, last + 1)] == sorted(have - gone)


def test_a_mac_is_the_same_at_every_attempt_to_build_and_differs_by_interface() -> None:
    macs = {addresses.mac_of("id", ordinal, attempt) for ordinal in range(4) for attempt in range(4)}
    assert len(macs) == 16
    assert addresses.mac_of("id", 1) == addresses.mac_of("id", 1)
    assert all(mac.startswith("fa:16:3e:") and len(mac) == 17 for mac in macs)
