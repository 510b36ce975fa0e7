"""Objects that should be there and say certain things: made where missing, patched where they differ.

For Kubernetes' own kinds (namespaces, roles, CRDs), which Cairn has no models of. What an object says beyond
what is wanted is left alone.
"""

from __future__ import annotations

from typing import Any

from cairn_runtime.kubernetes import MERGE_PATCH, AlreadyExists, Kubernetes, NotFound

DROPPED_BY_OLD_SERVERS = "x-kubernetes-validations"
"""A CRD's CEL rules, unknown before Kubernetes 1.25: their absence is no difference."""


async def ensure(kubernetes: Kubernetes, collection: str, body: dict[str, Any]) -> None:
    """The object `body` in `collection` (a URL path) is there and says what `body` says."""
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
    """Whether everything `wanted` says is so in `found`."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(
            contains(found[name], value) if name in found else name == DROPPED_BY_OLD_SERVERS
            for name, value in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(contains, found, wanted))
    return bool(found == wanted)
