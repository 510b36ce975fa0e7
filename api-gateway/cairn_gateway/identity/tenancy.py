"""Projects made, changed and removed through the API: the Project resource first, then its row.

Both are written here, so that the next read sees it at any gateway; where this process dies in between, the
project mirror of the conductor does the rest.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import Any, Final

from cairn_crds.base import Metadata
from cairn_crds.project import Project, ProjectSpec
from cairn_database import Database, ProjectTaken, StillInUse, tenants
from cairn_database.tenants import ProjectRecord
from cairn_gateway.http.faults import Conflict
from cairn_gateway.naming import slug, with_suffix
from cairn_runtime.kubernetes import AlreadyExists, Kubernetes, NotFound

RESERVED: Final = ("kube-", "cairn-")
"""Prefixes of namespaces that are not projects'."""
ATTEMPTS: Final = 8


async def create_project(db: Database, kubernetes: Kubernetes, spec: ProjectSpec) -> ProjectRecord:
    """A project named `spec.display_name` in the APIs. Raises ProjectTaken, ApiServerUnavailable."""
    wanted = spec.model_copy(update={"id": spec.id or uuid.uuid4().hex})
    await tenants.refuse_taken(db, wanted)
    name = _first_name(wanted.display_name or "project")
    for _ in range(ATTEMPTS):
        project = Project(metadata=Metadata(name=name), spec=wanted)
        if await _make(kubernetes, project):
            try:
                await tenants.upsert_project(db, name, wanted)
            except ProjectTaken:
                await kubernetes.delete(Project, name)
                raise
            await _ensure_namespace(kubernetes, project)
            return await _recorded(db, name)
        name = with_suffix(_first_name(wanted.display_name or "project"))
    raise Conflict("No name for the Project resource is free. Try again.")


async def ensure_project(db: Database, kubernetes: Kubernetes, name: str, spec: ProjectSpec) -> ProjectRecord:
    """The Project resource of exactly that name, and its row; one that is there is left as it is."""
    try:
        project = Project.from_api(await kubernetes.get(Project, name))
    except NotFound:
        project = Project(metadata=Metadata(name=name), spec=spec)
        try:
            project = Project.from_api(await kubernetes.create(Project, project.manifest()))
        except AlreadyExists:
            project = Project.from_api(await kubernetes.get(Project, name))
    await _ensure_namespace(kubernetes, project)
    metadata = project.metadata
    await tenants.upsert_project(db, name, project.spec, uid=metadata.uid, generation=metadata.generation)
    return await _recorded(db, name)


async def update_project(
    db: Database, kubernetes: Kubernetes, record: ProjectRecord, changes: dict[str, Any]
) -> ProjectRecord:
    """Change fields of the spec (None removes one). Raises ProjectTaken, NotFound, ApiServerUnavailable."""
    changed = record.spec.model_copy(update=changes)
    await tenants.refuse_taken(db, changed.model_copy(update={"id": record.id}), but=record.name)
    patch = {
        field.alias or name: changes[name]
        for name, field in ProjectSpec.model_fields.items()
        if name in changes
    }
    body = await kubernetes.patch(Project, record.name, None, {"spec": patch})
    project = Project.from_api(body)
    metadata = project.metadata
    await tenants.upsert_project(
        db, record.name, project.spec, uid=metadata.uid, generation=metadata.generation
    )
    return await _recorded(db, record.name)


async def delete_project(db: Database, kubernetes: Kubernetes, record: ProjectRecord) -> None:
    """Raises StillInUse while it has instances."""
    instances = await tenants.count_instances(db, record.name)
    if instances:
        raise StillInUse("Project", record.display_name, instances)
    with suppress(NotFound):  # then only its row is left
        await kubernetes.delete(Project, record.name)
    await tenants.remove_project(db, record.name)


async def _make(kubernetes: Kubernetes, project: Project) -> bool:
    """False where the name is taken, as a Project's or as a namespace that is somebody else's."""
    name = project.metadata.name
    try:
        await kubernetes.request("GET", f"/api/v1/namespaces/{name}")
    except NotFound:
        pass
    else:
        return False
    try:
        await kubernetes.create(Project, project.manifest())
    except AlreadyExists:
        return False
    return True


async def _ensure_namespace(kubernetes: Kubernetes, project: Project) -> None:
    """Made here, and not left to the mirror: the next request may put an instance into it."""
    metadata = {"name": project.namespace, "labels": project.namespace_labels}
    try:
        await kubernetes.request("POST", "/api/v1/namespaces", {"metadata": metadata})
    except AlreadyExists:
        return


async def _recorded(db: Database, name: str) -> ProjectRecord:
    record = await tenants.get_project(db, name)
    if record is None:
        raise Conflict(f"Project {name} was deleted at the same time.")
    return record


def _first_name(display_name: str) -> str:
    base = slug(display_name, "project")
    return f"project-{base}"[:57].rstrip("-") if base == "default" or base.startswith(RESERVED) else base
