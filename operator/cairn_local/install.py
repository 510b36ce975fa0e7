"""Puts manifests into a cluster: what differs is written, what is so already is left alone.

kubectl would do, but takes seconds to find that nothing has changed, and refuses CRDs whose CEL rules an old
API server does not know (that server drops them).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from cairn_runtime.kubernetes import MERGE_PATCH, AlreadyExists, Kubernetes, NotFound
from cairn_runtime.settings import KubernetesSettings

ESTABLISHED_SECONDS = 60.0
COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
}
UNKNOWN_TO_OLD_SERVERS = "x-kubernetes-validations"


def install_manifests(kubeconfig: Path, crds: Path, others: Iterable[Path]) -> None:
    """Put the CRDs of folder `crds` and the objects of the files `others` into the cluster."""
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(crds.glob("*.yaml"))]
    objects = [body for path in others for body in yaml.safe_load_all(path.read_text())]
    asyncio.run(_install(kubeconfig, definitions, objects))


async def _install(
    kubeconfig: Path, definitions: list[dict[str, Any]], objects: list[dict[str, Any]]
) -> None:
    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=kubeconfig, timeout_seconds=60))
    await kubernetes.open()
    try:
        await asyncio.gather(*(ensure(kubernetes, body) for body in definitions))
        for body in objects:
            await ensure(kubernetes, body)
        await asyncio.gather(*(_established(kubernetes, body) for body in definitions))
    finally:
        await kubernetes.close()


async def ensure(kubernetes: Kubernetes, body: dict[str, Any]) -> None:
    """Make the object, or bring what `body` says of it into line."""
    collection = COLLECTIONS[body["kind"]].format(namespace=body["metadata"].get("namespace"))
    path = f"{collection}/{body['metadata']['name']}"
    try:
        found = await kubernetes.request("GET", path)
    except NotFound:
        try:
            await kubernetes.request("POST", collection, body)
            return
        except AlreadyExists:
            found = await kubernetes.request("GET", path)
    if not contains(found, body):
        await kubernetes.request("PATCH", path, body, form=MERGE_PATCH)


def contains(found: Any, wanted: Any) -> bool:
    """Whether everything `wanted` says is so in `found`; what the server added does not matter."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(
            (name == UNKNOWN_TO_OLD_SERVERS and name not in found)
            or (name in found and contains(found[name], value))
            for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(contains, found, wanted))
    return bool(found == wanted)


async def _established(kubernetes: Kubernetes, body: dict[str, Any]) -> None:
    path = f"{COLLECTIONS[body['kind']]}/{body['metadata']['name']}"
    async with asyncio.timeout(ESTABLISHED_SECONDS):
        while True:
            found = await kubernetes.request("GET", path)
            for condition in found.get("status", {}).get("conditions", []):
                if condition["type"] == "Established" and condition["status"] == "True":
                    return
            await asyncio.sleep(0.05)
