"""What tests with real clients share."""

from __future__ import annotations

from integration.conftest import control_plane, control_plane_binaries
from support.openstack_fixtures import real_glance, real_keystone

__all__ = ["control_plane", "control_plane_binaries", "real_glance", "real_keystone"]
