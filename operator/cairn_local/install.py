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

from cairn_runtime.ensure import ensure
from cairn_runtime.kubernetes import Kubernetes
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
        await asyncio.gather(*(ensure(kubernetes, _collection(body), body) for body in definitions))
        for body in objects:
            await ensure(kubernetes, _collection(body), body)
        await asyncio.gather(*(_established(kubernetes, body) for body in definitions))
    finally:
        await kubernetes.close()


def _collection(body: dict[str, Any]) -> str:
    return COLLECTIONS[body["kind"]].format(namespace=body["metadata"].get("namespace"))


async def _established(kubernetes: Kubernetes, body: dict[str, Any]) -> None:
    path = f"{_collection(body)}/{body['metadata']['name']}"
    async with asyncio.timeout(ESTABLISHED_SECONDS):
        while True:
            found = await kubernetes.request("GET", path)
            for condition in (found.get("status") or {}).get("conditions") or []:
                if condition["type"] == "Established" and condition["status"] == "True":
                    return
            await asyncio.sleep(0.05)
