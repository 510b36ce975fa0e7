"""All tables together: what the migrations make."""

from __future__ import annotations

from cairn_database.identity import tables as identity
from cairn_database.images import tables as images
from cairn_database.networking import tables as networking
from cairn_database.tables import metadata
from cairn_database.volumes import tables as volumes

__all__ = ["identity", "images", "metadata", "networking", "volumes"]
