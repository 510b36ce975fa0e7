"""Instances on hosts, straight in SQL."""

from __future__ import annotations

import uuid

from cairn_crds.flavor import FlavorSpec
from cairn_database import Database, NewInstance, claims, instances


async def place(
    db: Database, host: str, name: str, *, vcpus: int = 1, memory_mib: int = 512, disk_gib: int = 1
) -> str:
    """An instance of project `blue` on that host, being built; its id."""
    new = unplaced(name, FlavorSpec(vcpus=vcpus, memory_mib=memory_mib, disk_gib=disk_gib))
    record = await instances.register(db, new)
    request = claims.ClaimRequest(record.id, record.version, host, vcpus, memory_mib, disk_gib)
    [outcome] = await claims.claim_many(db, [request])
    assert isinstance(outcome, claims.Claimed), outcome
    return record.id


def unplaced(name: str, flavor: FlavorSpec) -> NewInstance:
    """What `instances.register` takes."""
    return NewInstance(
        id=str(uuid.uuid4()),
        project="blue",
        namespace="blue",
        name=name,
        request={"spec": {"flavor": "small", "image": "debian"}},
        flavor=flavor.to_api() | {"name": "small"},
        image={"name": "debian", "url": "https://images.example/debian.qcow2", "sha256": "0" * 64},
        request_id="req-test",
    )
