"""Key pairs: whose they are, making and importing them.

To API clients a key pair is a user's, wherever the user works; the KeyPair resource lives in the namespace of
the project in which it was made. Those made with kubectl without a user are everybody's in their project.
Source of behaviour: Nova API, /os-keypairs.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints, ValidationInfo

from cairn_crds import KeyPair
from cairn_crds.base import Metadata
from cairn_crds.key_pair import KeyPairSpec, KeyPairType
from cairn_database import DisplayNameTaken, QuotaExceeded, catalog, key_pairs
from cairn_database.key_pairs import StoredKeyPair
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, Forbidden, NotFound, OverQuota
from cairn_gateway.http.models import Name, RequestModel, Since
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.naming import resource_name
from cairn_gateway.nova import key_making
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.paging import next_link, page_limit, page_of
from cairn_gateway.nova.queries import query_of
from cairn_gateway.reserving import reserve_and_create
from cairn_runtime import kubernetes, public_keys

RULE = "os_compute_api:os-keypairs:"
PLAIN_NAME = re.compile(r"[_\- a-zA-Z0-9]+")
WIDE_NAME = re.compile(r"[_\-@. a-zA-Z0-9]+")
LONGEST_KEY = 16384
UserId = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]


# --- what comes in ---------------------------------------------------------------------------------------


def _name(value: str, info: ValidationInfo) -> str:
    version = (info.context or {}).get("version")
    wide = version is not None and version >= at.KEYPAIR_NAME_CHARACTERS
    if not (WIDE_NAME if wide else PLAIN_NAME).fullmatch(value):
        more = ", '@' and '.'" if wide else ""
        raise ValueError(f"it may have letters, digits, spaces, '_' and '-'{more} only")
    return value


class NewKeyPair(RequestModel):
    """What a new key pair is to be."""

    name: Annotated[Name, AfterValidator(_name)]
    public_key: Annotated[str, StringConstraints(strict=True, max_length=LONGEST_KEY)] | None = None
    type: Annotated[KeyPairType, Since(at.KEYPAIR_TYPES)] = KeyPairType.SSH
    user_id: Annotated[UserId | None, Since(at.KEYPAIRS_OF_OTHER_USERS)] = None


class CreateKeyPair(RequestModel):
    """POST /os-keypairs."""

    keypair: NewKeyPair


# --- what goes out ---------------------------------------------------------------------------------------


def _brief(call: Call, stored: StoredKeyPair) -> dict[str, Any]:
    shown = {
        "name": stored.name,
        "public_key": stored.spec.public_key,
        "fingerprint": _fingerprint(stored.spec),
    }
    if call.version >= at.KEYPAIR_TYPES:
        shown["type"] = stored.spec.type.value
    return shown


def _fingerprint(spec: KeyPairSpec) -> str:
    try:
        return public_keys.describe(spec)[1]
    except ValueError:
        return ""


def _number(stored: StoredKeyPair) -> int:
    """Nova shows a row's number; this one says as little and stays the same."""
    digest = hashlib.sha256(f"{stored.namespace}/{stored.resource}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


# --- calls -----------------------------------------------------------------------------------------------


def _user_of(call: Call, *more: str) -> tuple[str, dict[str, str]]:
    """Whose key pairs are asked for, once the policy allows it, and the query's fields."""
    known: tuple[str, ...] = more
    if call.version >= at.KEYPAIRS_OF_OTHER_USERS:
        known = ("user_id", *more)
    query = query_of(call, known, since=at.UNKNOWN_PARAMETERS_REFUSED)
    user_id = query.get("user_id") or call.caller.user_id
    _enforce(call, user_id)
    return user_id, query


def _enforce(call: Call, user_id: str) -> None:
    call.enforce({"user_id": user_id, "project_id": call.caller.project_id})


def _namespace_for(call: Call, user_id: str) -> str | None:
    """Where everybody's key pairs count for this user: in the caller's own project, for the caller."""
    return call.caller.namespace if user_id == call.caller.user_id else None


async def _stored(call: Call, user_id: str) -> StoredKeyPair:
    name = call.params["keypair_name"]
    found = await key_pairs.find(call.services.db, user_id, _namespace_for(call, user_id), name)
    if found is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}")
    return found


async def index(call: Call) -> Answer:
    """A user's key pairs"""
    paged = call.version >= at.KEYPAIR_PAGES
    user_id, query = _user_of(call, *(("limit", "marker") if paged else ()))
    found = await key_pairs.list_for(call.services.db, user_id, _namespace_for(call, user_id))
    page, more = page_of(
        found,
        marker=query.get("marker"),
        limit=page_limit(query.get("limit")) if paged else len(found),
        key=lambda stored: stored.name,
    )
    body: dict[str, Any] = {"keypairs": [{"keypair": _brief(call, stored)} for stored in page]}
    if more and page:
        body["keypairs_links"] = next_link(call, page[-1].name)
    return Answer(body)


