"""`/v3/services`, `/v3/endpoints`, `/v3/regions`: the catalog, to be read. It follows from the settings."""

from __future__ import annotations

from typing import Any

from cairn_database.identity.errors import IdentityNotFound
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.identity.catalog import INTERFACES, SERVICES, Service, region
from cairn_gateway.identity.routing import collection, enforce, filters, readable, url


def _service(call: Call, service: Service) -> dict[str, Any]:
    return {
        "id": service.id,
        "type": service.type,
        "name": service.name,
        "description": "",
        "enabled": True,
        "links": {"self": url(call, "services", service.id)},
    }


def _endpoints(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "id": service.endpoint_id(interface),
            "interface": interface,
            "service_id": service.id,
            "region": region(call),
            "region_id": region(call),
            "enabled": True,
            "url": call.base_url + service.path,
            "links": {"self": url(call, "endpoints", service.endpoint_id(interface))},
        }
        for service in SERVICES
        for interface in INTERFACES
    ]


def _region(call: Call) -> dict[str, Any]:
    name = region(call)
    return {
        "id": name,
        "description": "",
        "parent_region_id": None,
        "links": {"self": url(call, "regions", name)},
    }


def _matching(items: list[dict[str, Any]], wanted: dict[str, str]) -> list[dict[str, Any]]:
    return [item for item in items if all(item[name] == value for name, value in wanted.items())]


def _one(items: list[dict[str, Any]], kind: str, key: str) -> Answer:
    for item in items:
        if item["id"] == key:
            return Answer({kind: item})
    raise IdentityNotFound(kind, key)


async def list_services(call: Call) -> Answer:
    """The services."""
    enforce(call)
    found = [_service(call, service) for service in SERVICES]
    return collection(call, "services", _matching(found, filters(call, "type", "name")))


async def show_service(call: Call) -> Answer:
    """A service."""
    enforce(call)
    return _one([_service(call, item) for item in SERVICES], "service", call.params["service_id"])


async def list_endpoints(call: Call) -> Answer:
    """The endpoints of the services."""
    enforce(call)
    wanted = filters(call, "interface", "service_id", "region_id")
    return collection(call, "endpoints", _matching(_endpoints(call), wanted))


async def show_endpoint(call: Call) -> Answer:
    """An endpoint."""
    enforce(call)
    return _one(_endpoints(call), "endpoint", call.params["endpoint_id"])


async def list_regions(call: Call) -> Answer:
    """The one region."""
    enforce(call)
    return collection(call, "regions", [_region(call)])


async def show_region(call: Call) -> Answer:
    """The one region."""
    enforce(call)
    return _one([_region(call)], "region", call.params["region_id"])


ROUTES = (
    *readable("/services", list_services, "list_services"),
    *readable("/services/{service_id}", show_service, "get_service"),
    *readable("/endpoints", list_endpoints, "list_endpoints"),
    *readable("/endpoints/{endpoint_id}", show_endpoint, "get_endpoint"),
    *readable("/regions", list_regions, "list_regions"),
    *readable("/regions/{region_id}", show_region, "get_region"),
)
