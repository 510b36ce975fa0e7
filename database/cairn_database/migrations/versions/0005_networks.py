"""Ports, security groups and floating addresses."""

from __future__ import annotations

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Nothing so far."""
