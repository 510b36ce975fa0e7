"""PUT /servers/{server_id}, its metadata and its tags: what only describes a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field

from cairn_database import InstanceNotFound, InstanceRecord, aggregates, asking, quota_limits
from cairn_database.asking import PinRefused
from cairn_database.legality import ActionRefused, InstanceLocked, check
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, NotFound
from cairn_gateway.http.models import Name, RequestModel, Since, Text255
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.paging import PREFIX
from cairn_gateway.nova.servers import hostnames
from cairn_gateway.nova.servers.create import check_metadata_count
from cairn_gateway.nova.servers.create_models import (
    AccessIPv4,
    AccessIPv6,
    DiskConfig,
    Metadata,
    Tags,
)
from cairn_gateway.nova.servers.hostnames import Hostname
from cairn_gateway.nova.servers.load import server_of, surroundings, target_of
from cairn_gateway.nova.servers.view import ServerView

MOST_TAGS = 50
Json = dict[str, Any]


class Changes(RequestModel):
    """What may be changed."""

    name: Name | None = None
    disk_config: Annotated[DiskConfig | None, Field(alias="OS-DCF:diskConfig")] = None
    access_ipv4: Annotated[AccessIPv4, Field(alias="accessIPv4")] = None
    access_ipv6: Annotated[AccessIPv6, Field(alias="accessIPv6")] = None
    description: Annotated[Text255 | None, Since(since.SERVER_DESCRIPTION)] = None
    hostname: Annotated[Hostname | None, Since(since.HOSTNAME_REQUEST)] = None
    pinned_availability_zone: Annotated[Name | None, Since(since.PINNED_ZONE_UPDATE)] = None


class UpdateServer(RequestModel):
    """PUT /servers/{server_id}."""

    server: Changes


class MetadataBody(RequestModel):
    """`{"metadata": {"key": "value"}}`."""

    metadata: Metadata


class MetadataItem(RequestModel):
    """`{"meta": {"key": "value"}}`."""

    meta: Annotated[Metadata, Field(min_length=1, max_length=1)]


class TagsBody(RequestModel):
    """`{"tags": ["one", "two"]}`."""

    tags: Tags


async def change(
    call: Call, make: Callable[[InstanceRecord], tuple[Json, Json]], record: InstanceRecord | None = None
) -> InstanceRecord:
    """Load, ask the policy, change, and let the conductor know. Raises NotFound, Conflict."""
    if record is None:
        record = await server_of(call)
        call.enforce(target_of(call, record))
    try:
        after = await asking.change_labels(call.services.db, record.id, make)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    except (ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    if after.version != record.version:
        await call.services.cluster.hint(after.namespace, after.name, call.request_id)
    return after


# --- PUT /servers/{server_id} ----------------------------------------------------------------------------


async def update(call: Call) -> Answer:
    """Change its name, description, hostname, access addresses, disk configuration or whether it is pinned to
    its zone; nothing is a change, too."""
    body: UpdateServer = call.checked
    given, wanted = body.server.model_fields_set, body.server
    hostnames.check(call, wanted.hostname)
    record = await server_of(call)
    call.enforce(target_of(call, record))
    if "pinned_availability_zone" in given:
        await _pin(call, record, wanted.pinned_availability_zone)

    def make(_record: InstanceRecord) -> tuple[Json, Json]:
        spec: Json = {}
        details: Json = {}
        if wanted.name is not None:
            spec["displayName"] = wanted.name
        if "description" in given:
            spec["description"] = wanted.description or None
        if wanted.disk_config is not None:
            details["diskConfig"] = wanted.disk_config
        if "access_ipv4" in given:
            details["accessIPv4"] = wanted.access_ipv4
        if "access_ipv6" in given:
            details["accessIPv6"] = wanted.access_ipv6
        if wanted.hostname is not None:
            details["hostname"] = wanted.hostname
        return spec, details

    after = await change(call, make, record)
    server = ServerView(call, await surroundings(call, [after])).full(after)
    if call.version < since.SERVER_SHAPE_UNIFORM:
        server = brief(call, server)
    return Answer({"server": server})


async def _pin(call: Call, record: InstanceRecord, zone: str | None) -> None:
    """Nova API: PUT /servers/{server_id} with pinned_availability_zone. Raises NotFound, Conflict."""
    zones = await aggregates.host_zones(call.services.db)
    try:
        await asking.pin(call.services.db, record.id, zone, zones)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    except PinRefused as error:
        raise Conflict(str(error)) from error


_BRIEF = frozenset(
    {
        "accessIPv4", "accessIPv6", "addresses", "created", "flavor", "hostId", "id", "image", "links",
        "metadata", "name", "status", "tenant_id", "user_id", "updated", "OS-DCF:diskConfig", "fault",
        "progress",
    }
)  # fmt: skip


def brief(call: Call, server: Json, *more: str) -> Json:
    """What PUT, and the action rebuild, answered before 2.75: these fields, `more`, and of addresses nothing
    but themselves."""
    newer = {
        "locked": since.SERVER_LOCKED,
        "description": since.SERVER_DESCRIPTION,
        "tags": since.SERVER_TAGS,
        "trusted_image_certificates": since.TRUSTED_CERTIFICATES,
        "server_groups": since.SERVER_GROUPS_IN_SERVER,
        "locked_reason": since.LOCK_REASON,
    }
    known = _BRIEF.union(more, (name for name, version in newer.items() if call.version >= version))
    shown = {name: value for name, value in server.items() if name in known}
    shown["addresses"] = {
        network: [{"version": one["version"], "addr": one["addr"]} for one in found]
        for network, found in server["addresses"].items()
    }
    return shown


# --- metadata --------------------------------------------------------------------------------------------


async def metadata_index(call: Call) -> Answer:
    """All of its metadata."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return Answer({"metadata": record.spec.get("metadata") or {}})


