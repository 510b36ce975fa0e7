"""POST /servers: what is asked for is looked up, recorded in one transaction, and told to the API server."""

from __future__ import annotations

import asyncio
import secrets
import string
import uuid
from collections.abc import Mapping
from typing import Any

import structlog

from cairn_crds import Instance, InstanceSpec, Metadata
from cairn_crds.base import INSTANCE_FINALIZER, INSTANCE_LABEL
from cairn_crds.instance import NetworkRequest, SchedulerHints
from cairn_database import (
    InstanceRecord,
    NewInstance,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    ServerGroupNotFound,
    instances,
    quota_limits,
)
from cairn_database.volumes.errors import (
    TooManyVolumes,
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotBootable,
    VolumeNotFound,
)
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Forbidden, NotImplementedYet, OverQuota
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.naming import slug, with_suffix
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova import services_known
from cairn_gateway.nova.availability_zones import zones
from cairn_gateway.nova.paging import PREFIX, links
from cairn_gateway.nova.servers import hostnames
from cairn_gateway.nova.servers.create_models import MOST_SERVERS, CreateServer, ServerWish
from cairn_gateway.nova.servers.disks import make_volume_resources
from cairn_gateway.nova.servers.parts import Parts, find_parts
from cairn_gateway.nova.servers.passwords import AdminPassword, admin_password
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
RULE = "os_compute_api:servers:create"
MANUAL = "MANUAL"
NO_VOLUME = (
    TooManyVolumes,
    VolumeElsewhere,
    VolumeGoing,
    VolumeInUse,
    VolumeNotBootable,
    VolumeNotFound,
)
"""Why a server does not get the volumes that it asks for."""


async def create(call: Call) -> Answer:
    """Make one server, or several alike."""
    body: CreateServer = call.checked
    wish = body.server
    hostnames.check(call, wish.hostname)
    zone, host = _placed_by_hand(call, wish)
    target = {"project_id": call.project_id, "user_id": call.caller.user_id, "availability_zone": zone}
    call.enforce(target)
    _enforce_options(call, wish, host, target)
    at_least, at_most = _counts(wish)
    _refuse_what_is_not_there(call, wish)
    if host is None or wish.host or wish.hypervisor_hostname:
        await _require_zone(call, zone)  # of `zone:host`, the host is what is looked for, as in Nova
    # Meanwhile the API server is asked whether it is there: nothing is recorded before it has answered.
    parts, password, _ = await asyncio.gather(
        find_parts(call, wish, body.hints or body.old_hints, host=host),
        admin_password(wish.admin_pass, make=call.services.settings.gateway.enable_instance_password),
        call.services.cluster.require(),
    )
    await check_metadata_quota(call, wish.metadata)
    hashed = password.hashed if password else None
    new = _instances(call, wish, parts, zone=zone, count=at_most, password_hash=hashed)
    records = await _register(call, new, at_least)
    await asyncio.gather(*(_make_resource(call, record) for record in records))
    return _answer(call, wish, records, password)


# --- what is asked for -----------------------------------------------------------------------------------


def _placed_by_hand(call: Call, wish: ServerWish) -> tuple[str | None, str | None]:
    """The zone and the host that an administrator names: `zone:host:node`, or the fields of 2.74."""
    zone, host = wish.availability_zone, wish.host or wish.hypervisor_hostname
    if zone and ":" in zone:
        zone, *rest = zone.split(":")
        if len(rest) > 2:
            raise BadRequest("The availability zone must be zone, zone:host or zone:host:node.")
        if wish.host or wish.hypervisor_hostname:
            raise BadRequest(
                "A host was named in availability_zone and in host or hypervisor_hostname; one is enough."
            )
        host = next((name for name in rest if name), None)
    return zone or None, host


async def _require_zone(call: Call, zone: str | None) -> None:
    """Raise BadRequest for a zone without an enabled host (Nova API: POST /servers)."""
    if zone is None:
        return
    available, _unavailable = zones(await services_known.compute_services(call.services))
    if zone not in available:
        raise BadRequest("The requested availability zone is not available")


def _enforce_options(call: Call, wish: ServerWish, host: str | None, target: dict[str, str | None]) -> None:
    if host is not None:
        named = wish.host or wish.hypervisor_hostname
        rule = "compute:servers:create:requested_destination" if named else f"{RULE}:forced_host"
        call.enforce(target, rule)
    if wish.networks not in (None, "none", "auto"):
        call.enforce(target, f"{RULE}:attach_network")
    if wish.trusted_image_certificates:
        call.enforce(target, f"{RULE}:trusted_certs")


def _counts(wish: ServerWish) -> tuple[int, int]:
    at_least = wish.min_count or 1
    at_most = wish.max_count or at_least
    if at_least > at_most:
        raise BadRequest("min_count must be <= max_count")
    if at_most > MOST_SERVERS:
        raise BadRequest(f"max_count must be <= {MOST_SERVERS}; ask several times for more.")
    return at_least, at_most


def _refuse_what_is_not_there(call: Call, wish: ServerWish) -> None:
    """Options that mean something that Cairn cannot do yet: refused, so that nobody relies on them."""
    if wish.networks is None and call.version >= since.NETWORKS_REQUIRED:
        raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property.")
    if wish.personality:
        raise NotImplementedYet("Cairn cannot inject files yet: use user data in place of personality.")
    if wish.block_device_mapping:
        raise NotImplementedYet("Cairn reads block_device_mapping_v2 only: leave block_device_mapping out.")
    if wish.hostname is not None and (wish.max_count or 1) > 1:
        raise BadRequest("A hostname cannot be given to several servers: leave it out, or ask for one.")


