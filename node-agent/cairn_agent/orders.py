"""Whether what a Guest or a HostVolume says is still to be done."""

from __future__ import annotations

from typing import TypeVar

from cairn_crds import Resource
from cairn_runtime.kubernetes import Kubernetes, NotFound
from cairn_runtime.store import Store

Order = TypeVar("Order", bound=Resource)


async def is_current(kubernetes: Kubernetes, seen: Store[Order], order: Order) -> bool:
    """Whether the API server itself still says so: a watch may be behind, and what is made for an order that
    has gone would belong to nobody. `seen` takes in what it says. Raises KubernetesError."""
    metadata = order.metadata
    try:
        body = await kubernetes.get(type(order), metadata.name, metadata.namespace)
    except NotFound:
        return False
    seen.put(body)
    now = body["metadata"]
    return bool(now["uid"] == metadata.uid and now["generation"] == metadata.generation)
