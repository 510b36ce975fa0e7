"""Count what was written to the Kubernetes API, from the API server's own audit log.

Benchmarks and tests hold Cairn to its budget of writes per boot with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "verbs": ["get", "list", "watch"]},
        {"level": "Metadata"},
    ],
}
"""Writes only, without their bodies: reads outnumber them and would cost the API server time."""


@dataclass(frozen=True)
class AuditedWrite:
    """One write request that the API server answered."""

    verb: str
    """create, update, patch, delete, deletecollection"""
    group: str
    """API group, empty for the core group"""
    resource: str
    """plural; with its subresource after a slash (`instances/status`)"""
    namespace: str
    name: str
    user: str
    """`system:serviceaccount:<namespace>:<name>` for Cairn's own processes"""
    code: int
    """HTTP status of the answer"""
    time: str
    """when the request arrived: RFC 3339 with microseconds"""


def audited_writes(log: Path, offset: int = 0) -> Iterator[AuditedWrite]:
    """The writes logged from byte `offset` of `log` on (take `log.stat().st_size` to mark a moment)."""
    with log.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return  # still being written
            event = json.loads(line)
            target = event.get("objectRef", {})
            subresource = target.get("subresource")
            yield AuditedWrite(
                verb=event["verb"],
                group=target.get("apiGroup", ""),
                resource=target.get("resource", "") + (f"/{subresource}" if subresource else ""),
                namespace=target.get("namespace", ""),
                name=target.get("name", ""),
                user=event["user"].get("username", ""),
                code=event.get("responseStatus", {}).get("code", 0),
                time=event["requestReceivedTimestamp"],
            )
