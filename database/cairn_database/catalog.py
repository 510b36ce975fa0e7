"""What instances are made of, mirrored into SQL: flavors, images, key pairs, networks.

Instances keep the flavor, image and key that they were made with, whatever becomes of the resource. A network
that has addresses in use is not let go of: `networks.remove` raises StillInUse.
"""

from __future__ import annotations

import sqlalchemy as sa

from cairn_crds.flavor import FlavorSpec
from cairn_crds.key_pair import KeyPairSpec
from cairn_crds.network import NetworkSpec
from cairn_database import mirroring, tables
from cairn_database.engine import Database
from cairn_database.flavors import FlavorTable, by_id
from cairn_database.images import mirror as image_mirror
from cairn_database.images.tables import images as image_rows
from cairn_database.key_pairs import KeyPairTable
from cairn_database.networking import groups
from cairn_database.networking import tables as network_tables
from cairn_database.networking.networks import NetworkTable

flavors = FlavorTable(tables.flavors, FlavorSpec)
networks = NetworkTable(tables.networks, NetworkSpec)
key_pairs = KeyPairTable(tables.key_pairs, KeyPairSpec)
flavor_by_id = by_id

MIRRORED: dict[str, sa.Table] = {
    "flavors": tables.flavors,
    "images": image_rows,
    "hostaggregates": tables.aggregates,
    "keypairs": tables.key_pairs,
    "servergroups": tables.server_groups,
    "securitygroups": network_tables.security_groups,
}
"""Kinds whose rows outlive a resource that is deleted while no controller runs, by plural."""


async def recorded_keys(db: Database, plural: str) -> set[tuple[str, str]]:
    """(namespace, name) of every row of the kind that is not removed; the namespace is empty where the kind
    has none."""
    if plural == "images":
        return {("", name) for name in await image_mirror.recorded(db)}
    if plural == "securitygroups":
        return {(group.namespace, group.name) for group in await groups.find(db)}
    rows = await mirroring.select(db, MIRRORED[plural])
    return {(getattr(row, "namespace", ""), row.name) for row in rows}