async def show(call: Call) -> Answer:
    """One key pair of a user"""
    user_id, _query = _user_of(call)
    stored = await _stored(call, user_id)
    more = {
        "user_id": stored.user_id or user_id,
        "created_at": _moment(stored.created_at),
        "deleted": False,
        "deleted_at": None,
        "id": _number(stored),
        "updated_at": None,
    }
    return Answer({"keypair": _brief(call, stored) | more})


async def create(call: Call) -> Answer:
    """Import a key pair, or (up to 2.91) make one"""
    asked: NewKeyPair = call.checked.keypair
    user_id = asked.user_id or call.caller.user_id
    _enforce(call, user_id)
    private_key: str | None = None
    if asked.public_key is not None:
        public_key = asked.public_key
    elif call.version >= at.KEYPAIR_IMPORT_ONLY:
        raise BadRequest("Invalid input for field/attribute keypair: 'public_key' is a required property.")
    else:
        public_key = ""
    await _refuse_taken(call, user_id, asked.name)
    if asked.public_key is None:
        made = await asyncio.to_thread(key_making.make, asked.type, user_id)
        public_key, private_key = made.public_key, made.private_key
    stored = await _make(call, _spec(asked, user_id, public_key))
    shown = _brief(call, stored) | {"user_id": user_id}
    if private_key is not None:
        shown["private_key"] = private_key
    return Answer({"keypair": shown})


def _spec(asked: NewKeyPair, user_id: str, public_key: str) -> KeyPairSpec:
    if not public_key.strip():
        raise BadRequest("Keypair data is invalid: failed to generate fingerprint")
    spec = KeyPairSpec(display_name=asked.name, user=user_id, type=asked.type, public_key=public_key)
    if asked.public_key is not None:
        try:
            key_making.check(spec)
        except ValueError as error:
            raise BadRequest(str(error)) from error
    return spec


async def _refuse_taken(call: Call, user_id: str, name: str) -> None:
    """Before a key is made for nothing."""
    found = await key_pairs.find(call.services.db, user_id, None, name)
    if found is not None:
        raise Conflict(f"Key pair '{name}' already exists.")


async def _make(call: Call, spec: KeyPairSpec) -> StoredKeyPair:
    services, caller, table = call.services, call.caller, catalog.key_pairs
    namespace, project = caller.namespace, caller.project
    if namespace is None or project is None:
        raise Forbidden("This needs a token that is scoped to a project.")
    name = spec.display_name or ""
    try:
        made: KeyPair = await reserve_and_create(
            services.cluster,
            resource_name(name, "key"),
            reserve=lambda resource: table.reserve(services.db, namespace, resource, spec, project),
            resource=lambda resource: KeyPair(
                metadata=Metadata(name=resource, namespace=namespace), spec=spec
            ),
            release=lambda resource: table.release(services.db, namespace, resource),
        )
    except DisplayNameTaken as error:
        raise Conflict(f"Key pair '{name}' already exists.") from error
    except QuotaExceeded as error:
        raise OverQuota("Quota exceeded, too many key pairs.") from error
    metadata = made.metadata
    await table.upsert(services.db, namespace, metadata.name, made.spec, metadata.uid)
    created = metadata.creation_timestamp or datetime.now().astimezone()
    return StoredKeyPair(name, spec.user, namespace, metadata.name, made.spec, created)


async def delete(call: Call) -> Answer:
    """Delete a key pair; guests that have it keep it"""
    user_id, _query = _user_of(call)
    services, stored = call.services, await _stored(call, user_id)
    try:
        found: KeyPair = await services.cluster.get(KeyPair, stored.resource, stored.namespace)
    except kubernetes.NotFound:
        uid = None
    else:
        uid = found.metadata.uid
        await services.cluster.delete(KeyPair, stored.resource, stored.namespace)
    await catalog.key_pairs.remove(services.db, stored.namespace, stored.resource, uid)
    if uid is None:
        raise NotFound(f"Keypair {stored.name} not found for user {user_id}")
    return Answer()


OLD = at.before(at.KEYPAIR_STATUS_CODES)
NEW = at.KEYPAIR_STATUS_CODES
HANDLER = Enforce.HANDLER
ONE = "/os-keypairs/{keypair_name}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-keypairs", index, RULE + "index", enforce=HANDLER),
    Route("GET", ONE, show, RULE + "show", enforce=HANDLER),
    Route("POST", "/os-keypairs", create, RULE + "create", until=OLD, body=CreateKeyPair, enforce=HANDLER),
    Route(
        "POST",
        "/os-keypairs",
        create,
        RULE + "create",
        status=201,
        since=NEW,
        body=CreateKeyPair,
        enforce=HANDLER,
    ),
    Route("DELETE", ONE, delete, RULE + "delete", status=202, until=OLD, enforce=HANDLER),
    Route("DELETE", ONE, delete, RULE + "delete", status=204, since=NEW, enforce=HANDLER),
)
