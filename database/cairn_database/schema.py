"""All tables together: what the migrations make."""

from __future__ import annotations

from cairn_database.tables import metadata

__all__ = ["metadata"]
