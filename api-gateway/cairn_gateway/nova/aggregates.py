"""/os-aggregates: hosts that have something in common, as HostAggregate resources.

Nova keeps the availability zone in the metadata under `availability_zone`; the resource has a field for it,
and this module shows and takes it both ways.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import aggregates, nodes
from cairn_database.aggregates import ZONE_KEY, AggregateRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import Name, RequestModel, Text255, Uuid
from cairn_gateway.http.routes import Route, not_yet
from cairn_gateway.nova import aggregates_change, aggregates_zones
from cairn_gateway.nova.aggregates_change import name_taken, not_found
from cairn_gateway.nova.ids import required_integer
from cairn_gateway.nova.microversions import (
    AGGREGATE_IMAGES,
    AGGREGATE_UUID,
    UNKNOWN_QUERIES_REFUSED,
)
from cairn_gateway.nova.moments import row_moment
from cairn_gateway.nova.queries import HostName, refuse_unknown

RULE = "os_compute_api:os-aggregates:"
MOST_PAIRS = 128
"""What a HostAggregate holds of metadata."""
MOST_IMAGES = 100


def _no_colon(value: str) -> str:
    if ":" in value:
        raise ValueError("a zone's name must not have a colon")
    return value


def _without_edge_spaces(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


ZoneName = Annotated[Name, AfterValidator(_no_colon)]
SpacedName = Annotated[Name, BeforeValidator(_without_edge_spaces)]
"""A name at whose ends spaces are taken off."""
Key = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9_:. -]+$")
]


class NewAggregate(RequestModel):
    """What an aggregate is made of."""

    name: Name
    availability_zone: ZoneName | None = None


class CreateBody(RequestModel):
    """`POST /os-aggregates`."""

    aggregate: NewAggregate


class ChangedAggregate(RequestModel):
    """What changes; the rest stays."""

    name: SpacedName | None = None
    availability_zone: ZoneName | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ChangedAggregate:
        if not self.model_fields_set:
            raise ValueError("name or availability_zone has to be there")
        if "name" in self.model_fields_set and self.name is None:
            raise ValueError("name must not be null")
        return self


class UpdateBody(RequestModel):
    """`PUT /os-aggregates/{id}`."""

    aggregate: ChangedAggregate


class HostOf(RequestModel):
    """The host that an action is about."""

    host: HostName


class AddHostBody(RequestModel):
    """The action `add_host`."""

    add_host: HostOf


class RemoveHostBody(RequestModel):
    """The action `remove_host`."""

    remove_host: HostOf


class Pairs(RequestModel):
    """Metadata to set; null removes."""

    metadata: dict[Key, Text255 | None]


class SetMetadataBody(RequestModel):
    """The action `set_metadata`."""

    set_metadata: Pairs


class ImageToCache(RequestModel):
    """An image that hosts should have."""

    id: Uuid


class CacheBody(RequestModel):
    """`POST /os-aggregates/{id}/images`."""

    cache: Annotated[list[ImageToCache], Field(min_length=1, max_length=MOST_IMAGES)]


async def index(call: Call) -> Answer:
    """List the host aggregates."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    found = await aggregates.list_all(call.services.db)
    return Answer({"aggregates": [view(call, record) for record in found]})


async def show(call: Call) -> Answer:
    """Show one aggregate with its hosts and metadata."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    return _answer(call, await _named(call))


async def create(call: Call) -> Answer:
    """Make an aggregate."""
    asked: NewAggregate = call.checked.aggregate
    record = await aggregates_change.create(call.services, asked.name, asked.availability_zone)
    shown = view(call, record)
    del shown["hosts"], shown["metadata"]  # an old habit of Nova's, which clients' schemas know
    return Answer({"aggregate": shown})


async def update(call: Call) -> Answer:
    """Change an aggregate's name or availability zone."""
    record = await _named(call)
    asked: ChangedAggregate = call.checked.aggregate
    others = await _others(call, record)
    if any(other.display_name == asked.name for other in others):
        raise name_taken(str(asked.name))
    patch: dict[str, Any] = {}
    if asked.name is not None:
        patch["displayName"] = None if asked.name == record.name else asked.name
    if "availability_zone" in asked.model_fields_set:
        patch |= await _zone_patch(call, record, others, asked.availability_zone)
    return _answer(call, await aggregates_change.change(call.services, record, lambda _spec: patch))


async def delete(call: Call) -> Answer:
    """Delete an aggregate that has no hosts."""
    record = await _named(call)
    if record.spec.hosts:
        raise BadRequest(f"Cannot delete aggregate {record.id}: it still has hosts. Remove them first.")
    await aggregates_change.delete(call.services, record)
    return Answer()


async def add_host(call: Call) -> Answer:
    """Put a host into an aggregate."""
    host = call.checked.add_host.host
    record = await _named(call)
    node = await nodes.get_compute_node(call.services.db, host)
    if node is None:
        raise NotFound(f"Compute host {host} could not be found.")
    others = await _others(call, record)
    problem = aggregates_zones.problem_of_adding(record, others, host, node.instances)
    if problem:
        raise Conflict(f"Cannot add host to aggregate {record.id}: {problem}")

    def added(spec: HostAggregateSpec) -> dict[str, Any]:
        if host in spec.hosts:
            raise Conflict(f"Aggregate {record.id} already has host {host}.")
        return {"hosts": [*spec.hosts, host]}

    return _answer(call, await aggregates_change.change(call.services, record, added))


