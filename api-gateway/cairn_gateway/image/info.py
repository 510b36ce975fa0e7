"""What clients ask about the API itself: versions, schemas, ways to import."""

from __future__ import annotations

from typing import Any

from cairn_database.images.members import STATUSES
from cairn_database.images.records import Visibility
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.image.fields import CONTAINER_FORMATS, DISK_FORMATS
from cairn_gateway.image.serving import load, store

CURRENT = "v2.9"
SUPPORTED = ("v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")
"""As a Glance without several stores; what came later is about those, caching and locations."""


async def choices(call: Call) -> Answer:
    """The versions, as an answer that leaves the choice to the client."""
    return _versions(call, 300)


async def versions(call: Call) -> Answer:
    """The versions."""
    return _versions(call, 200)


def _versions(call: Call, status: int) -> Answer:
    links = [{"rel": "self", "href": f"{call.base_url}/image/v2/"}]
    found = [{"id": CURRENT, "status": "CURRENT", "links": links}]
    found += [{"id": version, "status": "SUPPORTED", "links": links} for version in SUPPORTED]
    return Answer({"versions": found}, status)


async def import_methods(_call: Call) -> Answer:
    """The ways to import an image: none, data is uploaded."""
    about = "Import methods available."
    return Answer({"import-methods": {"description": about, "type": "array", "value": []}})


async def stores(_call: Call) -> Answer:
    """The stores: Glance answers so too where there are not several."""
    raise NotFound("Multi backend is not supported at this site.")


async def import_image(call: Call) -> Answer:
    """Import an image. The built-in store takes uploads only."""
    record = await load(call)
    call.enforce(store(call).target(call, record))
    raise BadRequest(
        "Image import is not supported at this site. Upload the data: "
        f"PUT /v2/images/{record.id}/file (`openstack image create --file`)."
    )


async def tasks(call: Call) -> Answer:
    """The tasks that an image is, or was, in: none, for nothing is imported."""
    await load(call)
    return Answer({"tasks": []})


def _text(about: str, **more: Any) -> dict[str, Any]:
    return {"type": ["null", "string"], "description": about, **more}


IMAGE_SCHEMA: dict[str, Any] = {
    "name": "image",
    "properties": {
        "id": {
            "type": "string",
            "pattern": "^([0-9a-fA-F]){8}(-([0-9a-fA-F]){4}){3}-([0-9a-fA-F]){12}$",
            "description": "A UUID; one is made when left out",
        },
        "name": _text("What people call it", maxLength=255),
        "status": {
            "type": "string",
            "readOnly": True,
            "description": "queued (no data), saving, active, deactivated",
            "enum": ["queued", "saving", "active", "killed", "deleted", "deactivated"],
        },
        "visibility": {"type": "string", "enum": list(Visibility), "description": "Who may use it"},
        "owner": _text("The project that it belongs to", maxLength=255),
        "protected": {"type": "boolean", "description": "True: it cannot be deleted"},
        "os_hidden": {"type": "boolean", "description": "True: lists leave it out unless asked for"},
        "container_format": _text("What is around the disk", enum=[None, *CONTAINER_FORMATS]),
        "disk_format": _text("How the disk is written", enum=[None, *DISK_FORMATS]),
        "min_ram": {"type": "integer", "description": "MiB of memory that a server needs for it"},
        "min_disk": {"type": "integer", "description": "GiB of disk that a server needs for it"},
        "tags": {
            "type": "array",
            "items": {"type": "string", "maxLength": 255},
            "description": "Words to find it by",
        },
        "size": {"type": ["null", "integer"], "readOnly": True, "description": "Bytes of its file"},
        "virtual_size": {"type": ["null", "integer"], "readOnly": True, "description": "Bytes of its disk"},
        "checksum": _text("MD5 of its file", readOnly=True, maxLength=32),
        "os_hash_algo": _text("What os_hash_value is made with", readOnly=True, maxLength=64),
        "os_hash_value": _text("Its file's checksum, in hexadecimal", readOnly=True, maxLength=128),
        "created_at": {"type": "string", "readOnly": True, "description": "When it was made"},
        "updated_at": {"type": "string", "readOnly": True, "description": "When it last changed"},
        "self": {"type": "string", "readOnly": True, "description": "Its path"},
        "file": {"type": "string", "readOnly": True, "description": "The path of its data"},
        "schema": {"type": "string", "readOnly": True, "description": "The path of this schema"},
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER_SCHEMA: dict[str, Any] = {
    "name": "member",
    "properties": {
        "member_id": {"type": "string", "description": "The project that it is shared with"},
        "image_id": {"type": "string", "pattern": IMAGE_SCHEMA["properties"]["id"]["pattern"]},
        "status": {"type": "string", "enum": list(STATUSES), "description": "What the project answered"},
        "created_at": {"type": "string"},
        "updated_at": {"type": "string"},
        "schema": {"type": "string", "readOnly": True},
    },
}


def _collection(name: str, item: dict[str, Any], paged: bool) -> dict[str, Any]:
    links = [{"rel": "describedby", "href": "{schema}"}]
    properties: dict[str, Any] = {
        name: {"type": "array", "items": item},
        "schema": {"type": "string"},
    }
    if paged:
        links = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, *links]
        properties |= {"first": {"type": "string"}, "next": {"type": "string"}}
    return {"name": name, "properties": properties, "links": links}


SCHEMAS = {
    "image": IMAGE_SCHEMA,
    "images": _collection("images", IMAGE_SCHEMA, paged=True),
    "member": MEMBER_SCHEMA,
    "members": _collection("members", MEMBER_SCHEMA, paged=False),
}


async def schema(call: Call) -> Answer:
    """The JSON schema of what the API shows."""
    found = SCHEMAS.get(call.params["name"])
    if found is None:
        raise NotFound(f"There is no schema of {call.params['name']}.")
    return Answer(found)


ROUTES = (
    Route("GET", "/", choices, rule=None),
    Route("GET", "/versions", versions, rule=None),
    Route("GET", "/v2/schemas/{name}", schema, "get_images"),
    Route("GET", "/v2/info/import", import_methods, "get_images"),
    Route("GET", "/v2/info/stores", stores, "get_images"),
    Route("GET", "/v2/images/{image_id}/tasks", tasks, "get_image", enforce=Enforce.HANDLER),
    Route(
        "POST",
        "/v2/images/{image_id}/import",
        import_image,
        "modify_image",
        status=202,
        enforce=Enforce.HANDLER,
    ),
)
