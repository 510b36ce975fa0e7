"""What a new server is made of: every reference of the request, looked up for its caller.

Refusals have the statuses that Nova gives them: what cannot be found or may not be used is 400.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cairn_database import KeyPairRecord, admission, flavors, key_pairs, nodes, tenants
from cairn_database.admission import Refusal
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.nova.servers.create_models import SchedulerHints, ServerWish
from cairn_gateway.nova.servers.disks import (
    PlannedVolume,
    find_disks,
    image_document,
    image_of_volume,
)
from cairn_gateway.nova.servers.wiring import find_networks, find_security_groups
from cairn_gateway.services import ImageToBoot

Json = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """Ready to be recorded."""

    flavor: Json
    """FlavorSpec in API form, with `id`, and with the resource's name as `name`."""
    image: Json
    """ImageSpec likewise."""
    key_pair: KeyPairRecord | None = None
    key_pair_resource: str | None = None
    """In the project's namespace; None where the user's key pair is another project's resource."""
    requests: list[Json] = field(default_factory=list)
    """The interfaces, as NetworkRequests in API form."""
    networks: list[Json] = field(default_factory=list)
    """The networks' specs, in the order of the interfaces."""
    security_groups: list[str] | None = None
    """The resources' names."""
    group_id: str | None = None
    hints: Json = field(default_factory=dict)
    """As the resource has them."""
    given_hints: Json = field(default_factory=dict)
    """As they were given."""
    host: str | None = None
    volumes: tuple[PlannedVolume, ...] = ()


async def find_parts(
    call: Call, wish: ServerWish, hints: SchedulerHints | None, *, host: str | None
) -> Parts:
    """Look everything up. Raises BadRequest, Conflict, Forbidden, NotImplementedYet."""
    project = call.caller.project or ""
    flavor = await flavors.by_id(call.services.db, wish.flavor_ref.rsplit("/", 1)[-1])
    if flavor is None:
        raise BadRequest(f"Flavor {wish.flavor_ref} could not be found.")
    disks = await find_disks(call, wish)
    root = any(planned.device.boot_index == 0 for planned in disks.volumes)
    image = None if root else await _image(call, disks.image_ref)
    try:
        admission.check_flavor(flavor.name, flavor.spec, project)
        if image is not None:
            admission.check_fit(flavor.name, flavor.spec, image.name, image.spec)
        requests, networks = await find_networks(call, wish.networks)
    except Refusal as refusal:
        raise BadRequest(refusal.message) from refusal
    key, key_resource = await find_key_pair(call, wish.key_name)
    group_id, group_name = await _server_group(call, hints)
    return Parts(
        flavor={**flavor.spec.to_api(), "id": flavor.id, "name": flavor.resource, "displayName": flavor.name},
        image=image_document(image) if image is not None else image_of_volume(disks),
        volumes=disks.volumes,
        key_pair=key,
        key_pair_resource=key_resource,
        requests=requests,
        networks=networks,
        security_groups=await find_security_groups(call, wish.security_groups),
        group_id=group_id,
        hints=_hints(hints, group_name),
        given_hints=hints.model_dump(exclude_unset=True) if hints else {},
        host=await _host(call, host),
    )


async def _image(call: Call, reference: str) -> ImageToBoot:
    if not reference:
        raise BadRequest("Invalid imageRef provided: an image to boot from must be given.")
    found = await call.services.images.find(call, reference.rsplit("/", 1)[-1])
    if found is None:
        raise BadRequest("Can not find requested image")
    if found.status != "active":
        raise BadRequest(f"Image {found.id} is not active.")
    return found


async def find_key_pair(call: Call, name: str | None) -> tuple[KeyPairRecord | None, str | None]:
    """The caller's key pair, and its resource in the project's namespace. Raises BadRequest."""
    if name is None:
        return None, None
    caller = call.caller
    found = await key_pairs.find(call.services.db, caller.user_id, caller.namespace, name)
    if found is None:
        raise BadRequest("Invalid key_name provided.")
    resource = found.resource if found.namespace == caller.namespace else None
    return KeyPairRecord(found.name, found.spec.public_key), resource


async def _server_group(call: Call, hints: SchedulerHints | None) -> tuple[str | None, str | None]:
    if hints is None or hints.group is None:
        return None, None
    for group in await tenants.list_server_groups(call.services.db, call.caller.namespace):
        if group.id == hints.group:
            return group.id, group.name
    raise BadRequest(f"Instance group {hints.group} could not be found.")


def _hints(hints: SchedulerHints | None, group: str | None) -> Json:
    if hints is None:
        return {}
    query = hints.query
    wanted: Json = {
        "group": group,
        "differentHost": _list(hints.different_host),
        "sameHost": _list(hints.same_host),
        "query": query if isinstance(query, str) or query is None else _json(query),
    }
    return {name: value for name, value in wanted.items() if value}


def _list(value: list[str] | str) -> list[str]:
    return [value] if isinstance(value, str) else value


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


async def _host(call: Call, host: str | None) -> str | None:
    if host is None:
        return None
    known = {node.name for node in await nodes.list_compute_nodes(call.services.db)}
    if host not in known:
        raise BadRequest(f"Compute host {host} could not be found.")
    return host
