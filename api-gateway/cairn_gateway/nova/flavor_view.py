"""Flavors as API clients see them."""

from __future__ import annotations

from typing import Any

from cairn_database.flavors import FlavorRecord
from cairn_gateway.http.call import Call
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.paging import links

EXTRA_SPECS_RULE = "os_compute_api:os-flavor-extra-specs:index"


def brief(call: Call, flavor: FlavorRecord) -> dict[str, Any]:
    """As GET /flavors lists it."""
    shown: dict[str, Any] = {
        "id": flavor.id,
        "name": flavor.name,
        "links": links(call, "flavors", flavor.id),
    }
    if call.version >= at.FLAVOR_DESCRIPTION:
        shown["description"] = flavor.spec.description
    return shown


def full(call: Call, flavor: FlavorRecord, *, extra_specs: bool) -> dict[str, Any]:
    """As everything else shows it; `extra_specs`: see `shows_extra_specs`."""
    spec = flavor.spec
    shown = brief(call, flavor) | {
        "ram": spec.memory_mib,
        "disk": spec.disk_gib,
        "swap": spec.swap_mib or (0 if call.version >= at.FLAVOR_SWAP_NUMBER else ""),
        "OS-FLV-EXT-DATA:ephemeral": spec.ephemeral_gib,
        "vcpus": spec.vcpus,
        "os-flavor-access:is_public": spec.public,
    }
    if call.version < at.FLAVOR_RXTX_FACTOR_REMOVED:
        shown["OS-FLV-DISABLED:disabled"] = spec.disabled
        shown["rxtx_factor"] = 1.0 if spec.rxtx_factor is None else spec.rxtx_factor
    if extra_specs:
        shown["extra_specs"] = spec.extra_specs
    return shown


def shows_extra_specs(call: Call) -> bool:
    """Whether this caller sees extra specs inside of flavors."""
    return bool(call.version >= at.FLAVOR_EXTRA_SPECS_IN_FLAVOR and call.allows(EXTRA_SPECS_RULE))
