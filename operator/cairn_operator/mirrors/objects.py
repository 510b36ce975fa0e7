"""Kubernetes' own objects that mirrors make: namespaces, service accounts, roles."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from cairn_runtime.ensure import ensure
from cairn_runtime.kubernetes import AlreadyExists, Kubernetes, NotFound

MANAGED = {"app.kubernetes.io/managed-by": "cairn"}
RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def ensure_managed(kubernetes: Kubernetes, collection: str, body: dict[str, Any]) -> None:
    """The object is there, says what `body` says, and is marked as Cairn's."""
    labels = {**MANAGED, **body["metadata"].get("labels", {})}
    await ensure(kubernetes, collection, {**body, "metadata": {**body["metadata"], "labels": labels}})


async def ensure_namespace(kubernetes: Kubernetes, name: str, labels: dict[str, str]) -> None:
    """The namespace; one that somebody else made is used as it is."""
    try:
        await kubernetes.request("GET", f"/api/v1/namespaces/{name}")
    except NotFound:
        metadata = {"name": name, "labels": {**MANAGED, **labels}}
        try:
            await kubernetes.request("POST", "/api/v1/namespaces", {"metadata": metadata})
        except AlreadyExists:
            return


async def remove_namespace(
    kubernetes: Kubernetes, name: str, labels: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Only one that Cairn made (for what `labels` say); somebody else's stays."""
    try:
        found = await kubernetes.request("GET", f"/api/v1/namespaces/{name}")
        marks = found["metadata"].get("labels", {})
        if all(marks.get(key) == value for key, value in {**MANAGED, **labels}.items()):
            await kubernetes.request("DELETE", f"/api/v1/namespaces/{name}")
    except NotFound:
        return


async def remove(kubernetes: Kubernetes, collection: str, name: str) -> None:
    """Remove the object, if it is there."""
    try:
        await kubernetes.request("DELETE", f"{collection}/{name}")
    except NotFound:
        return


def binding(name: str, kind: str, role: str, subjects: list[dict[str, str]]) -> dict[str, Any]:
    """A RoleBinding or ClusterRoleBinding body; `kind` is the role's: Role or ClusterRole."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": subjects,
    }
