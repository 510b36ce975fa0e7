"""What of Cairn is in the cluster, looked up anew each time: a broken off removal goes on from there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cairn_crds import GROUP, KINDS, ComputeNode, Instance, Resource
from cairn_runtime.kubernetes import ApiServerUnavailable, Kubernetes, NotFound

Body = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MANAGED = "app.kubernetes.io/managed-by=cairn"
"""What the conductor has made for projects and hosts."""
PART = "app.kubernetes.io/part-of=cairn"
"""What the Helm chart has made."""
FENCE_MARGIN_SECONDS = 60.0


@dataclass
class Inventory:
    """Counts, for people to decide by."""

    objects: dict[str, int] = field(default_factory=dict)
    """By plural of the kind; without those whose CRD is gone."""
    guests: Counter[str] = field(default_factory=Counter)
    """Instances by host: whose machines run on."""
    namespaces: list[str] = field(default_factory=list)
    """That Cairn has made."""
    workloads: list[str] = field(default_factory=list)
    """The chart's, as URL paths."""
    fencing: list[str] = field(default_factory=list)
    """Hosts that power their guests off once they are not heard by the API server."""


async def take(kubernetes: Kubernetes) -> Inventory:
    """Look at everything."""
    found = Inventory()
    for kind in KINDS:
        bodies = await objects(kubernetes, kind)
        if bodies is None:
            continue
        found.objects[kind.kind_info.plural] = len(bodies)
        if kind is Instance:
            found.guests.update(
                body["status"]["host"] for body in bodies if body.get("status", {}).get("host")
            )
        if kind is ComputeNode:
            found.fencing = [body["metadata"]["name"] for body in bodies if fences_itself(body)]
    found.namespaces = [body["metadata"]["name"] for body in await labelled(kubernetes, "/api/v1/namespaces")]
    for plural in ("deployments", "daemonsets"):
        for body in await labelled(kubernetes, f"/apis/apps/v1/{plural}", PART):
            metadata = body["metadata"]
            path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"
            found.workloads.append(path)
    return found


async def objects(kubernetes: Kubernetes, kind: type[Resource]) -> list[Body] | None:
    """All of one kind, as they are now; None where the kind itself is gone, or as good as gone."""
    try:
        bodies, _version = await kubernetes.list_all(kind, fresh=True)
    except (NotFound, ApiServerUnavailable):
        if await _is_served(kubernetes, kind):
            raise
        return None
    return bodies


async def _is_served(kubernetes: Kubernetes, kind: type[Resource]) -> bool:
    """Whether it should be: an API server that has just started serves no kinds either."""
    try:
        found = await kubernetes.request("GET", f"{CRDS}/{kind.kind_info.plural}.{GROUP}")
    except NotFound:
        return False
    return "deletionTimestamp" not in found["metadata"]


async def labelled(kubernetes: Kubernetes, path: str, selector: str = MANAGED) -> list[Body]:
    """The objects of a collection that carry the label."""
    answer = await kubernetes.request("GET", path, params={"labelSelector": selector})
    return answer.get("items") or []


def fences_itself(node: Body) -> bool:
    """Whether the host's agent would power its guests off for want of the API server: it promises to, and has
    been heard of lately enough not to have done so already."""
    status = node.get("status", {})
    seconds, heartbeat = status.get("selfFenceSeconds"), status.get("heartbeatTime")
    if not seconds or not heartbeat:
        return False
    silent = (datetime.now(UTC) - datetime.fromisoformat(heartbeat)).total_seconds()
    return bool(silent < seconds + FENCE_MARGIN_SECONDS)


def own_finalizers(body: Body) -> list[str]:
    """Those that Cairn has set."""
    finalizers: list[str] = body["metadata"].get("finalizers") or []
    return [name for name in finalizers if name.startswith(f"{GROUP}/")]