async def remove_host(call: Call) -> Answer:
    """Take a host out of an aggregate."""
    host = call.checked.remove_host.host
    record = await _named(call)
    missing = NotFound(f"Aggregate {record.id} has no host {host}.")
    if host not in record.spec.hosts:
        raise missing
    node = await nodes.get_compute_node(call.services.db, host)
    others = await _others(call, record)
    problem = aggregates_zones.problem_of_removing(record, others, host, node.instances if node else 0)
    if problem:
        raise Conflict(f"Cannot remove host from aggregate {record.id}: {problem}")

    def removed(spec: HostAggregateSpec) -> dict[str, Any]:
        if host not in spec.hosts:
            raise missing
        return {"hosts": [name for name in spec.hosts if name != host]}

    return _answer(call, await aggregates_change.change(call.services, record, removed))


async def set_metadata(call: Call) -> Answer:
    """Add, change and (with null) remove metadata; what is not named stays."""
    record = await _named(call)
    pairs: dict[str, str | None] = dict(call.checked.set_metadata.metadata)
    patch: dict[str, Any] = {}
    if ZONE_KEY in pairs:
        zone = pairs.pop(ZONE_KEY)
        patch |= await _zone_patch(call, record, await _others(call, record), zone)
    empty = [key for key, value in pairs.items() if value == ""]
    if empty:
        raise BadRequest(f"The value of {empty[0]} is empty. Give it one, or remove the key with null.")
    patch["metadata"] = {**patch.get("metadata", {}), **pairs}

    def changed(spec: HostAggregateSpec) -> dict[str, Any]:
        after = {**spec.metadata, **patch["metadata"]}
        if sum(value is not None for value in after.values()) > MOST_PAIRS:
            raise BadRequest(f"An aggregate holds at most {MOST_PAIRS} pairs of metadata.")
        return patch

    return _answer(call, await aggregates_change.change(call.services, record, changed))


def view(call: Call, record: AggregateRecord) -> dict[str, Any]:
    """An aggregate as this version shows it."""
    untouched = record.updated_at == record.created_at
    shown: dict[str, Any] = {
        "availability_zone": record.zone,
        "created_at": row_moment(record.created_at),
        "deleted": False,
        "deleted_at": None,
        "hosts": list(record.spec.hosts),
        "id": record.id,
        "metadata": record.metadata,
        "name": record.display_name,
        "updated_at": None if untouched else row_moment(record.updated_at),
    }
    if call.version >= AGGREGATE_UUID:
        shown["uuid"] = record.uuid
    return shown


def _answer(call: Call, record: AggregateRecord) -> Answer:
    return Answer({"aggregate": view(call, record)})


async def _named(call: Call) -> AggregateRecord:
    """The aggregate that the path names. Raises BadRequest, NotFound."""
    number = required_integer(call.params["aggregate_id"])
    record = await aggregates.find(call.services.db, number)
    if record is None:
        raise not_found(number)
    return record


async def _others(call: Call, record: AggregateRecord) -> list[AggregateRecord]:
    return [other for other in await aggregates.list_all(call.services.db) if other.id != record.id]


async def _zone_patch(
    call: Call, record: AggregateRecord, others: list[AggregateRecord], zone: str | None
) -> dict[str, Any]:
    """The patch that gives the aggregate that zone. Raises BadRequest where hosts or instances forbid it."""
    used = 0
    if zone != record.zone:
        found = {node.name: node.instances for node in await nodes.list_compute_nodes(call.services.db)}
        used = sum(found.get(host, 0) for host in record.spec.hosts)
    problem = aggregates_zones.problem_of_changing(record, others, zone, used)
    if problem:
        raise BadRequest(f"Cannot update aggregate {record.id}: {problem}")
    patch: dict[str, Any] = {"availabilityZone": zone}
    if ZONE_KEY in record.spec.metadata:  # a kubectl user has written it there
        patch["metadata"] = {ZONE_KEY: None}
    return patch


_ONE = "/os-aggregates/{aggregate_id}"
_ACTION = f"{_ONE}/action"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-aggregates", index, RULE + "index"),
    Route("POST", "/os-aggregates", create, RULE + "create", body=CreateBody),
    Route("GET", _ONE, show, RULE + "show"),
    Route("PUT", _ONE, update, RULE + "update", body=UpdateBody),
    Route("DELETE", _ONE, delete, RULE + "delete"),
    Route("POST", _ACTION, add_host, RULE + "add_host", action="add_host", body=AddHostBody),
    Route("POST", _ACTION, remove_host, RULE + "remove_host", action="remove_host", body=RemoveHostBody),
    Route("POST", _ACTION, set_metadata, RULE + "set_metadata", action="set_metadata", body=SetMetadataBody),
    Route(
        "POST",
        f"{_ONE}/images",
        not_yet("fetch images to hosts before they are needed"),
        "compute:aggregates:images",
        status=202,
        since=AGGREGATE_IMAGES,
        body=CacheBody,
        not_yet=True,
    ),
)
