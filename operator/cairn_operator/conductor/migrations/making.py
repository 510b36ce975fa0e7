"""Makes Migration resources for moves that something else began: the Compute API, an edit, a drain."""

from __future__ import annotations

from cairn_crds import Metadata, Migration, MigrationSpec
from cairn_crds.base import INSTANCE_LABEL, MIGRATION_LABEL
from cairn_crds.migration import MigrationType
from cairn_database import InstanceRecord
from cairn_database.moves import MigrationRecord
from cairn_database.records import MoveKind
from cairn_runtime.kubernetes import AlreadyExists, Body, Kubernetes

TYPES = {
    MoveKind.LIVE: MigrationType.LIVE,
    MoveKind.MIGRATION: MigrationType.COLD,
    MoveKind.EVACUATION: MigrationType.EVACUATE,
    MoveKind.RESIZE: MigrationType.RESIZE,
}
LONGEST_NAME = 253


def resource_of(row: MigrationRecord, record: InstanceRecord, suffix: str) -> Migration:
    """The resource that shows `row`, as it is made."""
    move = record.move if record.move is not None and record.move.id == row.id else None
    name = f"{record.name[: LONGEST_NAME - 1 - len(suffix)]}-{suffix}"
    return Migration(
        metadata=Metadata(
            name=name,
            namespace=record.namespace,
            labels={MIGRATION_LABEL: row.id, INSTANCE_LABEL: row.instance_id},
        ),
        spec=MigrationSpec(
            instance=record.name,
            type=TYPES[row.kind],
            host=move.wanted_host if move else None,
            copy_disks=move.copy_disks if move else None,
        ),
    )


async def make_resource(kubernetes: Kubernetes, row: MigrationRecord, record: InstanceRecord) -> Body | None:
    """Make it under a short name, or the one that is made of the whole id where that is taken; one that was
    made earlier, and not heard of since, is found again. None where both names are taken. Raises
    KubernetesError (NotFound: the namespace is gone)."""
    for suffix in (row.id[:8], row.id):
        wanted = resource_of(row, record, suffix)
        try:
            return await kubernetes.create(Migration, wanted.manifest())
        except AlreadyExists:
            body = await kubernetes.get(Migration, wanted.metadata.name, wanted.metadata.namespace)
            if body["metadata"].get("labels", {}).get(MIGRATION_LABEL) == row.id:
                return body
    return None
