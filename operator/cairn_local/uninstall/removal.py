"""The steps of a removal, in their order. Each finds out by itself what there is left to do.

First the controllers go and their rights with them: from then on nobody undoes what follows, and nobody takes
the removal of an object for a wish of its owner. Nothing is asked of hosts: a Guest that is deleted touches
no machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from cairn_crds import GROUP, KINDS
from cairn_local.install import COLLECTIONS
from cairn_local.uninstall.inventory import CRDS, MANAGED, PART, RBAC, labelled, objects, own_finalizers, take
from cairn_operator.conductor.shards import LABEL
from cairn_runtime.kubernetes import MERGE_PATCH, ApiServerUnavailable, Conflict, Kubernetes, NotFound

Body = dict[str, Any]
Say = Callable[[str], None]
AT_A_TIME = 32
"""Finalizers released at the same time."""
LOOK_SECONDS = 0.5
WAIT_SECONDS = 120.0
"""For a step to show that it is done."""
BINDINGS = ("clusterrolebindings", "rolebindings")
ROLES = ("clusterroles", "roles")


class StillThere(Exception):
    """A step is not done, and the message says what is in its way."""


async def stop_controllers(kubernetes: Kubernetes, namespace: str, manifest: Path, say: Say) -> None:
    """The chart's workloads and all of Cairn's rights go; returns once no replica renews its Lease."""
    for path in (await take(kubernetes)).workloads:
        await _delete(kubernetes, path)
        say(f"deleted {path.rpartition('/')[2]} ({path.split('/')[-2]})")
    await _remove_rights(kubernetes, manifest, namespace, BINDINGS)
    say("took the controllers' and agents' rights away")
    await _until_silent(kubernetes, namespace)


async def _remove_rights(
    kubernetes: Kubernetes, manifest: Path, namespace: str, plurals: tuple[str, ...]
) -> None:
    for body in _installed(manifest):
        path = COLLECTIONS[body["kind"]].format(namespace=_namespace(body, namespace))
        if path.rpartition("/")[2] in plurals:
            await _delete(kubernetes, f"{path}/{body['metadata']['name']}")
    for plural in plurals:
        for selector in (MANAGED, PART):
            for body in await labelled(kubernetes, f"{RBAC}/{plural}", selector):
                metadata = body["metadata"]
                where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
                await _delete(kubernetes, f"{RBAC}{where}/{plural}/{metadata['name']}")


async def _until_silent(kubernetes: Kubernetes, namespace: str) -> None:
    """No Lease has changed for as long as the longest of them holds."""
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    loop = asyncio.get_running_loop()
    deadline, since, before = loop.time() + WAIT_SECONDS, loop.time(), None
    while True:
        leases = [
            (
                body["metadata"]["name"],
                body["spec"].get("renewTime"),
                body["spec"].get("leaseDurationSeconds", 5),
            )
            for body in await labelled(kubernetes, path, LABEL)
        ]
        if leases != before:
            before, since = leases, loop.time()
        if not leases or loop.time() - since > max(seconds for _name, _at, seconds in leases):
            return
        if loop.time() > deadline:
            names = ", ".join(name for name, _at, _seconds in leases)
            raise StillThere(f"these still run: {names}. Stop them, and begin again.")
        await asyncio.sleep(LOOK_SECONDS)


async def remove_kinds(kubernetes: Kubernetes, say: Say) -> None:
    """Cairn's finalizers, and then its kinds with all of their objects."""
    released = await _release(kubernetes)
    say(f"released {released} objects")
    definitions = [f"{CRDS}/{kind.kind_info.plural}.{GROUP}" for kind in KINDS]
    for path in definitions:
        await _delete(kubernetes, path)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while [path for path in definitions if await _is_there(kubernetes, path)]:
        if loop.time() > deadline:
            raise StillThere(f"the kinds do not go: {await _held(kubernetes)}")
        await asyncio.sleep(LOOK_SECONDS)
        await _release(kubernetes)  # of what came up in between
    say("removed the kinds")


async def _release(kubernetes: Kubernetes) -> int:
    """Take Cairn's finalizers off everything; how many objects had some. Those of others stay."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def release(path: str, body: Body) -> None:
        rest = [name for name in body["metadata"]["finalizers"] if name not in own_finalizers(body)]
        version = body["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": rest or None, "resourceVersion": version}}
        async with gate:
            try:
                await kubernetes.request("PATCH", path, patch, form=MERGE_PATCH)
            except (NotFound, Conflict, ApiServerUnavailable):
                return  # looked at again while the kinds go

    found = [item async for item in _finalized(kubernetes) if own_finalizers(item[1])]
    await asyncio.gather(*(release(path, body) for path, body in found))
    return len(found)


async def _finalized(kubernetes: Kubernetes) -> AsyncIterator[tuple[str, Body]]:
    for kind in KINDS:
        for body in await objects(kubernetes, kind) or ():
            metadata = body["metadata"]
            if metadata.get("finalizers"):
                yield kind.kind_info.path(metadata.get("namespace"), metadata["name"]), body


async def _held(kubernetes: Kubernetes) -> str:
    lines = [
        f"{path.partition(f'{GROUP}/')[2]} is held by {', '.join(body['metadata']['finalizers'])}"
        async for path, body in _finalized(kubernetes)
    ]
    return "; ".join(lines[:10]) or "no object is in their way; does the API server work?"


async def remove_rest(kubernetes: Kubernetes, namespace: str, manifest: Path, say: Say) -> None:
    """Roles, the namespaces that Cairn has made, and its own."""
    await _remove_rights(kubernetes, manifest, namespace, ROLES)
    names = [body["metadata"]["name"] for body in await labelled(kubernetes, "/api/v1/namespaces")]
    names += [body["metadata"]["name"] for body in _installed(manifest) if body["kind"] == "Namespace"]
    paths = [f"/api/v1/namespaces/{name}" for name in dict.fromkeys(names)]
    for path in paths:
        await _delete(kubernetes, path)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while left := [path for path in paths if await _is_there(kubernetes, path)]:
        if loop.time() > deadline:
            stuck = ", ".join(path.rpartition("/")[2] for path in left)
            raise StillThere(f"these namespaces do not go: {stuck}. `kubectl describe namespace` says why.")
        await asyncio.sleep(LOOK_SECONDS)
    say(f"removed the namespaces: {', '.join(path.rpartition('/')[2] for path in paths)}")


def _installed(manifest: Path) -> list[Body]:
    """What an installation puts into the cluster beside the kinds."""
    return [body for body in yaml.safe_load_all(manifest.read_text()) if body]


def _namespace(body: Body, system: str) -> str | None:
    named: str | None = body["metadata"].get("namespace")
    return system if named == "cairn-system" else named


async def _delete(kubernetes: Kubernetes, path: str) -> None:
    try:
        await kubernetes.request("DELETE", path)
    except (NotFound, Conflict):
        return  # gone, or (a namespace) going


async def _is_there(kubernetes: Kubernetes, path: str) -> bool:
    try:
        await kubernetes.request("GET", path)
    except NotFound:
        return False
    return True
