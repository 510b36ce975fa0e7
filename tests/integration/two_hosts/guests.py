"""Guests of a whole Cairn on two hosts, and what is asked of them."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from cairn_crds import Migration
from cairn_database.asking import Asked
from integration.cloud.cairn import Tenant
from integration.two_hosts.cloud import TwoHosts

_numbers = itertools.count()


def asked() -> Asked:
    return Asked(request_id=f"req-{uuid.uuid4()}", overrides_lock=True)


def boot(cloud: TwoHosts, tenant: Tenant, name: str = "vm", node: str = "h1") -> str:
    """A guest that counts."""
    instance_id = tenant.boot(name, host=node)
    cloud.counting(node, instance_id, 3)
    return instance_id


def migrate(cloud: TwoHosts, tenant: Tenant, kind: str, name: str = "vm", **spec: Any) -> str:
    """A Migration of it; its name."""
    body = {
        "metadata": {"name": f"{name}-{next(_numbers)}", "namespace": tenant.namespace},
        "spec": {"instance": name, "type": kind, **spec},
    }
    made: str = cloud.cairn.api.create(Migration, body)["metadata"]["name"]
    return made


def until_phase(cloud: TwoHosts, tenant: Tenant, name: str, phase: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        body = cloud.cairn.api.get(Migration, name, tenant.namespace)
        status = body.get("status", {}) if body else {}
        assert status.get("phase") != "Failed" or phase == "Failed", status
        return body if status.get("phase") == phase else None

    found = cloud.cairn.wait(f"migration {name} {phase}", look, 120)
    assert found is not None
    return found
