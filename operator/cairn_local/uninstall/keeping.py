"""Keeps as manifests in a file what a new installation needs and the database has not in that form."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from cairn_crds import API_VERSION, KINDS, Guest, HostVolume, Instance, Migration, Resource, Snapshot
from cairn_local.uninstall.inventory import labelled, objects
from cairn_runtime.kubernetes import Kubernetes

Body = dict[str, Any]
MADE_AGAIN: tuple[type[Resource], ...] = (Instance, Guest, HostVolume, Migration, Snapshot)
"""Instances and what belongs to their hosts come back from the database; runs are over."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


async def keep(kubernetes: Kubernetes, path: Path) -> int:
    """Add to the file what is not in it yet: a removal that was broken off has kept the rest before. How many
    objects were added. Raises OSError."""
    known = {_identity(body) for body in _read(path)}
    found = [body for body in await _collect(kubernetes) if _identity(body) not in known]
    if found:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as file:
            for body in found:
                file.write("---\n" + yaml.safe_dump(body, sort_keys=False))
            file.flush()
            os.fsync(file.fileno())
    return len(found)


async def _collect(kubernetes: Kubernetes) -> list[Body]:
    collected = [
        _manifest(body, "v1", "Namespace") for body in await labelled(kubernetes, "/api/v1/namespaces")
    ]
    for kind in sorted(KINDS, key=lambda kind: kind.kind_info.scope == "Namespaced"):
        if kind not in MADE_AGAIN:
            bodies = await objects(kubernetes, kind) or ()
            collected.extend(_manifest(body, API_VERSION, kind.kind_info.kind) for body in bodies)
    return collected


def _manifest(body: Body, version: str, kind: str) -> Body:
    """What a person would have written."""
    metadata = {
        name: body["metadata"][name] for name in ("name", "namespace", "labels") if name in body["metadata"]
    }
    annotations = {
        name: text
        for name, text in (body["metadata"].get("annotations") or {}).items()
        if name != LAST_APPLIED
    }
    if annotations:
        metadata["annotations"] = annotations
    manifest = {"apiVersion": version, "kind": kind, "metadata": metadata}
    if kind != "Namespace" and "spec" in body:
        manifest["spec"] = body["spec"]
    return manifest


def _read(path: Path) -> Iterator[Body]:
    if path.exists():
        yield from (body for body in yaml.safe_load_all(path.read_text()) if body)


def _identity(body: Body) -> tuple[str, str, str]:
    return body["kind"], body["metadata"].get("namespace", ""), body["metadata"]["name"]
