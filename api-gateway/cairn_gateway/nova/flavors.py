"""Flavors: listing, showing, making, changing and deleting them.

A flavor is a Flavor resource; SQL has it with the id and the name that clients know it by. Both are unique,
and are reserved in SQL before the resource is made. Source of behaviour: Nova API, /flavors.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from cairn_crds import Flavor
from cairn_crds.base import Metadata
from cairn_crds.flavor import FlavorSpec
from cairn_database import DisplayNameTaken, IdTaken, catalog
from cairn_database.flavors import FlavorRecord, Seen
from cairn_database.listing import PatternRefused, check_pattern
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import Boolean, Integer, Name, RequestModel, Since, Until
from cairn_gateway.http.routes import Route
from cairn_gateway.naming import resource_name
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.flavor_access import change, flavor_of, may_use, visible
from cairn_gateway.nova.flavor_view import brief, full, shows_extra_specs
from cairn_gateway.nova.paging import next_link, page_limit, page_of
from cairn_gateway.nova.queries import one_of, query_of, refuse_query
from cairn_gateway.policy.base import AUTHENTICATED
from cairn_gateway.reserving import reserve_and_create
from cairn_runtime import kubernetes

MAX_INT = 0x7FFFFFFF
MAX_FLOAT = 3.40282e38
ID = re.compile(r"(?! )[a-zA-Z0-9. _-]{1,255}(?<! )")
MANAGE = "os_compute_api:os-flavor-manage:"
FILTERS = ("limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir")

SORT_KEYS: dict[str, Callable[[FlavorRecord], Any]] = {
    "created_at": lambda flavor: flavor.created_at,
    "description": lambda flavor: flavor.spec.description or "",
    "disabled": lambda flavor: flavor.spec.disabled,
    "ephemeral_gb": lambda flavor: flavor.spec.ephemeral_gib,
    "flavorid": lambda flavor: flavor.id,
    "id": lambda flavor: flavor.created_at,
    "is_public": lambda flavor: flavor.spec.public,
    "memory_mb": lambda flavor: flavor.spec.memory_mib,
    "name": lambda flavor: flavor.name,
    "root_gb": lambda flavor: flavor.spec.disk_gib,
    "rxtx_factor": lambda flavor: flavor.spec.rxtx_factor or 1.0,
    "swap": lambda flavor: flavor.spec.swap_mib,
    "updated_at": lambda flavor: flavor.updated_at,
    "vcpu_weight": lambda flavor: 0,
    "vcpus": lambda flavor: flavor.spec.vcpus,
}


# --- what comes in ---------------------------------------------------------------------------------------


def _id(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not of type 'string', 'number', 'null'")  # noqa: TRY004
    text = str(value)
    if not ID.fullmatch(text):
        raise ValueError(
            "it may have letters, digits, spaces, '.', '_' and '-' only, 1 to 255, no space at its ends"
        )
    return text


def _factor(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not of type 'number', 'string'")  # noqa: TRY004
    if isinstance(value, str) and not re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        raise ValueError(f"{value!r} is not a number")
    if not 0 < float(value) <= MAX_FLOAT:
        raise ValueError(f"it must be more than 0 and at most {MAX_FLOAT:g}")
    return float(value)


def _printable(value: str) -> str:
    if not all(character.isprintable() or character in "\t\n\r" for character in value):
        raise ValueError("it has characters that cannot be printed")
    return value


Positive = Annotated[Integer, Field(ge=1, le=MAX_INT)]
NotNegative = Annotated[Integer, Field(ge=0, le=MAX_INT)]
Description = Annotated[str, Field(max_length=65535, strict=True), AfterValidator(_printable)]
Factor = Annotated[float, BeforeValidator(_factor), Until(at.before(at.FLAVOR_RXTX_FACTOR_REMOVED))]


class NewFlavor(RequestModel):
    """What a new flavor is to be."""

    name: Name
    id: Annotated[str | None, BeforeValidator(_id)] = None
    ram: Positive
    vcpus: Positive
    disk: NotNegative
    ephemeral: NotNegative = Field(0, alias="OS-FLV-EXT-DATA:ephemeral")
    swap: NotNegative = 0
    rxtx_factor: Factor = 1.0
    is_public: Boolean = Field(True, alias="os-flavor-access:is_public")
    description: Annotated[Description | None, Since(at.FLAVOR_DESCRIPTION)] = None


class CreateFlavor(RequestModel):
    """POST /flavors."""

    flavor: NewFlavor


class FlavorChange(RequestModel):
    """What of a flavor can change."""

    description: Description | None


class UpdateFlavor(RequestModel):
    """PUT /flavors/{id}."""

    flavor: FlavorChange


# --- reading ---------------------------------------------------------------------------------------------


async def index(call: Call) -> Answer:
    """The flavors that the caller may use"""
    page, more = await _page(call)
    return _listed(call, [brief(call, flavor) for flavor in page], page, more)


async def detail(call: Call) -> Answer:
    """The flavors that the caller may use, with all there is to say"""
    page, more = await _page(call)
    extra_specs = shows_extra_specs(call)
    return _listed(call, [full(call, flavor, extra_specs=extra_specs) for flavor in page], page, more)


async def show(call: Call) -> Answer:
    """One flavor"""
    refuse_query(call)
    return Answer({"flavor": full(call, await flavor_of(call), extra_specs=shows_extra_specs(call))})


def _listed(call: Call, shown: list[dict[str, Any]], page: list[FlavorRecord], more: bool) -> Answer:
    body: dict[str, Any] = {"flavors": shown}
    if more and page:
        body["flavors_links"] = next_link(call, page[-1].id)
    return Answer(body)


async def _page(call: Call) -> tuple[list[FlavorRecord], bool]:
    named = call.version >= at.FLAVOR_NAME_FILTER
    query = query_of(call, (*FILTERS, "name") if named else FILTERS, since=at.UNKNOWN_PARAMETERS_REFUSED)
    limit = page_limit(query.get("limit"))
    sort_keys = [key for key in SORT_KEYS if not (named and key == "rxtx_factor")]
    key = one_of("sort_key", query.get("sort_key") or "flavorid", sort_keys)
    direction = one_of("sort_dir", query.get("sort_dir") or "asc", ("asc", "desc"))
    wanted = _filters(call, query)
    everything = await catalog.flavors.records(call.services.db)
    everything = [flavor for flavor in everything if visible(call, flavor)]
    everything.sort(key=lambda flavor: (flavor.created_at, flavor.id))
    everything.sort(key=SORT_KEYS[key], reverse=direction == "desc")
    marker = query.get("marker")
    if marker is not None:
        everything = _after(everything, marker)
    found = [flavor for flavor in everything if all(test(flavor) for test in wanted)]
    return page_of(found, marker=None, limit=limit, key=None)


def _after(flavors: list[FlavorRecord], marker: str) -> list[FlavorRecord]:
    """Those behind the flavor with the id `marker`, which need not be one that the filters let through."""
    for position, flavor in enumerate(flavors):
        if flavor.id == marker:
            return flavors[position + 1 :]
    raise BadRequest(f"marker [{marker}] not found")


def _filters(call: Call, query: dict[str, str]) -> list[Callable[[FlavorRecord], bool]]:
    tests: list[Callable[[FlavorRecord], bool]] = []
    if call.is_admin:
        public = _is_public(query.get("is_public"))
        if public is True:
            tests.append(lambda flavor: may_use(call, flavor))
        elif public is False:
            tests.append(lambda flavor: not flavor.spec.public)
    else:
        tests.append(lambda flavor: not flavor.spec.disabled)
    if "minRam" in query:
        ram = _number("minRam", query["minRam"])
        tests.append(lambda flavor: flavor.spec.memory_mib >= ram)
    if "minDisk" in query:
        disk = _number("minDisk", query["minDisk"])
        tests.append(lambda flavor: flavor.spec.disk_gib >= disk)
    if "name" in query:
        tests.append(_name_test(query["name"]))
    return tests


def _is_public(value: str | None) -> bool | None:
    """True: public ones and those that the caller's project may use; None: all."""
    if value is None:
        return True
    word = value.strip().lower()
    if word == "none":
        return None
    if word in ("1", "t", "true", "on", "y", "yes"):
        return True
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(f"Invalid is_public filter [{value}]")


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", value):
        raise BadRequest(f"Invalid {name} filter [{value}]")
    return int(value)


