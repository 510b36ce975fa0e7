"""The libvirt network of a Cairn Network."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cairn_agent.drivers.libvirt.network import DNSMASQ, bridge_name, network_xml
from unit.drivers.specs import NETWORK, tree


def test_guests_go_out_through_the_gateway() -> None:
    network = tree(network_xml(NETWORK))
    ip = network.find("ip")
    forward = network.find("forward")
    assert ip is not None
    assert forward is not None
    assert (ip.get("address"), ip.get("netmask"), forward.get("mode")) == ("10.9.0.1", "255.255.255.0", "nat")
    assert network.find("ip/dhcp/range") is None


def test_without_a_gateway_there_is_no_way_out() -> None:
    network = tree(network_xml(NETWORK.model_copy(update={"gateway": None})))
    ip = network.find("ip")
    assert network.find("forward") is None
    assert ip is not None
    assert ip.get("address") == "10.9.0.1"


def test_other_name_servers_are_handed_out_by_dhcp() -> None:
    spec = NETWORK.model_copy(update={"dns": ["9.9.9.9", "1.1.1.1"]})
    option = tree(network_xml(spec)).find(f"{{{DNSMASQ}}}options/{{{DNSMASQ}}}option")
    assert option is not None
    assert option.get("value") == "dhcp-option=option:dns-server,9.9.9.9,1.1.1.1"


def test_the_same_network_has_the_same_identity_everywhere() -> None:
    other_guest = NETWORK.model_copy(update={"mac": "52:54:00:00:00:09", "address": "10.9.0.9"})
    assert network_xml(NETWORK) == network_xml(other_guest)


@given(st.text(min_size=1, max_size=253))
def test_bridge_names_are_ones_that_linux_takes(name: str) -> None:
    bridge = bridge_name(name)
    assert len(bridge) <= 15
    assert bridge.isalnum()
    assert bridge == bridge_name(name)
