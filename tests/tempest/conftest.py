"""What tempest needs: a control plane."""

from __future__ import annotations

from integration.conftest import control_plane, control_plane_binaries

__all__ = ["control_plane", "control_plane_binaries"]