async def metadata_show(call: Call) -> Answer:
    """One pair of its metadata."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    key = call.params["key"]
    pairs = record.spec.get("metadata") or {}
    if key not in pairs:
        raise NotFound("Metadata item was not found")
    return Answer({"meta": {key: pairs[key]}})


async def metadata_merge(call: Call) -> Answer:
    """Add or change pairs."""
    body: MetadataBody = call.checked
    after = await _change_metadata(call, lambda pairs: {**pairs, **body.metadata})
    return Answer({"metadata": after})


async def metadata_replace(call: Call) -> Answer:
    """Have these pairs and no others."""
    body: MetadataBody = call.checked
    after = await _change_metadata(call, lambda _pairs: dict(body.metadata))
    return Answer({"metadata": after})


async def metadata_set(call: Call) -> Answer:
    """Add or change one pair."""
    body: MetadataItem = call.checked
    key = call.params["key"]
    if key not in body.meta:
        raise BadRequest("Request body and URI mismatch")
    after = await _change_metadata(call, lambda pairs: {**pairs, key: body.meta[key]})
    return Answer({"meta": {key: after[key]}})


async def metadata_delete(call: Call) -> Answer:
    """Remove one pair."""
    key = call.params["key"]

    def without(pairs: dict[str, str]) -> dict[str, str]:
        if key not in pairs:
            raise NotFound("Metadata item was not found")
        return {name: value for name, value in pairs.items() if name != key}

    await _change_metadata(call, without, action="delete_metadata")
    return Answer()


async def _change_metadata(
    call: Call, new: Callable[[dict[str, str]], dict[str, str]], action: str = "update_metadata"
) -> dict[str, str]:
    record = await server_of(call)
    call.enforce(target_of(call, record))
    limits = await quota_limits.project_limits(call.services.db, record.project)

    def make(found: InstanceRecord) -> tuple[Json, Json]:
        word = action.replace("_", " ")
        check(action, found, overrides_lock=call.is_admin, called=word)
        pairs = new(found.spec.get("metadata") or {})
        check_metadata_count(len(pairs), limits["metadata_items"])
        return {"metadata": pairs}, {}

    after = await change(call, make, record)
    pairs: dict[str, str] = after.spec.get("metadata") or {}
    return pairs


# --- tags ------------------------------------------------------------------------------------------------


async def tags_index(call: Call) -> Answer:
    """All of its tags."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return Answer({"tags": record.spec.get("tags") or []})


