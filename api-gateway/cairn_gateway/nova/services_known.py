"""Nova's services as Cairn has them: a `nova-compute` per ComputeNode, and the control plane's.

Compute services stand in SQL. Of the control plane, those are known that hold a Lease: the conductors. Others
(schedulers may write nothing, Leases neither) are left out, because nobody could say whether they run. A
host's heartbeat reaches SQL only when it says something new, so `updated_at` of a host that is up is when it
last changed.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from cairn_database import aggregates, nodes
from cairn_database.aggregates import DEFAULT_ZONE
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.services import Services
from cairn_runtime.kubernetes import ApiServerUnavailable

log = structlog.get_logger()
COMPUTE: Final = "nova-compute"
INTERNAL_ZONE: Final = "internal"
"""Where the control plane is (Nova: `internal_service_availability_zone`)."""
BINARIES: Final = {"cairn-conductor": "nova-conductor"}
"""By the component that a Lease is labelled with."""
COMPONENT_LABEL: Final = "compute.cairn.dev/component"
SILENT_AFTER: Final = timedelta(seconds=60)
"""A Lease that was not renewed for this long is nobody's (Nova: `service_down_time`). Clocks of machines
differ a little; a conductor renews every few seconds."""
NAMESPACE: Final = uuid.UUID("5c1c49a6-62a9-5d1b-8b51-0ee26b3c4f0e")
"""What the control services' UUIDs are made from; their Leases come and go with the processes."""
CONTROL_NUMBERS: Final = 1 << 30
"""Control services' numbers start here, out of the way of the hosts'."""


@dataclass(frozen=True)
class KnownService:
    """One line of `GET /os-services`."""

    binary: str
    host: str
    id: str
    """A UUID, for versions since 2.53."""
    number: int
    """For those before."""
    zone: str
    up: bool
    updated_at: datetime | None
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False

    @property
    def topic(self) -> str:
        """What /os-hosts calls the kind: `compute`, `conductor`."""
        return self.binary.removeprefix("nova-")


def compute_service(node: ComputeNodeRecord, zones: dict[str, str]) -> KnownService:
    """The service of one host."""
    return KnownService(
        binary=COMPUTE,
        host=node.name,
        id=node.id,
        number=node.number,
        zone=zones.get(node.name, DEFAULT_ZONE),
        up=node.alive,
        updated_at=node.updated_at,
        disabled=node.disabled,
        disabled_reason=node.disabled_reason,
        forced_down=node.spec.forced_down,
    )


def control_service(lease: dict[str, Any], now: datetime) -> KnownService | None:
    """The process that holds the Lease; None for a Lease that is none of ours."""
    component = lease["metadata"].get("labels", {}).get(COMPONENT_LABEL, "")
    spec = lease.get("spec", {})
    binary, host = BINARIES.get(component), spec.get("holderIdentity")
    if binary is None or not host:
        return None
    renewed = _moment(spec.get("renewTime"))
    name = f"{binary}/{host}"
    return KnownService(
        binary=binary,
        host=host,
        id=str(uuid.uuid5(NAMESPACE, name)),
        number=CONTROL_NUMBERS | (zlib.crc32(name.encode()) & (CONTROL_NUMBERS - 1)),
        zone=INTERNAL_ZONE,
        up=renewed is not None and now - renewed < SILENT_AFTER,
        updated_at=renewed,
    )


def _moment(text: str | None) -> datetime | None:
    return None if not text else datetime.fromisoformat(text.replace("Z", "+00:00"))


async def compute_services(services: Services) -> list[KnownService]:
    """The hosts' services, oldest first."""
    zones = await aggregates.host_zones(services.db)
    found = await nodes.list_compute_nodes(services.db)
    return [compute_service(node, zones) for node in sorted(found, key=lambda node: node.number)]


async def control_services(services: Services) -> list[KnownService]:
    """The control plane's; none while the API server does not answer, because then nobody knows."""
    kubernetes = services.cluster.kubernetes
    if not kubernetes.is_open:
        return []
    namespace = services.settings.gateway.system_namespace
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    try:
        leases, _version = await kubernetes.list_path(path)
    except ApiServerUnavailable as error:
        log.warning("services.leases_unknown", error=str(error))
        return []
    now = datetime.now(UTC)
    found = [control_service(lease, now) for lease in leases]
    return sorted((item for item in found if item is not None), key=lambda item: (item.binary, item.host))


async def known_services(services: Services) -> list[KnownService]:
    """All of them: the control plane first, as in a Nova that was set up in the usual order."""
    return [*await control_services(services), *await compute_services(services)]
