"""GuestImage: an image as a host fetches it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from cairn_crds.base import Model, Text
from cairn_crds.image import PropertyValue


class GuestImage(Model):
    """What a disk is made from."""

    name: Text
    url: Annotated[str, StringConstraints(max_length=2048)]
    """file:, http: or https:."""
    sha256: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9a-f]{64}$")]
    disk_format: Text = "qcow2"
    """qcow2 or raw."""
    properties: Annotated[dict[str, PropertyValue], Field(max_length=128)] = {}
    """Nova's image properties (`hw_disk_bus`, `hw_vif_model` …)."""
