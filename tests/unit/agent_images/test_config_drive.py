"""The config drive read back as a guest reads it, against the shapes that Nova writes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pycdlib
import pytest
import yaml

from cairn_agent import metadata
from cairn_agent.config_drive import build_config_drive
from cairn_crds.guest import GuestSpec

INSTANCE = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
ANY = "0.0.0.0"  # noqa: S104
USER_DATA = b"#!/bin/sh\necho \xff\x00 binary is fine\n"


def spec_of(**changes: Any) -> GuestSpec:
    config = {
        "hostname": "web-1",
        "availabilityZone": "az1",
        "publicKeys": {"laptop": "ssh-ed25519 AAAA joe@laptop"},
        "userDataBase64": base64.b64encode(USER_DATA).decode(),
        "metadata": {"role": "web"},
    }
    return GuestSpec.model_validate(
        {
            "instance": {"namespace": "demo", "name": "web", "project": "p1"},
            "vcpus": 1,
            "memoryMiB": 64,
            "image": {"name": "demo", "url": "http://server/image", "sha256": "0" * 64},
            "networks": [
                {"network": "default", "networkId": "net-1", "cidr": "10.1.2.0/24", "gateway": "10.1.2.1",
                 "dns": ["10.1.2.1", "9.9.9.9"], "mac": "52:54:00:00:00:01", "address": "10.1.2.5"},
                {"network": "lab", "bridge": "br-lab", "networkId": "net-2", "cidr": "10.9.0.0/22",
                 "gateway": "10.9.0.1", "mtu": 9000, "dns": ["9.9.9.9"],
                 "mac": "52:54:00:00:00:02", "address": "10.9.1.7"},
            ],
            "config": config | changes,
        }
    )  # fmt: skip


class Drive:
    """A config drive's content by one of its three kinds of names."""

    def __init__(self, path: Path) -> None:
        self._iso = pycdlib.PyCdlib()
        self._iso.open(str(path))

    def names(self, kind: str) -> set[str]:
        return {
            f"{folder.rstrip('/')}/{file}"
            for folder, _, files in self._iso.walk(**{kind: "/"})
            for file in files
        }

    def read(self, name: str, kind: str = "rr_path") -> bytes:
        buffer = io.BytesIO()
        self._iso.get_file_from_iso_fp(buffer, **{kind: name})
        return buffer.getvalue()

    def json(self, name: str) -> Any:
        return json.loads(self.read(name))

    @property
    def label(self) -> bytes:
        return bytes(self._iso.pvd.volume_identifier).rstrip()


def drive_of(folder: Path, spec: GuestSpec) -> Drive:
    path = folder / "config.iso"
    build_config_drive(path, INSTANCE, spec)
    assert [file.name for file in folder.iterdir()] == ["config.iso"]
    return Drive(path)


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    return drive_of(tmp_path, spec_of())


def test_linux_and_windows_find_the_same_files(drive: Drive) -> None:
    assert drive.label == b"config-2"
    names = drive.names("rr_path")
    assert names == drive.names("joliet_path")
    assert names >= {
        "/openstack/latest/meta_data.json",
        "/openstack/latest/network_data.json",
        "/openstack/latest/user_data",
        "/openstack/latest/vendor_data.json",
        "/openstack/latest/vendor_data2.json",
        "/openstack/2018-08-27/network_data.json",
        "/ec2/latest/meta-data.json",
        "/ec2/2009-04-04/user-data",
    }
    for name in names:
        assert drive.read(name) == drive.read(name, "joliet_path")


def test_the_password_goes_to_cloud_init_as_a_hash(tmp_path: Path) -> None:
    hashed = f"$6$saltsalt${'x' * 86}"
    drive = drive_of(tmp_path, spec_of(adminPasswordHash=hashed))
    for version in ("2013-10-17", "latest"):
        config = drive.json(f"/openstack/{version}/vendor_data.json")["cloud-init"]
        assert config.startswith("#cloud-config\n")
        assert yaml.safe_load(config) == {"password": hashed, "chpasswd": {"expire": False}}


def test_without_a_password_there_is_no_vendor_data(drive: Drive) -> None:
    assert drive.json("/openstack/latest/vendor_data.json") == {}


def test_each_version_has_what_it_had_in_nova(drive: Drive) -> None:
    names = drive.names("rr_path")
    for document, since in {
        "meta_data.json": "2012-08-10",
        "user_data": "2012-08-10",
        "vendor_data.json": "2013-10-17",
        "network_data.json": "2015-10-15",
        "vendor_data2.json": "2016-10-06",
    }.items():
        found = {
            name.split("/")[2]
            for name in names
            if name.startswith("/openstack/") and name.endswith(f"/{document}")
        }
        assert found == {v for v in metadata.OPENSTACK_VERSIONS if v >= since} | {"latest"}