async def tag_show(call: Call) -> Answer:
    """Whether it has the tag."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    if call.params["tag"] not in (record.spec.get("tags") or []):
        raise NotFound(f"Server {record.id} has no tag '{call.params['tag']}'")
    return Answer()


async def tags_replace(call: Call) -> Answer:
    """Have these tags and no others."""
    body: TagsBody = call.checked
    wanted = list(dict.fromkeys(body.tags))
    await _change_tags(call, lambda _tags: wanted)
    return Answer({"tags": wanted})


async def tag_add(call: Call) -> Answer:
    """Add a tag: 201 where it is new, 204 where it was there."""
    tag = call.params["tag"]
    if not 0 < len(tag) <= 60 or "," in tag or "/" in tag:
        raise BadRequest(f"Tag '{tag[:60]}' is invalid: it has 1 to 60 characters, without ',' and '/'.")
    before = await _change_tags(call, lambda tags: tags if tag in tags else [*tags, tag])
    location = f"{call.base_url}{PREFIX}/servers/{call.params['server_id']}/tags/{tag}"
    return Answer(status=204 if tag in before else 201, headers={"Location": location})


async def tag_delete(call: Call) -> Answer:
    """Remove a tag."""
    tag = call.params["tag"]

    def without(tags: list[str]) -> list[str]:
        if tag not in tags:
            raise NotFound(f"Server {call.params['server_id']} has no tag '{tag}'")
        return [name for name in tags if name != tag]

    await _change_tags(call, without)
    return Answer()


async def tags_clear(call: Call) -> Answer:
    """Remove all tags."""
    await _change_tags(call, lambda _tags: [])
    return Answer()


async def _change_tags(call: Call, new: Callable[[list[str]], list[str]]) -> list[str]:
    """The tags before."""
    before: list[str] = []

    def make(found: InstanceRecord) -> tuple[Json, Json]:
        check("update_tags", found, called="update tag")
        before[:] = found.spec.get("tags") or []
        tags = new(list(before))
        if len(tags) > MOST_TAGS:
            raise BadRequest(f"The number of tags exceeded the per-server limit {MOST_TAGS}")
        return {"tags": tags}, {}

    await change(call, make)
    return before


def _route(method: str, path: str, handler: Any, rule: str, **options: Any) -> Route:
    return Route(method, f"/servers/{{server_id}}{path}", handler, rule, enforce=Enforce.HANDLER, **options)


_META = "os_compute_api:server-metadata:"
_TAGS = "os_compute_api:os-server-tags:"
_TAGGED: Json = {"since": since.SERVER_TAGS}
ROUTES = (
    _route("PUT", "", update, "os_compute_api:servers:update", body=UpdateServer),
    _route("GET", "/metadata", metadata_index, f"{_META}index"),
    _route("POST", "/metadata", metadata_merge, f"{_META}create", body=MetadataBody),
    _route("PUT", "/metadata", metadata_replace, f"{_META}update_all", body=MetadataBody),
    _route("GET", "/metadata/{key}", metadata_show, f"{_META}show"),
    _route("PUT", "/metadata/{key}", metadata_set, f"{_META}update", body=MetadataItem),
    _route("DELETE", "/metadata/{key}", metadata_delete, f"{_META}delete", status=204),
    _route("GET", "/tags", tags_index, f"{_TAGS}index", **_TAGGED),
    _route("PUT", "/tags", tags_replace, f"{_TAGS}update_all", body=TagsBody, **_TAGGED),
    _route("DELETE", "/tags", tags_clear, f"{_TAGS}delete_all", status=204, **_TAGGED),
    _route("GET", "/tags/{tag}", tag_show, f"{_TAGS}show", status=204, **_TAGGED),
    _route("PUT", "/tags/{tag}", tag_add, f"{_TAGS}update", status=201, **_TAGGED),
    _route("DELETE", "/tags/{tag}", tag_delete, f"{_TAGS}delete", status=204, **_TAGGED),
)