def _name_test(pattern: str) -> Callable[[FlavorRecord], bool]:
    """Nova asks its database for a regular expression; here it has to be one that cannot take for ever."""
    try:
        wanted = re.compile(check_pattern(pattern))
    except PatternRefused as error:
        raise BadRequest(str(error)) from error
    return lambda flavor: wanted.search(flavor.name) is not None


# --- writing ---------------------------------------------------------------------------------------------


async def create(call: Call) -> Answer:
    """Make a flavor"""
    asked: NewFlavor = call.checked.flavor
    flavor_id = str(uuid.uuid4()) if asked.id in (None, "auto") else asked.id
    spec = FlavorSpec(
        id=flavor_id,
        display_name=asked.name,
        vcpus=asked.vcpus,
        memory_mib=asked.ram,
        disk_gib=asked.disk,
        ephemeral_gib=asked.ephemeral,
        swap_mib=asked.swap,
        rxtx_factor=None if asked.rxtx_factor == 1.0 else asked.rxtx_factor,
        public=asked.is_public,
        description=asked.description or None,
    )
    flavor = await _make(call, asked.name, spec)
    return Answer({"flavor": full(call, flavor, extra_specs=shows_extra_specs(call))})


async def _make(call: Call, name: str, spec: FlavorSpec) -> FlavorRecord:
    services = call.services
    table = catalog.flavors
    try:
        made: Flavor = await reserve_and_create(
            services.cluster,
            resource_name(name, "flavor"),
            reserve=lambda resource: table.reserve(services.db, resource, spec),
            resource=lambda resource: Flavor(metadata=Metadata(name=resource), spec=spec),
            release=lambda resource: table.release(services.db, resource),
        )
    except IdTaken as error:
        raise Conflict(f"Flavor with ID {spec.id} already exists.") from error
    except DisplayNameTaken as error:
        raise Conflict(f"Flavor with name {name} already exists.") from error
    metadata = made.metadata
    await table.upsert(services.db, metadata.name, made.spec, Seen(metadata.uid, metadata.generation))
    moment = metadata.creation_timestamp or datetime.now(UTC)
    return FlavorRecord(made.flavor_id, name, metadata.name, made.spec, moment, moment)


