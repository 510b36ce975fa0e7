"""/os-services: which processes there are, and whether a host takes instances.

Enabling, disabling and forcing down change ComputeNode.spec, which kubectl users see and may change as well.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import StringConstraints

from cairn_crds import ComputeNode
from cairn_database import StillInUse, aggregates, nodes
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import Boolean, RequestModel, Since
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import aggregates_change, services_known
from cairn_gateway.nova.ids import path_uuid, required_integer
from cairn_gateway.nova.microversions import (
    SERVICE_FORCED_DOWN,
    SERVICE_UPDATE_BY_UUID,
    SERVICE_UUIDS,
    UNKNOWN_PARAMETERS_REFUSED,
    before,
)
from cairn_gateway.nova.moments import row_moment
from cairn_gateway.nova.queries import HostName, given, refuse_unknown
from cairn_gateway.nova.services_known import COMPUTE, KnownService, compute_service
from cairn_gateway.services import Services
from cairn_runtime import kubernetes

RULE = "os_compute_api:os-services:"
Reason = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]
Binary = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]


ENABLE: Final = {"disabled": False, "disabledReason": None, "drain": False}
"""What an enabled host says: it takes instances again, so it is not drained any more either."""

DISABLE: Final = {"disabled": True, "disabledReason": None}


class ActionBody(RequestModel):
    """`PUT /os-services/disable` and its like."""

    host: HostName
    binary: Binary
    disabled_reason: Reason | None = None
    forced_down: Annotated[Boolean | None, Since(SERVICE_FORCED_DOWN)] = None


class UpdateBody(RequestModel):
    """`PUT /os-services/{id}`."""

    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: Reason | None = None
    forced_down: Boolean | None = None


async def index(call: Call) -> Answer:
    """List the services, by host and binary if wanted."""
    refuse_unknown(call, "host", "binary", since=UNKNOWN_PARAMETERS_REFUSED)
    query = call.query_dict()
    host, binary = given(query.get("host")), given(query.get("binary"))
    found = await services_known.known_services(call.services)
    shown = [
        view(call, service)
        for service in found
        if host in (None, service.host) and binary in (None, service.binary)
    ]
    return Answer({"services": shown})


async def act(call: Call) -> Answer:
    """Enable, disable or force down the service of a host (until 2.52)."""
    body: ActionBody = call.checked
    action = call.params["service_id"]
    patch, shown = _action(call, action, body)
    if body.binary != COMPUTE:
        raise _only_compute("Updating", body.binary)
    if await nodes.get_compute_node(call.services.db, body.host) is None:
        raise NotFound(f"Host {body.host} has no {body.binary} service.")
    await change_node(call.services, body.host, patch)
    return Answer({"service": {"host": body.host, "binary": body.binary, **shown}})


def _action(call: Call, action: str, body: ActionBody) -> tuple[dict[str, Any], dict[str, Any]]:
    """What changes in the spec, and what the answer tells of it."""
    if action == "enable":
        return ENABLE, {"status": "enabled"}
    if action == "disable":
        return DISABLE, {"status": "disabled"}
    if action == "disable-log-reason":
        if body.disabled_reason is None:
            raise BadRequest("Missing disabled reason field")
        reason = body.disabled_reason
        return (
            {"disabled": True, "disabledReason": reason},
            {"status": "disabled", "disabled_reason": reason},
        )
    if action == "force-down" and call.version >= SERVICE_FORCED_DOWN:
        if body.forced_down is None:
            raise BadRequest("Missing forced_down field")
        return {"forcedDown": body.forced_down}, {"forced_down": body.forced_down}
    raise NotFound(f"Unknown action {action}")


async def update(call: Call) -> Answer:
    """Enable, disable or force down a service (since 2.53)."""
    body: UpdateBody = call.checked
    node = await _node(call, path_uuid(call.params["service_id"]), "Updating")
    patch: dict[str, Any] = {}
    if body.status == "enabled":
        if body.disabled_reason:
            raise BadRequest("Specifying 'disabled_reason' with status 'enabled' is invalid.")
        patch |= ENABLE
    elif body.status == "disabled":
        patch |= {"disabled": True, "disabledReason": body.disabled_reason}
    if body.forced_down is not None:
        patch["forcedDown"] = body.forced_down
    if not patch:
        raise BadRequest("No updates were requested. Say 'status' or 'forced_down'.")
    changed = await change_node(call.services, node.name, patch)
    zones = await aggregates.host_zones(call.services.db)
    return Answer({"service": view(call, compute_service(changed, zones))})


async def delete(call: Call) -> Answer:
    """Delete the service of a host that has no instances, and the host with it."""
    text = call.params["service_id"]
    by_uuid = call.version >= SERVICE_UUIDS
    node = await _node(call, path_uuid(text) if by_uuid else required_integer(text), "Deleting")
    if node.instances:
        raise _still_hosting(node.name)
    # The row first: from then on the scheduler can place nothing there. If it ends here, the host's next
    # heartbeat brings the row back, and nothing has happened.
    try:
        await nodes.remove_compute_node(call.services.db, node.name)
    except StillInUse as error:
        raise _still_hosting(node.name) from error
    await aggregates_change.forget_host(call.services, node.name)
    await call.services.cluster.delete(ComputeNode, node.name)
    return Answer()


def _still_hosting(host: str) -> Conflict:
    return Conflict(
        f"Unable to delete compute service that is hosting instances: {host} has some. "
        "Migrate or delete them first."
    )


def _only_compute(doing: str, binary: str) -> BadRequest:
    return BadRequest(
        f"{doing} a {binary} service is not supported. Only nova-compute services can be changed or deleted."
    )


async def _node(call: Call, key: str | int, doing: str) -> ComputeNodeRecord:
    """The host of a compute service. Raises NotFound, BadRequest for a service of the control plane."""
    db = call.services.db
    if isinstance(key, str):
        found = await nodes.find_compute_node(db, id=key)
    else:
        found = await nodes.find_compute_node(db, number=key)
    if found is not None:
        return found
    for service in await services_known.control_services(call.services):
        if key in (service.id, service.number):
            raise _only_compute(doing, service.binary)
    raise NotFound(f"Service {key} could not be found.")


async def change_node(services: Services, name: str, patch: dict[str, Any]) -> ComputeNodeRecord:
    """Patch ComputeNode.spec, then the row. Raises NotFound."""
    missing = NotFound(f"Compute host {name} could not be found.")
    try:
        body = await services.cluster.patch(ComputeNode, name, {"spec": patch})
    except kubernetes.NotFound as error:
        raise missing from error
    node: ComputeNode = ComputeNode.from_api(body)
    if node.metadata.deletion_timestamp is not None:
        raise missing
    await nodes.upsert_compute_node(services.db, name, node.spec, node.status, node.metadata.uid or None)
    record = await nodes.get_compute_node(services.db, name)
    if record is None:
        raise missing
    return record


def view(call: Call, service: KnownService) -> dict[str, Any]:
    """A service as this version shows it."""
    shown: dict[str, Any] = {
        "id": service.id if call.version >= SERVICE_UUIDS else service.number,
        "binary": service.binary,
        "host": service.host,
        "zone": service.zone,
        "status": "disabled" if service.disabled else "enabled",
        "state": "up" if service.up else "down",
        "updated_at": row_moment(service.updated_at),
        "disabled_reason": service.disabled_reason,
    }
    if call.version >= SERVICE_FORCED_DOWN:
        shown["forced_down"] = service.forced_down
    return shown


_ONE = "/os-services/{service_id}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-services", index, RULE + "list"),
    Route("PUT", _ONE, act, RULE + "update", until=before(SERVICE_UPDATE_BY_UUID), body=ActionBody),
    Route("PUT", _ONE, update, RULE + "update", since=SERVICE_UPDATE_BY_UUID, body=UpdateBody),
    Route("DELETE", _ONE, delete, RULE + "delete", status=204),
)
