"""Ids and owners of flavors, key pairs, server groups and aggregates; quota classes."""

from __future__ import annotations

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Nothing so far."""
