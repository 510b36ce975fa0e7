"""The gateway's side of the Kubernetes API.

What SQL is the authority on (instances) is committed first; what reaches the API server afterwards only
makes things go faster, because the conductor's sweep does the same. What resources are the authority on
(flavors, key pairs …) is written to the API server first and then, by the same functions as the conductor's
mirrors use, to SQL, so that the next read sees it at either gateway.
"""

from __future__ import annotations

from typing import Any

import structlog

from cairn_crds import Instance, Resource
from cairn_runtime.kubernetes import (
    ApiServerUnavailable,
    Body,
    Kubernetes,
    KubernetesError,
    NotFound,
)

log = structlog.get_logger()
REQUEST_ANNOTATION = "compute.cairn.dev/request"
"""On an Instance: the id of the last API request that was about it. It wakes the
conductor; nothing reads it."""


class Cluster:
    """Resources, as handlers need them."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.kubernetes = kubernetes

    async def require(self) -> None:
        """Raises ApiServerUnavailable when the API server does not answer: asked before something is accepted
        that needs it."""
        await self.kubernetes.version()

    async def create(self, resource: Resource) -> Body:
        """Make it. Raises AlreadyExists, Invalid, ApiServerUnavailable."""
        return await self.kubernetes.create(type(resource), resource.manifest())

    async def patch(self, kind: type[Resource], name: str, patch: Body, namespace: str | None = None) -> Body:
        """A merge patch. Raises NotFound, Invalid, ApiServerUnavailable."""
        return await self.kubernetes.patch(kind, name, namespace, patch)

    async def delete(self, kind: type[Resource], name: str, namespace: str | None = None) -> bool:
        """Ask for its deletion; False when it is not there."""
        try:
            await self.kubernetes.delete(kind, name, namespace)
        except NotFound:
            return False
        return True

    async def get(self, kind: type[Resource], name: str, namespace: str | None = None) -> Any:
        """The object as its model. Raises NotFound."""
        return kind.from_api(await self.kubernetes.get(kind, name, namespace))

    async def hint(self, namespace: str, name: str, request_id: str) -> None:
        """SQL says something new of an instance: let the conductor look at once. Failing is not an error."""
        patch = {"metadata": {"annotations": {REQUEST_ANNOTATION: request_id}}}
        try:
            await self.kubernetes.patch(Instance, name, namespace, patch)
        except (KubernetesError, ApiServerUnavailable) as error:
            log.warning("cluster.hint_failed", namespace=namespace, name=name, error=str(error))

    async def delete_instance(self, namespace: str, name: str, uid: str | None) -> None:
        """The row is being deleted: ask for its resource's deletion, which wakes the conductor. Failing
        is not an error. `uid`: of that very resource; a row that has none yet has one of its own name."""
        try:
            await self.kubernetes.delete(Instance, name, namespace, uid=uid)
        except KubernetesError as error:
            log.warning("cluster.delete_later", namespace=namespace, name=name, error=str(error))
