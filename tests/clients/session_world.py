"""What the scripted session takes for granted: files in its folder, and names of things in its cloud."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cairn_crds import Network
from support.openstack_cloud import OpenStackCloud

DISK = bytes(range(256)) * 256
"""64 KiB that are told apart from zeros."""
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILpUzVxoOd0LVIqJbrrYlkpgbrxtsRKwMgJ9TdfOAzRi session@example.org\n"
)


def write_files(directory: Path) -> None:
    """The files that commands name."""
    (directory / "disk.raw").write_bytes(DISK)
    (directory / "key.pub").write_text(PUBLIC_KEY)
    (directory / "not-a-key.txt").write_text("this is no key\n")
    (directory / "user-data.txt").write_text("#!/bin/sh\necho hello\n")


def variables(openstack: OpenStackCloud) -> dict[str, str]:
    """What steps may write in braces from the start."""
    flavors = openstack.call("GET", "/compute/v2.1/flavors")["flavors"]
    images = openstack.call("GET", "/image/v2/images")["images"]
    network = openstack.cloud.api.get(Network, "blue")
    assert network is not None
    by_name = {item["name"]: item["id"] for item in (*flavors, *images)}
    return {
        "project": openstack.projects["demo"],
        "other_project": openstack.projects["other"],
        "disk_md5": hashlib.md5(DISK, usedforsecurity=False).hexdigest(),
        "disk_sha512": hashlib.sha512(DISK).hexdigest(),
        "tiny_flavor": by_name["tiny"],
        "demo_image": by_name["demo"],
        "blue_network": network["metadata"]["uid"],
        "long": "x" * 300,
    }
