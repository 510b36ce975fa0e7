"""Changing a HostAggregate: read the resource, decide, write that very version of it, then the row in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cairn_crds import HostAggregate
from cairn_crds.base import Metadata
from cairn_crds.host_aggregate import HostAggregateSpec
from cairn_database import aggregates
from cairn_database.aggregates import AggregateRecord
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.naming import slug, with_suffix
from cairn_gateway.services import Services
from cairn_runtime import kubernetes

ATTEMPTS: Final = 8
"""How often somebody else may get in between before a change is given up."""
Decide = Callable[[HostAggregateSpec], dict[str, Any] | None]
"""From the spec as it is now to the merge patch of it, or None where nothing changes. May raise a Fault."""


def not_found(aggregate_id: object) -> NotFound:
    """There is no such aggregate."""
    return NotFound(f"Aggregate {aggregate_id} could not be found.")


def name_taken(name: str) -> Conflict:
    """Names of aggregates are unique in the Compute API."""
    return Conflict(f"Aggregate {name} already exists.")


async def create(services: Services, name: str, zone: str | None) -> AggregateRecord:
    """Make an aggregate that the Compute API calls `name`. Raises Conflict when another one has it."""
    if any(record.display_name == name for record in await aggregates.list_all(services.db)):
        raise name_taken(name)
    base = resource = slug(name, "aggregate")
    for _attempt in range(ATTEMPTS):
        spec = HostAggregateSpec(
            display_name=None if resource == name else name, availability_zone=zone or None
        )
        made = HostAggregate(metadata=Metadata(name=resource), spec=spec)
        try:
            body = await services.cluster.create(made)
        except kubernetes.AlreadyExists:
            holder = await _name_of(services, resource)
            if holder == name:
                raise name_taken(name) from None
            if holder is not None:
                resource = with_suffix(base)
            continue
        except kubernetes.Invalid as error:
            raise BadRequest(f"There cannot be such an aggregate: {error}") from error
        return await _record(services, HostAggregate.from_api(body))
    raise Conflict(f"No resource name could be found for aggregate {name}. Try again.")


async def _name_of(services: Services, resource: str) -> str | None:
    """What the API calls the aggregate of that resource; None when it has just gone."""
    try:
        found: HostAggregate = await services.cluster.get(HostAggregate, resource)
    except kubernetes.NotFound:
        return None
    return found.spec.display_name or found.metadata.name


async def change(services: Services, record: AggregateRecord, decide: Decide) -> AggregateRecord:
    """Change the spec as `decide` says. Raises what `decide` raises, NotFound, BadRequest, Conflict."""
    for _attempt in range(ATTEMPTS):
        try:
            found: HostAggregate = await services.cluster.get(HostAggregate, record.name)
            patch = decide(found.spec)
            if patch is None:
                return await _record(services, found)
            version = {"resourceVersion": found.metadata.resource_version}
            body = await services.cluster.patch(
                HostAggregate, record.name, {"metadata": version, "spec": patch}
            )
        except kubernetes.NotFound as error:
            await aggregates.remove(services.db, record.name)
            raise not_found(record.id) from error
        except kubernetes.Conflict:
            continue
        except kubernetes.Invalid as error:
            raise BadRequest(f"Aggregate {record.id} cannot be so: {error}") from error
        return await _record(services, HostAggregate.from_api(body))
    raise Conflict(f"Aggregate {record.id} is being changed by others all the time. Try again.")


async def delete(services: Services, record: AggregateRecord) -> None:
    """Delete the resource, then the row."""
    await services.cluster.delete(HostAggregate, record.name)
    await aggregates.remove(services.db, record.name)


async def forget_host(services: Services, host: str) -> None:
    """Take the host out of every aggregate."""

    def without(spec: HostAggregateSpec) -> dict[str, Any] | None:
        if host not in spec.hosts:
            return None
        return {"hosts": [name for name in spec.hosts if name != host]}

    for record in await aggregates.list_all(services.db):
        if host in record.spec.hosts:
            await change(services, record, without)


async def _record(services: Services, found: HostAggregate) -> AggregateRecord:
    record, _changed = await aggregates.upsert(
        services.db, found.metadata.name, found.spec, found.metadata.uid or None
    )
    return record
