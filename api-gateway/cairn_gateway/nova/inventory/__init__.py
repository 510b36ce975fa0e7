"""What Nova's router serves, as data: every route and action, its versions, its status and its policy rule.

Cairn's own table (`nova/routes.py`) is compared with it, so that nothing is forgotten. Read from Nova's
`routes.py` and its controllers' version marks; only the facts are taken over.
"""

from __future__ import annotations

from typing import Final

from cairn_gateway.nova.inventory import cloud, proxies, removed, servers
from cairn_gateway.nova.inventory.entries import Entry, anonymous

ENTRIES: Final[tuple[Entry, ...]] = (
    *cloud.ENTRIES,
    *servers.ENTRIES,
    *proxies.ENTRIES,
    *removed.ENTRIES,
)

__all__ = ["ENTRIES", "Entry", "anonymous"]
