"""Whether an instance may be made of this flavor, image and network: the rules, for whoever takes it in.

The conductor asks for Instances that came by kubectl, the gateway for those of the Compute API.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from cairn_crds.flavor import FlavorSpec
from cairn_crds.image import ImageSpec, ImageVisibility
from cairn_crds.network import NetworkSpec

OPEN_TO_ALL = frozenset({ImageVisibility.PUBLIC, ImageVisibility.COMMUNITY})


class Refusal(Exception):
    """The instance cannot be built as it is asked for. `reason` is for programs, `message` for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def check_flavor(name: str, spec: FlavorSpec, project: str) -> None:
    """Raise Refusal unless the project may use the flavor."""
    if spec.disabled:
        raise Refusal("FlavorDisabled", f"Flavor '{name}' is disabled. Choose another one.")
    if not spec.public and project not in spec.projects:
        raise Refusal(
            "FlavorNotAllowed",
            f"Project '{project}' may not use flavor '{name}'. Choose another one, or ask an administrator "
            "to add the project to its spec.projects.",
        )


def check_image(name: str, spec: ImageSpec, project: str) -> None:
    """Raise Refusal unless the project may use the image."""
    if spec.deactivated:
        raise Refusal("ImageDeactivated", f"Image '{name}' is deactivated. Choose another one.")
    allowed = (
        spec.visibility in OPEN_TO_ALL
        or spec.owner == project
        or (spec.visibility is ImageVisibility.SHARED and project in spec.projects)
    )
    if not allowed:
        raise Refusal(
            "ImageNotAllowed",
            f"Project '{project}' may not use image '{name}'. Choose another one, or ask its owner "
            f"'{spec.owner}' to share it.",
        )


def check_fit(flavor_name: str, flavor: FlavorSpec, image_name: str, image: ImageSpec) -> None:
    """Raise Refusal where the image needs more than the flavor has (Nova: FlavorDiskTooSmall,
    FlavorMemoryTooSmall)."""
    if flavor.memory_mib < image.min_memory_mib:
        raise Refusal(
            "FlavorMemoryTooSmall",
            f"Flavor '{flavor_name}' has {flavor.memory_mib} MiB of memory, image '{image_name}' needs "
            f"{image.min_memory_mib}. Choose a larger flavor.",
        )
    if flavor.disk_gib and flavor.disk_gib < image.min_disk_gib:
        raise Refusal(
            "FlavorDiskTooSmall",
            f"Flavor '{flavor_name}' has a disk of {flavor.disk_gib} GiB, image '{image_name}' needs "
            f"{image.min_disk_gib}. Choose a larger flavor.",
        )


def check_root_volume(size_gib: int, image_name: str, image: ImageSpec) -> None:
    """Raise Refusal where the volume that an instance boots from has no room for the image."""
    if size_gib < image.min_disk_gib:
        raise Refusal(
            "VolumeTooSmall",
            f"The volume that the instance boots from has {size_gib} GiB, image '{image_name}' needs "
            f"{image.min_disk_gib}. Make the volume larger first.",
        )


def check_resize(old: dict[str, Any], new: dict[str, Any], image: dict[str, Any]) -> None:
    """Raise Refusal where an instance of flavor `old` cannot become one of `new` (flavors and image as rows
    hold them; Nova: ResizeError, FlavorMemoryTooSmall)."""
    if old["name"] == new["name"]:
        raise Refusal("SameFlavor", "When resizing, instances must change flavor!")
    for field, what in (("diskGiB", "root"), ("ephemeralGiB", "ephemeral")):
        if new.get(field, 0) < old.get(field, 0):
            raise Refusal(
                "DiskShrinks",
                f"Flavor '{new['name']}' has {new.get(field, 0)} GiB of {what} disk, the instance has "
                f"{old.get(field, 0)}: disks do not shrink. Choose a larger flavor.",
            )
    if new["memoryMiB"] < image.get("minMemoryMiB", 0):
        raise Refusal(
            "FlavorMemoryTooSmall",
            f"Flavor '{new['name']}' has {new['memoryMiB']} MiB of memory, image '{image['name']}' needs "
            f"{image['minMemoryMiB']}. Choose a larger flavor.",
        )


def check_network(name: str, spec: NetworkSpec, project: str, address: str | None = None) -> None:
    """Raise Refusal unless the project may plug into the network, at `address` where one is asked for."""
    if spec.projects and project not in spec.projects:
        raise Refusal(
            "NetworkNotAllowed",
            f"Project '{project}' may not use network '{name}'. Choose another one, or ask an administrator "
            "to add the project to its spec.projects.",
        )
    if address and ipaddress.ip_address(address) not in ipaddress.ip_network(spec.cidr, strict=False):
        raise Refusal(
            "InvalidFixedAddress",
            f"Address {address} is not in network '{name}' ({spec.cidr}). "
            "Choose one that is, or leave it out.",
        )