async def update(call: Call) -> Answer:
    """Change a flavor's description"""
    asked: FlavorChange = call.checked.flavor
    flavor = await change(call, await flavor_of(call), {"description": asked.description or None})
    return Answer({"flavor": full(call, flavor, extra_specs=shows_extra_specs(call))})


async def delete(call: Call) -> Answer:
    """Delete a flavor; what was made of it keeps it"""
    services = call.services
    flavor = await flavor_of(call)
    try:
        found: Flavor = await services.cluster.get(Flavor, flavor.resource)
    except kubernetes.NotFound:
        uid = None
    else:
        uid = found.metadata.uid
        await services.cluster.delete(Flavor, flavor.resource)
    await catalog.flavors.remove(services.db, flavor.resource, uid)
    if uid is None:
        raise NotFound(f"Flavor {flavor.id} could not be found.")
    return Answer()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors", index, AUTHENTICATED),
    Route("POST", "/flavors", create, MANAGE + "create", body=CreateFlavor),
    Route("GET", "/flavors/detail", detail, AUTHENTICATED),
    Route("GET", "/flavors/{flavor_id}", show, AUTHENTICATED),
    Route(
        "PUT", "/flavors/{flavor_id}", update, MANAGE + "update", since=at.FLAVOR_UPDATE, body=UpdateFlavor
    ),
    Route("DELETE", "/flavors/{flavor_id}", delete, MANAGE + "delete", status=202),
)
