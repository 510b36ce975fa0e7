"""A Project: its namespace, its members' roles there, its quotas in SQL."""

from __future__ import annotations

from cairn_crds import Project
from cairn_crds.project import PROJECT_LABEL, MemberRole
from cairn_database import ProjectTaken, tenants
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_operator.mirrors.objects import RBAC, binding, ensure_managed, ensure_namespace, remove_namespace
from cairn_operator.mirrors.plain import immutable


async def take_in_project(context: MirrorContext, project: Project) -> Mirrored:
    """Namespace and role bindings first, the row last: only then can instances be registered."""
    name, namespace = project.metadata.name, project.namespace
    other = await tenants.project_of_namespace(context.db, namespace)
    if other is not None and other.name != name:
        message = (
            f"Namespace '{namespace}' belongs to project '{other.name}' already. "
            "Delete this Project and make it again with another spec.namespace."
        )
        return Mirrored(False, "NamespaceTaken", message)
    recorded = await tenants.get_project(context.db, name)
    if recorded is not None and recorded.namespace != namespace:
        return immutable("spec.namespace", recorded.namespace)
    try:
        await tenants.refuse_taken(context.db, project.spec, but=name)
    except ProjectTaken as error:
        return Mirrored(False, "NameTaken", str(error))
    await ensure_namespace(context.kubernetes, namespace, {PROJECT_LABEL: name})
    for role in MemberRole:
        subjects = [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": str(member.kind), "name": member.name}
            for member in project.spec.members
            if member.role is role
        ]
        body = binding(f"cairn-project-{role}", "ClusterRole", f"cairn-project-{role}", subjects)
        await ensure_managed(context.kubernetes, f"{RBAC}/namespaces/{namespace}/rolebindings", body)
    try:
        metadata = project.metadata
        await tenants.upsert_project(
            context.db, name, project.spec, uid=metadata.uid, generation=metadata.generation
        )
    except ProjectTaken as error:
        return Mirrored(False, "NameTaken", str(error))
    return Mirrored(fields={"namespace": namespace})


async def remove_project(context: MirrorContext, _namespace: str, name: str) -> None:
    """Row, then namespace. Raises StillInUse while it has instances."""
    # One that never got a row (its name was taken) may have got a namespace all the same.
    namespace = await tenants.namespace_of(context.db, name) or name
    await tenants.remove_project(context.db, name)
    await remove_namespace(context.kubernetes, namespace, {PROJECT_LABEL: name})
