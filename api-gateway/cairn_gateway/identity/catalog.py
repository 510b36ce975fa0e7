"""The services that a token's owner finds: identity, compute, images and networks of this gateway."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from cairn_gateway.http.call import Call

PREFIX: Final = "/identity"
V3: Final = "/v3"
INTERFACES: Final = ("public", "internal", "admin")
SPACE: Final = uuid.UUID("6b5f1f6c-9a43-4c5b-8a54-0d5e5d6f7a10")


@dataclass(frozen=True)
class Service:
    """One API."""

    type: str
    name: str
    """As in OpenStack's own catalogs: people look for it."""
    path: str
    """Below the gateway's address."""

    @property
    def id(self) -> str:
        """The same at every gateway."""
        return uuid.uuid5(SPACE, self.type).hex

    def endpoint_id(self, interface: str) -> str:
        """The same at every gateway."""
        return uuid.uuid5(SPACE, f"{self.type} {interface}").hex


SERVICES: Final = (
    Service("identity", "keystone", PREFIX + V3),
    Service("compute", "nova", "/compute/v2.1"),
    Service("image", "glance", "/image"),
    Service("network", "neutron", "/network"),
)


def catalog(call: Call) -> list[dict[str, Any]]:
    """As a token's document has it. URLs begin with `gateway.public_url`, or as the client asked."""
    return [
        {
            "id": service.id,
            "type": service.type,
            "name": service.name,
            "endpoints": [
                {
                    "id": service.endpoint_id(interface),
                    "interface": interface,
                    "region": region(call),
                    "region_id": region(call),
                    "url": call.base_url + service.path,
                }
                for interface in INTERFACES
            ],
        }
        for service in SERVICES
    ]


def region(call: Call) -> str:
    """The one region."""
    return call.services.settings.gateway.region
