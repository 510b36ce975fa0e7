"""What the Compute API calls the things that quotas limit, and in which versions it speaks of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from cairn_database import quota_limits
from cairn_gateway.http.models import Integer
from cairn_gateway.nova import microversions as at

MAX_INT = 0x7FFFFFFF
Limit = Annotated[Integer, Field(ge=-1, le=MAX_INT)]
NOVA_NAMES: Mapping[str, str] = {
    name: "ram" if name == "memory_mib" else name for name in quota_limits.DEFAULTS
}
"""By Cairn's name."""
CAIRN_NAMES: Mapping[str, str] = {nova: name for name, nova in NOVA_NAMES.items()}
NETWORK = frozenset(quota_limits.OTHERS)
INJECTED = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
GROUPS = frozenset({"server_groups", "server_group_members"})


def of_sets(version: at.Microversion) -> list[str]:
    """What quota sets show in this version, by Cairn's names."""
    hidden: frozenset[str] = frozenset()
    if version >= at.NETWORK_QUOTAS_REMOVED:
        hidden |= NETWORK
    if version >= at.INJECTED_FILE_QUOTAS_REMOVED:
        hidden |= INJECTED
    return [name for name in NOVA_NAMES if name not in hidden]


def of_classes(version: at.Microversion) -> list[str]:
    """What quota classes show in this version, by Cairn's names."""
    hidden = GROUPS if version < at.QUOTA_CLASS_SERVER_GROUPS else NETWORK
    if version >= at.INJECTED_FILE_QUOTAS_REMOVED:
        hidden |= INJECTED
    return [name for name in NOVA_NAMES if name not in hidden]
