"""A ComputeNode: the node's namespace, its agent's account and roles, its inventory in SQL.

The agent of a host may read the Guests of its own namespace and report on its own ComputeNode: with its
credentials nobody learns anything of another host.
"""

from __future__ import annotations

from cairn_crds import GROUP, ComputeNode
from cairn_crds.guest import node_namespace
from cairn_database import nodes
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_operator.mirrors.objects import (
    RBAC,
    binding,
    ensure_managed,
    ensure_namespace,
    remove,
    remove_namespace,
)
from cairn_runtime.kubernetes import Kubernetes
from cairn_runtime.peers import ENDPOINTS_NAMESPACE, SECRETS

AGENT = "cairn-agent"
"""The agent's service account, in the node's namespace."""


async def take_in_compute_node(context: MirrorContext, node: ComputeNode) -> Mirrored:
    """Room and rights for the agent (looked at once by every process), then the row."""
    name = node.metadata.name
    if name not in context.enrolled:
        await _enrol(context, name)
        context.enrolled.add(name)
    await nodes.upsert_compute_node(context.db, name, node.spec, node.status, uid=node.metadata.uid or None)
    return Mirrored()


_READ_AND_DELETE = ["get", "list", "watch", "delete"]


async def _enrol(context: MirrorContext, name: str) -> None:
    kubernetes, namespace = context.kubernetes, node_namespace(name)
    subject = [{"kind": "ServiceAccount", "name": AGENT, "namespace": namespace}]
    await ensure_namespace(kubernetes, namespace, {f"{GROUP}/node": name})
    await ensure_managed(
        kubernetes, f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": AGENT}}
    )
    guests = [
        {"apiGroups": [GROUP], "resources": ["guests", "hostvolumes"], "verbs": _READ_AND_DELETE},
        {"apiGroups": [GROUP], "resources": ["guests/status", "hostvolumes/status"], "verbs": ["patch"]},
    ]
    roles = f"{RBAC}/namespaces/{namespace}"
    await ensure_managed(kubernetes, f"{roles}/roles", {"metadata": {"name": AGENT}, "rules": guests})
    await ensure_managed(kubernetes, f"{roles}/rolebindings", binding(AGENT, "Role", AGENT, subject))
    own_node = [
        {"apiGroups": [GROUP], "resources": [resource], "resourceNames": [name], "verbs": [verb]}
        for resource, verb in (("computenodes", "get"), ("computenodes/status", "patch"))
    ]
    await _let_tell_endpoint(kubernetes, name, subject)
    cluster_role = _cluster_role(name)
    await ensure_managed(
        kubernetes, f"{RBAC}/clusterroles", {"metadata": {"name": cluster_role}, "rules": own_node}
    )
    await ensure_managed(
        kubernetes,
        f"{RBAC}/clusterrolebindings",
        binding(cluster_role, "ClusterRole", cluster_role, subject),
    )


async def _let_tell_endpoint(kubernetes: Kubernetes, name: str, subject: list[dict[str, str]]) -> None:
    """The agent may write the one Secret that says where it is reached."""
    roles = f"{RBAC}/namespaces/{ENDPOINTS_NAMESPACE}"
    verbs = ["get", "create", "patch"]
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": verbs}]
    role = _endpoint_role(name)
    await ensure_managed(kubernetes, f"{roles}/roles", {"metadata": {"name": role}, "rules": rules})
    await ensure_managed(kubernetes, f"{roles}/rolebindings", binding(role, "Role", role, subject))


def _endpoint_role(node: str) -> str:
    return f"cairn-agent-{node}"


def _cluster_role(node: str) -> str:
    return f"cairn-agent-{node}"


async def remove_compute_node(context: MirrorContext, _namespace: str, name: str) -> None:
    """Row, then rights and namespace. Raises StillInUse while instances are on it."""
    await nodes.remove_compute_node(context.db, name)
    context.enrolled.discard(name)
    endpoints = f"{RBAC}/namespaces/{ENDPOINTS_NAMESPACE}"
    await remove(context.kubernetes, f"{endpoints}/rolebindings", _endpoint_role(name))
    await remove(context.kubernetes, f"{endpoints}/roles", _endpoint_role(name))
    await remove(context.kubernetes, SECRETS, name)
    await remove(context.kubernetes, f"{RBAC}/clusterrolebindings", _cluster_role(name))
    await remove(context.kubernetes, f"{RBAC}/clusterroles", _cluster_role(name))
    await remove_namespace(context.kubernetes, node_namespace(name))
