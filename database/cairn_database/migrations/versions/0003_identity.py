"""Users, roles and tokens of the built-in identity."""

from __future__ import annotations

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing so far."""
