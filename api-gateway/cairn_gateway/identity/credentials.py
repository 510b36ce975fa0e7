"""`/v3/credentials` (Keystone API: Credentials): secrets that are kept for a user, encrypted."""

from __future__ import annotations

from typing import Any, Final
from uuid import uuid4

from cairn_database.identity import credentials, users
from cairn_database.identity.records import Credential
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Forbidden
from cairn_gateway.identity import ec2_keys
from cairn_gateway.identity.models import CredentialCreate, CredentialUpdate, NewCredential
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    builtin,
    collection,
    enforce,
    filters,
    readable,
    route,
    url,
)

KEPT: Final = ("blob", "project_id", "type")


async def refuse_restricted(call: Call) -> None:
    """Raises Forbidden for a token of an application credential that may make no further ones: what it made
    would outlive it."""
    token = (await builtin(call).verify(call.headers["x-auth-token"])).token
    key = token.application_credential_id
    if key is None:
        return
    found = await credentials.find_application_credential(call.services.db, key=key)
    if found is None or not found.unrestricted:
        raise Forbidden("This application credential is restricted: it may not make or delete credentials.")


async def _document(call: Call, record: Credential) -> dict[str, Any]:
    return {
        "id": record.id,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "type": record.type,
        "blob": await builtin(call).unseal(record.blob),
        "links": {"self": url(call, "credentials", record.id)},
    }


async def _load(call: Call) -> Credential:
    record = await credentials.get_credential(call.services.db, call.params["credential_id"])
    enforce(call, target__credential__user_id=record.user_id)
    return record


async def list_credentials(call: Call) -> Answer:
    """The credentials that the caller may see."""
    wanted = filters(call, "user_id", "type")
    enforce(call, target__credential__user_id=wanted.get("user_id") or call.caller.user_id)
    found = await credentials.list_credentials(
        call.services.db, user_id=wanted.get("user_id"), kind=wanted.get("type")
    )
    seen = [
        record
        for record in found
        if call.allows("identity:get_credential", {"target.credential.user_id": record.user_id})
    ]
    return collection(call, "credentials", [await _document(call, record) for record in seen])


async def show_credential(call: Call) -> Answer:
    """A credential, with its secret."""
    return Answer({"credential": await _document(call, await _load(call))})


async def create_credential(call: Call) -> Answer:
    """Keep a secret for a user; of type `ec2`: a key that signs requests to the EC2 API."""
    asked: NewCredential = call.checked.credential
    user_id = asked.user_id or call.caller.user_id
    enforce(call, target__credential__user_id=user_id)
    await refuse_restricted(call)
    await users.get_user(call.services.db, user_id)
    key = uuid4().hex
    if asked.type == ec2_keys.TYPE:
        key = ec2_keys.id_of(ec2_keys.read(asked.blob).access)
        await ec2_keys.require_role(call, user_id, asked.project_id)
    sealed = await builtin(call).seal(asked.blob)
    made = Credential(key, user_id, asked.project_id, asked.type, sealed)
    await credentials.create_credential(call.services.db, made)
    return Answer({"credential": await _document(call, made)})


async def update_credential(call: Call) -> Answer:
    """Change a credential; an EC2 key keeps its access key."""
    record = await _load(call)
    await refuse_restricted(call)
    given = call.checked.credential.given()
    if given.get("user_id", record.user_id) != record.user_id:
        raise BadRequest("The user of a credential cannot be changed.")
    changes = {name: given[name] for name in KEPT if given.get(name) is not None}
    if ec2_keys.TYPE in (record.type, changes.get("type")):
        if changes.get("type", record.type) != record.type:
            raise BadRequest("An EC2 credential stays one, and no other becomes one: make a new credential.")
        if "blob" in changes and ec2_keys.id_of(ec2_keys.read(changes["blob"]).access) != record.id:
            raise BadRequest("The access key of an EC2 credential cannot be changed.")
        await ec2_keys.require_role(call, record.user_id, changes.get("project_id", record.project_id))
    if "blob" in changes:
        changes["blob"] = await builtin(call).seal(changes["blob"])
    changed = await credentials.update_credential(call.services.db, record.id, changes)
    return Answer({"credential": await _document(call, changed)})


async def delete_credential(call: Call) -> Answer:
    """Delete a credential."""
    record = await _load(call)
    await refuse_restricted(call)
    await credentials.delete_credential(call.services.db, record.id)
    return Answer(status=NO_CONTENT)


ROUTES = (
    *readable("/credentials", list_credentials, "list_credentials"),
    route("POST", "/credentials", create_credential, "create_credential", status=201, body=CredentialCreate),
    *readable("/credentials/{credential_id}", show_credential, "get_credential"),
    route(
        "PATCH", "/credentials/{credential_id}", update_credential, "update_credential", body=CredentialUpdate
    ),
    route("DELETE", "/credentials/{credential_id}", delete_credential, "delete_credential"),
)
