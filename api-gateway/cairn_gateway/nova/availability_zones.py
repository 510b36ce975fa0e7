"""/os-availability-zone: the zones that aggregates make, and for administrators what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import services_known
from cairn_gateway.nova.microversions import UNKNOWN_QUERIES_REFUSED
from cairn_gateway.nova.moments import row_moment
from cairn_gateway.nova.queries import refuse_unknown
from cairn_gateway.nova.services_known import KnownService

RULE = "os_compute_api:os-availability-zone:"


async def index(call: Call) -> Answer:
    """List the availability zones: available is one that has an enabled host."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    available, unavailable = zones(await services_known.compute_services(call.services))
    shown = [_zone(name, True) for name in available] + [_zone(name, False) for name in unavailable]
    return Answer({"availabilityZoneInfo": shown})


async def detail(call: Call) -> Answer:
    """List the availability zones with their hosts and services, the control plane's zone too."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    found = await services_known.known_services(call.services)
    available, unavailable = zones(found)
    shown = [_zone(name, True, _hosts(found, name)) for name in available]
    return Answer({"availabilityZoneInfo": shown + [_zone(name, False) for name in unavailable]})


def zones(services: Iterable[KnownService]) -> tuple[list[str], list[str]]:
    """The zones that have an enabled service, and those that have disabled ones only."""
    everything = list(services)
    available = {service.zone for service in everything if not service.disabled}
    return sorted(available), sorted({service.zone for service in everything} - available)


def _zone(name: str, available: bool, hosts: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}


def _hosts(services: Iterable[KnownService], zone: str) -> dict[str, dict[str, Any]]:
    """The enabled services of the zone by host and binary."""
    found: dict[str, dict[str, Any]] = {}
    for service in services:
        if service.zone == zone and not service.disabled:
            found.setdefault(service.host, {})[service.binary] = {
                "available": service.up,
                "active": True,
                "updated_at": row_moment(service.updated_at),
            }
    return found


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-availability-zone", index, RULE + "list"),
    Route("GET", "/os-availability-zone/detail", detail, RULE + "detail"),
)
