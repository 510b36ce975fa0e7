"""The networks, ports and security groups that a new server asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from cairn_database import admission
from cairn_database.networking import groups, networks
from cairn_database.networking.errors import SecurityGroupNotFound
from cairn_database.networking.networks import NetworkRecord
from cairn_database.networking.tables import ports
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest, Conflict
from cairn_gateway.nova.servers.create_models import NetworkWish, SecurityGroupWish

Json = dict[str, Any]


async def find_networks(
    call: Call, wishes: Sequence[NetworkWish] | str | None
) -> tuple[list[Json], list[Json]]:
    """NetworkRequests in API form, and the networks' specs with `name` and `id`.

    Raises BadRequest, Conflict, Refusal.
    """
    if wishes == "none":
        return [], []
    if wishes in (None, "auto", []):
        network = await _default(call, required=wishes == "auto")
        chosen = [] if network is None else [(network, NetworkWish())]
    elif isinstance(wishes, str):
        raise BadRequest(
            f"Invalid input for field/attribute networks. Value: {wishes[:50]}. "
            "It is a list, 'auto' or 'none'."
        )
    else:
        chosen = [(await _wanted(call, wish), wish) for wish in wishes]
    requests, snapshots = [], []
    for network, wish in chosen:
        assert network.spec is not None and network.name is not None  # noqa: S101, PT018 - drafts were refused
        address = None if wish.port else wish.fixed_ip
        admission.check_network(network.display_name, network.spec, call.caller.project or "", address)
        request = {"network": network.name, "address": address, "port": wish.port, "tag": wish.tag}
        requests.append({name: value for name, value in request.items() if value is not None})
        snapshots.append(
            {
                **network.spec.to_api(),
                "id": network.id,
                "name": network.name,
                "displayName": network.display_name,
            }
        )
    return requests, snapshots


async def _default(call: Call, *, required: bool) -> NetworkRecord | None:
    """The network of who names none: the default one, or the only one there is (Nova: "get me a network")."""
    usable = [
        network
        for network in await networks.find(call.services.db, visible_to=call.caller.project)
        if network.spec is not None and networks.usable_by(network, call.caller.project)
    ]
    marked = [network for network in usable if network.spec is not None and network.spec.default]
    if marked or len(usable) == 1:
        return min(marked or usable, key=lambda network: network.name or "")
    if required:
        raise BadRequest(
            "Unable to automatically allocate a network for the project: none is the default, and there "
            f"are {len(usable)} to choose from. Name one."
        )
    if usable:
        raise Conflict(
            "Multiple possible networks found, use a Network ID to be more specific, or say "
            "that none is wanted."
        )
    return None


async def _wanted(call: Call, wish: NetworkWish) -> NetworkRecord:
    project = call.caller.project
    if wish.port is not None:
        name = await _network_of_port(call, wish.port)
        found = await networks.find(call.services.db, name=name)
        if found and found[0].spec is not None:
            return found[0]
        raise BadRequest(f"Port id {wish.port} could not be found.")
    if not wish.uuid:
        raise BadRequest("Bad networks format: each entry needs a network's uuid or a port.")
    found = await networks.find(call.services.db, network_id=wish.uuid, visible_to=project)
    if not found:
        raise BadRequest(f"Network {wish.uuid} could not be found.")
    network = found[0]
    if network.spec is None:
        raise BadRequest(
            f"Network {wish.uuid} requires a subnet in order to boot instances on: create one first."
        )
    if not networks.usable_by(network, project):
        raise BadRequest(f"It is not allowed to create an interface on external network {wish.uuid}")
    return network


async def _network_of_port(call: Call, port_id: str) -> str:
    """The network's resource. Raises BadRequest for another project's port, Conflict for one in use."""
    statement = sa.select(ports).where(ports.c.id == port_id.lower())
    row = await call.services.db.read(lambda conn: conn.execute(statement).one_or_none())
    if row is None or row.project != call.caller.project:
        raise BadRequest(f"Port id {port_id} could not be found.")
    if row.instance_id or row.device_id:
        raise Conflict(f"Port {port_id} is still in use.")
    return str(row.network)


async def find_security_groups(call: Call, wishes: Sequence[SecurityGroupWish] | None) -> list[str] | None:
    """The resources' names; None for the default. Raises BadRequest, Conflict."""
    if not wishes:
        return None
    caller = call.caller
    words = [wish.name for wish in wishes]
    try:
        found = await groups.resolve(call.services.db, caller.project or "", caller.namespace or "", words)
    except SecurityGroupNotFound as error:
        raise BadRequest(str(error)) from error
    except groups.AmbiguousName as error:
        raise Conflict(str(error)) from error
    return [group.name for group in found]
