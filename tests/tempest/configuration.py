"""The Cairn that tempest meets, its tempest.conf, and which of tempest's switches are off because of what."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from cairn_crds import ComputeNode
from cairn_local.control_plane.running import RunningControlPlane
from support.openstack_cloud import ADMIN_PASSWORD, FAST, OpenStackCloud, running_openstack
from support.openstack_identity import REGION

FEATURES: Mapping[str, bool] = {
    "block_migration_for_live_migration": True,
    "change_password": True,
    "cold_migration": True,
    "config_drive": True,
    "console_output": True,
    "disk_config": True,
    "enable_instance_password": True,
    "hostname_fqdn_sanitization": True,
    "ide_bus": False,
    "interface_attach": True,
    "live_migration": True,
    "metadata_service": True,
    "pause": True,
    "personality": False,
    "rescue": True,
    "resize": True,
    "serial_console": False,
    "shelve": True,
    "snapshot": True,
    "spice_console": False,
    "stable_rescue": False,
    "suspend": True,
    "unified_limits": False,
    "vnc_console": False,
}
"""`[compute-feature-enabled]`: on is what Cairn does; off comes later."""

SNAPSHOT_SECONDS = 2.0
"""tempest looks for an image that is being saved, and waits five minutes where it is saved before that."""


def running_cloud_for_tempest(
    plane: RunningControlPlane, directory: Path
) -> AbstractContextManager[OpenStackCloud]:
    """A whole Cairn: three hosts of the fake driver, whose images take a moment to be made."""
    agent = {**FAST["agent"], "fake__latency_seconds": json.dumps({"snapshot": SNAPSHOT_SECONDS})}
    return running_openstack(plane, directory, nodes=3, settings={"agent": agent})


def write_configuration(cloud: OpenStackCloud, directory: Path) -> Path:
    """Write `tempest.conf`; makes the flavors and the images that it names."""
    for name in ("logs", "locks"):
        (directory / name).mkdir()
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(_sections(cloud, directory))
    path = directory / "tempest.conf"
    path.touch(mode=0o600)
    with path.open("w") as file:
        parser.write(file)
    return path


def _sections(cloud: OpenStackCloud, directory: Path) -> dict[str, dict[str, object]]:
    first, second = (_image(cloud, name) for name in ("tempest-1", "tempest-2"))
    small, large = (_flavor(cloud, f"tempest-{ram}", ram) for ram in (64, 128))
    return {
        "DEFAULT": {"log_dir": directory / "logs", "debug": False, "use_stderr": False},
        "oslo_concurrency": {"lock_path": directory / "locks"},
        "auth": {
            "use_dynamic_credentials": True,
            "create_isolated_networks": False,
            "admin_username": cloud.identity.admin_user,
            "admin_password": ADMIN_PASSWORD,
            "admin_project_name": cloud.identity.admin_project,
            "admin_domain_name": "Default",
        },
        "identity": {
            "uri_v3": cloud.identity.url,
            "auth_version": "v3",
            "region": REGION,
            "v3_endpoint_type": "public",
        },
        "identity-feature-enabled": {"api_v3": True},
        "enforce_scope": {"nova": True},
        "compute": {
            "region": REGION,
            "image_ref": first,
            "image_ref_alt": second,
            "flavor_ref": small,
            "flavor_ref_alt": large,
            "fixed_network_name": "blue",
            "min_microversion": "2.1",
            "max_microversion": "latest",
            "min_compute_nodes": len(cloud.cloud.api.list(ComputeNode)),
            "build_timeout": 60,
            "hypervisor_type": "fake",
        },
        "compute-feature-enabled": {
            **FEATURES,
            "nova_policy_roles": "admin,manager,member,reader",
            "scheduler_enabled_filters": "all",
        },
        "image": {"region": REGION},
        "network": {
            "region": REGION,
            "shared_physical_network": True,
            "public_network_id": _network(cloud, "public"),
            "floating_network_name": "public",
        },
        "service_available": {
            "neutron": True,
            "cinder": False,
            "swift": False,
            "glance": True,
            "nova": True,
            "horizon": False,
        },
        "validation": {"run_validation": False},
    }


def _flavor(cloud: OpenStackCloud, name: str, ram: int) -> str:
    body = {"name": name, "id": name, "ram": ram, "vcpus": 1, "disk": 1}
    cloud.call("POST", "/compute/v2.1/flavors", {"flavor": body})
    return name


def _network(cloud: OpenStackCloud, name: str) -> str:
    found = cloud.call("GET", f"/network/v2.0/networks?name={name}")["networks"]
    return str(found[0]["id"])


def _image(cloud: OpenStackCloud, name: str) -> str:
    """A public image of 64 KiB; its id."""
    body = {"name": name, "visibility": "public", "disk_format": "raw", "container_format": "bare"}
    image = cloud.call("POST", "/image/v2/images", body)
    cloud.upload(f"/image/v2/images/{image['id']}/file", name.encode() * 8192)
    return str(image["id"])
