"""What is known of the hosts that servers are on: state, zone, hypervisor. Read at most once a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from cairn_database import Database, aggregates, nodes
from cairn_database.nodes import ComputeNodeRecord

FRESH_SECONDS = 1.0
"""How old an answer may be: a host's state comes from heartbeats ten seconds apart anyway."""


@dataclass(frozen=True)
class HostFacts:
    """One host."""

    status: str
    """Nova's host_status: UP, DOWN, MAINTENANCE or UNKNOWN."""
    zone: str | None
    """None: the default one."""
    hypervisor: str
    """What the hypervisor calls itself."""


class _Hosts:
    def __init__(self) -> None:
        self.facts: Mapping[str, HostFacts] = {}
        self.read_at = float("-inf")
        self.lock = asyncio.Lock()


_KNOWN: WeakKeyDictionary[Database, _Hosts] = WeakKeyDictionary()


async def host_facts(db: Database) -> Mapping[str, HostFacts]:
    """By the ComputeNode's name."""
    hosts = _KNOWN.setdefault(db, _Hosts())
    if time.monotonic() - hosts.read_at < FRESH_SECONDS:
        return hosts.facts
    async with hosts.lock:
        if time.monotonic() - hosts.read_at >= FRESH_SECONDS:
            began = time.monotonic()
            zones = await aggregates.host_zones(db)
            found = await nodes.list_compute_nodes(db)
            hosts.facts = {
                node.name: HostFacts(status_of(node), zones.get(node.name), node.hypervisor_hostname)
                for node in found
            }
            hosts.read_at = began
    return hosts.facts


def status_of(node: ComputeNodeRecord) -> str:
    """Source: Nova's get_instance_host_status."""
    if node.spec.forced_down:
        return "DOWN"
    if node.disabled:
        return "MAINTENANCE"
    return "UP" if node.up else "UNKNOWN"
