"""What the host is told: a pure function of the row."""

from __future__ import annotations

import base64

import pytest

from cairn_crds.instance import DesiredPower, PowerState
from cairn_database import KeyPairRecord, TaskState, VmState
from cairn_database.images.signing import SigningKeys
from cairn_operator.conductor.guest_spec import build_guest
from cairn_operator.conductor.guests import as_recorded
from unit.conductor.records import BLUE, ID, building, record


def test_it_says_all_that_the_agent_needs() -> None:
    guest = build_guest(record(key_pair=KeyPairRecord("me", "ssh-ed25519 AAAA"), availability_zone="west"))
    assert (guest.metadata.name, guest.metadata.namespace) == (ID, "cairn-node-h1")
    spec = guest.spec
    assert (spec.vcpus, spec.memory_mib, spec.root_disk_gib, spec.fencing_epoch) == (2, 512, 5, 3)
    assert (spec.image.url, spec.image.sha256, spec.image.disk_format) == (
        "http://images/debian.qcow2",
        "a" * 64,
        "qcow2",
    )
    assert spec.config.public_keys == {"me": "ssh-ed25519 AAAA"}
    assert (spec.config.hostname, spec.config.availability_zone) == ("web", "west")
    assert (spec.instance.namespace, spec.instance.name, spec.instance.project) == ("acme", "web", "acme")


@pytest.mark.parametrize(("asked", "told"), [("west", "west"), (None, "east")])
def test_the_zone_is_the_one_asked_for_or_else_the_hosts(asked: str | None, told: str) -> None:
    assert build_guest(record(availability_zone=asked), zone="east").spec.config.availability_zone == told


def test_the_network_is_the_one_it_was_connected_to() -> None:
    (network,) = build_guest(record()).spec.networks
    assert (network.network, network.address, network.mac) == ("blue", "10.0.0.7", "fa:16:3e:00:00:01")
    assert (network.cidr, network.gateway, network.dns, network.mtu) == (
        "10.0.0.0/24",
        "10.0.0.1",
        ["10.0.0.1"],
        1400,
    )


def test_a_network_of_its_own_gateway_and_servers_keeps_them() -> None:
    own = {**BLUE, "gateway": "10.0.0.254", "dns": ["9.9.9.9"], "bridge": "br0"}
    row = record()
    row.request["networks"][:] = [own]
    (network,) = build_guest(row).spec.networks
    assert (network.gateway, network.dns, network.bridge) == ("10.0.0.254", ["9.9.9.9"], "br0")
    row.request["networks"][:] = [BLUE]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"userData": "#!/bin/sh\n"}, base64.b64encode(b"#!/bin/sh\n").decode()),
        ({"userDataBase64": "AAEC"}, "AAEC"),
        ({}, None),
    ],
)
def test_user_data_is_handed_on_as_it_was_given(spec: dict[str, str], expected: str | None) -> None:
    assert build_guest(record(spec=spec)).spec.config.user_data_base64 == expected


def test_a_name_that_is_no_host_name_becomes_one() -> None:
    assert build_guest(record(name="web.example.org")).spec.config.hostname == "web-example-org"
    assert build_guest(record(name=f"{'a' * 62}.b")).spec.config.hostname == "a" * 62
    assert build_guest(record(spec={"hostname": "other"})).spec.config.hostname == "other"


def test_the_same_row_makes_the_same_guest() -> None:
    assert build_guest(record()) == build_guest(record())


def test_whether_its_machine_was_made_before() -> None:
    assert build_guest(record()).spec.launched
    assert not build_guest(building()).spec.launched


@pytest.mark.parametrize("power", [PowerState.SHUTDOWN, PowerState.CRASHED])
def test_a_resized_one_that_was_switched_off_is_not_started_for_an_edit(power: PowerState) -> None:
    off = record(vm_state=VmState.RESIZED, power_state=power)
    assert build_guest(off).spec.power_state is DesiredPower.STOPPED
    confirming = record(vm_state=VmState.RESIZED, power_state=power, task_state=TaskState.RESIZE_CONFIRMING)
    assert build_guest(confirming).spec.power_state is DesiredPower.RUNNING


def test_one_without_a_host_has_no_guest() -> None:
    with pytest.raises(ValueError, match="has no host"):
        build_guest(record(host=None))


def test_a_guest_made_anew_leaves_out_the_change_that_is_under_way() -> None:
    row = record(
        task_state=TaskState.POWERING_OFF,
        spec={"powerState": "Stopped", "reboot": {"generation": 4, "type": "Hard"}},
        reboot_generation=3,
    )
    spec = as_recorded(build_guest(row), row).spec
    assert spec.power_state is DesiredPower.RUNNING
    assert spec.reboot.generation == 3


def test_a_guest_for_a_machine_still_to_be_made_says_what_it_is_to_become() -> None:
    row = building(spec={"powerState": "Stopped"})
    assert as_recorded(build_guest(row), row).spec.power_state is DesiredPower.STOPPED
    broken = record(vm_state=VmState.ERROR, spec={"powerState": "Stopped"})
    assert as_recorded(build_guest(broken), broken).spec.power_state is DesiredPower.STOPPED
    absent = build_guest(record(spec={"powerState": "Stopped"}), absent=True)
    assert as_recorded(absent, record()).spec.power_state is DesiredPower.STOPPED


def test_only_the_hosts_address_of_an_image_in_the_gateway_is_signed() -> None:
    keys = SigningKeys((b"k" * 32,))
    where = f"http://gateway/image/internal/blobs/{ID}"
    row = record()
    row.image["url"] = where
    url = build_guest(row, keys=keys).spec.image.url
    assert url == f"{where}?signature={keys.sign(ID)}"
    assert build_guest(record(), keys=keys).spec.image.url == "http://images/debian.qcow2"