def test_meta_data_has_novas_shape(drive: Drive) -> None:
    found = drive.json("/openstack/latest/meta_data.json")
    assert len(base64.b64decode(found.pop("random_seed"))) == 512
    assert found == {
        "uuid": INSTANCE,
        "name": "web",
        "hostname": "web-1",
        "availability_zone": "az1",
        "launch_index": 0,
        "project_id": "p1",
        "meta": {"role": "web"},
        "public_keys": {"laptop": "ssh-ed25519 AAAA joe@laptop"},
        "keys": [{"name": "laptop", "type": "ssh", "data": "ssh-ed25519 AAAA joe@laptop"}],
        "devices": [],
        "dedicated_cpus": [],
    }
    oldest = drive.json("/openstack/2012-08-10/meta_data.json")
    assert not {"random_seed", "project_id", "devices", "dedicated_cpus"} & oldest.keys()


def test_network_data_has_novas_shape(drive: Drive) -> None:
    found = drive.json("/openstack/latest/network_data.json")
    ids = [link.pop("vif_id") for link in found["links"]]
    assert len(set(ids)) == 2
    assert found == {
        "links": [
            {"id": "interface0", "type": "bridge", "mtu": None, "ethernet_mac_address": "52:54:00:00:00:01"},
            {"id": "interface1", "type": "bridge", "mtu": 9000, "ethernet_mac_address": "52:54:00:00:00:02"},
        ],
        "networks": [
            {"id": "network0", "type": "ipv4_dhcp", "link": "interface0", "network_id": "net-1"},
            {
                "id": "network1",
                "type": "ipv4",
                "link": "interface1",
                "ip_address": "10.9.1.7",
                "netmask": "255.255.252.0",
                "routes": [{"network": ANY, "netmask": ANY, "gateway": "10.9.0.1"}],
                "services": [{"type": "dns", "address": "9.9.9.9"}],
                "network_id": "net-2",
            },
        ],
        "services": [{"type": "dns", "address": "10.1.2.1"}, {"type": "dns", "address": "9.9.9.9"}],
    }


def test_user_data_and_vendor_data(drive: Drive) -> None:
    assert drive.read("/openstack/latest/user_data") == USER_DATA
    assert drive.read("/ec2/latest/user-data") == USER_DATA
    assert drive.json("/openstack/latest/vendor_data.json") == {}
    assert drive.json("/openstack/latest/vendor_data2.json") == {"static": {}}


def test_ec2_meta_data_has_novas_shape(drive: Drive) -> None:
    found = drive.json("/ec2/latest/meta-data.json")
    assert found["instance-id"] == "i-6ba7b8109dad41d18"
    assert found["local-ipv4"] == "10.1.2.5"
    assert found["hostname"] == found["local-hostname"] == found["public-hostname"] == "web-1"
    assert found["public-keys"]["0"]["openssh-key"] == "ssh-ed25519 AAAA joe@laptop"
    assert found["placement"] == {"availability-zone": "az1"}


def test_without_user_data_keys_and_metadata_their_entries_are_left_out(tmp_path: Path) -> None:
    drive = drive_of(tmp_path, spec_of(userDataBase64=None, publicKeys={}, metadata={}))
    assert not [name for name in drive.names("rr_path") if "user" in name]
    assert not {"meta", "keys", "public_keys"} & drive.json("/openstack/latest/meta_data.json").keys()
    assert "public-keys" not in drive.json("/ec2/latest/meta-data.json")


def test_what_users_chose_stays_inside_its_value(tmp_path: Path) -> None:
    nasty = '","uuid":"evil"}\n../../etc/passwd\x00'
    drive = drive_of(tmp_path, spec_of(hostname=nasty, publicKeys={nasty: nasty}, metadata={nasty: nasty}))
    found = drive.json("/openstack/latest/meta_data.json")
    assert found["uuid"] == INSTANCE
    assert found["hostname"] == nasty
    assert found["meta"] == found["public_keys"] == {nasty: nasty}
    assert all(
        name.startswith(("/openstack/", "/ec2/")) and ".." not in name for name in drive.names("rr_path")
    )


def test_large_user_data_is_stored_once(tmp_path: Path) -> None:
    large = base64.b64encode(b"#!/bin/sh\n" + b"# padding\n" * 6000).decode()
    drive_of(tmp_path, spec_of(userDataBase64=large))
    assert (tmp_path / "config.iso").stat().st_size < 400_000


def test_bad_user_data_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(metadata.UserDataInvalid, match="not valid base64") as caught:
        build_config_drive(tmp_path / "config.iso", INSTANCE, spec_of(userDataBase64="A"))
    assert caught.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_interfaces_keep_their_ids() -> None:
    first, again = (metadata.network_data(INSTANCE, spec_of())["links"] for _ in range(2))
    assert first == again