async def check_metadata_quota(call: Call, metadata: Mapping[str, str]) -> None:
    """Raise OverQuota for more metadata than a server of the caller may have."""
    if not metadata or call.caller.project is None:
        return
    limits = await quota_limits.user_limits(call.services.db, call.caller.project, call.caller.user_id)
    check_metadata_count(len(metadata), limits["metadata_items"])


def check_metadata_count(count: int, limit: int) -> None:
    """Raise OverQuota for more pairs of metadata than a server may have."""
    if 0 <= limit < count:
        raise OverQuota(f"Maximum number of metadata items exceeds {limit}")


# --- what is recorded ------------------------------------------------------------------------------------


def _instances(
    call: Call,
    wish: ServerWish,
    parts: Parts,
    *,
    zone: str | None,
    count: int,
    password_hash: str | None,
) -> list[NewInstance]:
    caller = call.caller
    if caller.project is None or caller.namespace is None:
        raise Forbidden("This needs a token that is scoped to a project.")
    reservation = "r-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(8))
    base = slug(wish.name, "server")
    found = []
    for index in range(count):
        server_id, number = str(uuid.uuid4()), None if count == 1 else index + 1
        display_name = wish.name if number is None else f"{wish.name}-{number}"
        hostname = wish.hostname or hostnames.from_name(wish.name, server_id, number)
        name = with_suffix(base)
        wanted = _spec(call, wish, parts, zone=zone, display_name=display_name, hostname=hostname)
        wanted = wanted.model_copy(update={"admin_password_hash": password_hash})
        spec = wanted.to_api()
        found.append(
            NewInstance(
                id=server_id,
                project=caller.project,
                namespace=caller.namespace,
                name=name,
                request={
                    "spec": spec,
                    "networks": parts.networks,
                    "generation": 1,
                    "shown": wanted.changeable(),
                },
                flavor=parts.flavor,
                image=parts.image,
                key_pair=parts.key_pair,
                group_id=parts.group_id,
                availability_zone=zone,
                hints=spec["schedulerHints"],
                request_id=call.request_id,
                user_id=caller.user_id,
                details=_details(wish, parts, reservation, index),
                volumes=tuple(planned.want(call, name, place) for place, planned in enumerate(parts.volumes)),
            )
        )
    return found


def _spec(
    call: Call, wish: ServerWish, parts: Parts, *, zone: str | None, display_name: str, hostname: str
) -> InstanceSpec:
    description = wish.description
    if call.version < since.SERVER_DESCRIPTION:
        description = display_name
    return InstanceSpec(
        flavor=parts.flavor["name"],
        image=parts.image["name"],
        key_pair=parts.key_pair_resource,
        networks=[NetworkRequest.model_validate(request) for request in parts.requests],
        security_groups=parts.security_groups,
        hostname=hostname,
        user_data_base64=wish.user_data or None,
        metadata=wish.metadata,
        config_drive=wish.config_drive is not False,
        availability_zone=zone,
        host=parts.host,
        scheduler_hints=SchedulerHints.model_validate(parts.hints),
        display_name=display_name,
        description=description or None,
        tags=list(dict.fromkeys(wish.tags)),
    )


def _details(wish: ServerWish, parts: Parts, reservation: str, index: int) -> dict[str, Any]:
    details = {
        "reservationId": reservation,
        "launchIndex": index,
        "diskConfig": wish.disk_config or MANUAL,
        "accessIPv4": wish.access_ipv4,
        "accessIPv6": wish.access_ipv6,
        "trustedImageCertificates": wish.trusted_image_certificates,
        "schedulerHints": parts.given_hints or None,
    }
    return {name: value for name, value in details.items() if value is not None}


async def _register(call: Call, new: list[NewInstance], at_least: int) -> list[InstanceRecord]:
    try:
        return await instances.register_many(call.services.db, new, at_least)
    except QuotaExceeded as error:
        raise OverQuota(str(error)) from error
    except (ProjectDisabled, ProjectNotFound) as error:
        raise Forbidden(str(error)) from error
    except (ServerGroupNotFound, *NO_VOLUME) as error:
        raise BadRequest(str(error)) from error


async def _make_resource(call: Call, record: InstanceRecord) -> None:
    """The row is what counts: where this fails, the conductor's sweep makes the resource."""
    resource = Instance(
        metadata=Metadata(
            name=record.name,
            namespace=record.namespace,
            labels={INSTANCE_LABEL: record.id},
            finalizers=[INSTANCE_FINALIZER],
        ),
        spec=InstanceSpec.model_validate(record.spec),
    )
    try:
        await call.services.cluster.create(resource)
    except KubernetesError as error:
        log.warning("server.resource_later", instance_id=record.id, error=str(error))
    if record.volumes:
        await make_volume_resources(call, record)


def _answer(
    call: Call, wish: ServerWish, records: list[InstanceRecord], password: AdminPassword | None
) -> Answer:
    if wish.return_reservation_id:
        return Answer({"reservation_id": records[0].details["reservationId"]})
    first = records[0]
    server: dict[str, Any] = {
        "id": first.id,
        "links": links(call, "servers", first.id),
        "OS-DCF:diskConfig": first.details["diskConfig"],
        "security_groups": [{"name": group.name} for group in wish.security_groups or []]
        or [{"name": "default"}],
    }
    if password is not None and call.services.settings.gateway.enable_instance_password:
        server["adminPass"] = password.clear
    location = f"{call.base_url}{PREFIX}/servers/{first.id}"
    return Answer({"server": server}, headers={"Location": location})


ROUTES = (
    Route(
        "POST", "/servers", create, RULE, status=202, body=CreateServer, enforce=Enforce.HANDLER,
        max_body=1024 * 1024,
    ),
)  # fmt: skip
