"""Shelving: a server is kept as an image of itself, and is on no host.

Source: Nova API, the actions shelve, shelveOffload and unshelve of POST /servers/{server_id}/action.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from cairn_database import InstanceRecord, VmState, aggregates, nodes, shelving
from cairn_database.aggregates import DEFAULT_ZONE
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict
from cairn_gateway.http.models import Name, RequestModel
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova import services_known
from cairn_gateway.nova.availability_zones import zones
from cairn_gateway.nova.microversions import before
from cairn_gateway.nova.servers.actions import action, asked_by, begin, perform
from cairn_gateway.nova.servers.imaging import into_image
from cairn_gateway.nova.servers.load import server_of, target_of

RULE = "os_compute_api:os-shelve:"


class Zone(RequestModel):
    """The zone that it is pinned to from then on."""

    availability_zone: Name


class UnshelveToZone(RequestModel):
    """`{"unshelve": null}` or `{"unshelve": {"availability_zone": "…"}}` (2.77 to 2.90)."""

    unshelve: Zone | None = None


class Place(RequestModel):
    """A zone (null: pinned to none from then on), a host, or both."""

    availability_zone: str | None = None
    host: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)] | None = None


class Unshelve(RequestModel):
    """The same with a host, too (from 2.91)."""

    unshelve: Place | None = None


async def shelve(call: Call) -> Answer:
    """Stop it, keep it as an image (or on the volume that it boots from), and take it off its host."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    if record.boots_from_volume:
        await begin(
            call,
            record,
            lambda one: shelving.shelve_volume_backed(call.services.db, one.id, asked_by(call)),
        )
        return Answer()

    async def act(image_id: str, url: str) -> InstanceRecord:
        return await shelving.shelve(call.services.db, record.id, asked_by(call), image_id=image_id, url=url)

    await into_image(call, record, "shelve", act, name=f"{record.display_name}-shelved")
    return Answer()


async def offload(call: Call) -> Answer:
    """Take a shelved one off its host now."""
    return await perform(
        call, lambda record: shelving.shelve_offload(call.services.db, record.id, asked_by(call))
    )


async def unshelve(call: Call) -> Answer:
    """Bring a shelved one back onto a host."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    place = call.checked.unshelve if call.checked is not None else None
    given = place.model_fields_set if place is not None else set()
    zone: str | None = place.availability_zone if place is not None else None
    host: str | None = getattr(place, "host", None)
    if "availability_zone" in given or host is not None:
        expected = zone if "availability_zone" in given else record.availability_zone
        await _check_place(call, record, zone=zone, host=host, expected=expected)
    await begin(
        call,
        record,
        lambda one: shelving.unshelve(
            call.services.db,
            one.id,
            asked_by(call),
            zone=zone,
            unpin="availability_zone" in given and zone is None,
            host=host,
        ),
    )
    return Answer()


async def _check_place(
    call: Call, record: InstanceRecord, *, zone: str | None, host: str | None, expected: str | None
) -> None:
    """`expected`: the zone that it will be pinned to. Raises Conflict, BadRequest, Forbidden."""
    if record.vm_state is not VmState.SHELVED_OFFLOADED:
        raise Conflict(
            f'A zone or a host can only be given to a server that is SHELVED_OFFLOADED: server "{record.id}" '
            f'is in vm_state "{record.vm_state}".'
        )
    if zone is not None:
        available, _unavailable = zones(await services_known.compute_services(call.services))
        if zone not in available:
            raise BadRequest("The requested availability zone is not available")
    if host is None:
        return
    call.enforce(target_of(call, record), f"{RULE}unshelve_to_host")
    if host not in {node.name for node in await nodes.list_compute_nodes(call.services.db)}:
        raise BadRequest(f"Compute host {host} could not be found.")
    zone_of_host = (await aggregates.host_zones(call.services.db)).get(host, DEFAULT_ZONE)
    if expected is not None and zone_of_host != expected:
        raise Conflict(f'Host "{host}" is not in the availability zone "{expected}".')


UNSHELVE = f"{RULE}unshelve"
ROUTES = (
    action("shelve", shelve, f"{RULE}shelve"),
    action("shelveOffload", offload, f"{RULE}shelve_offload"),
    action("unshelve", unshelve, UNSHELVE, until=before(since.UNSHELVE_TO_ZONE)),
    action(
        "unshelve",
        unshelve,
        UNSHELVE,
        UnshelveToZone,
        since=since.UNSHELVE_TO_ZONE,
        until=before(since.UNSHELVE_TO_HOST),
    ),
    action("unshelve", unshelve, UNSHELVE, Unshelve, since=since.UNSHELVE_TO_HOST),
)
