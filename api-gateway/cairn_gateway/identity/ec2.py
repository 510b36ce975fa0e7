"""`/v3/users/{user_id}/credentials/OS-EC2` (Keystone API: OS-EC2): a user's EC2 keys."""

from __future__ import annotations

import secrets
from typing import Any

from cairn_database import tenants
from cairn_database.identity import credentials, users
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import Credential
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.identity import ec2_keys
from cairn_gateway.identity.credentials import refuse_restricted
from cairn_gateway.identity.ec2_keys import Ec2Key
from cairn_gateway.identity.models import Ec2Create
from cairn_gateway.identity.routing import NO_CONTENT, builtin, collection, enforce, readable, route, url


async def _document(call: Call, record: Credential) -> dict[str, Any]:
    key = ec2_keys.read(await builtin(call).unseal(record.blob))
    return {
        "access": key.access,
        "secret": key.secret,
        "tenant_id": record.project_id,
        "user_id": record.user_id,
        "trust_id": None,
        "links": {"self": url(call, "users", record.user_id, "credentials", "OS-EC2", key.access)},
    }


async def _load(call: Call) -> Credential:
    user_id, access_key = call.params["user_id"], call.params["access"]
    try:
        record = await credentials.get_credential(call.services.db, ec2_keys.id_of(access_key))
    except IdentityNotFound as error:
        enforce(call, target__credential__user_id=user_id)
        raise IdentityNotFound("credential", access_key) from error
    enforce(call, target__credential__user_id=record.user_id)
    if record.user_id != user_id or record.type != ec2_keys.TYPE:
        raise IdentityNotFound("credential", access_key)
    return record


async def list_keys(call: Call) -> Answer:
    """A user's EC2 keys."""
    user_id = call.params["user_id"]
    enforce(call, user_id=user_id)
    await users.get_user(call.services.db, user_id)
    found = await credentials.list_credentials(call.services.db, user_id=user_id, kind=ec2_keys.TYPE)
    shown = [await _document(call, record) for record in found]
    return collection(call, "credentials", shown, f"users/{user_id}/credentials/OS-EC2")


async def show_key(call: Call) -> Answer:
    """An EC2 key."""
    return Answer({"credential": await _document(call, await _load(call))})


async def create_key(call: Call) -> Answer:
    """Make an EC2 key of a user in a project."""
    asked: Ec2Create = call.checked
    user_id = call.params["user_id"]
    enforce(call, target__credential__user_id=user_id)
    await refuse_restricted(call)
    await users.get_user(call.services.db, user_id)
    if await tenants.get_project_by_id(call.services.db, asked.tenant_id) is None:
        raise IdentityNotFound("project", asked.tenant_id)
    await ec2_keys.require_role(call, user_id, asked.tenant_id)
    key = Ec2Key(secrets.token_hex(16), secrets.token_hex(16))
    sealed = await builtin(call).seal(ec2_keys.write(key))
    made = Credential(ec2_keys.id_of(key.access), user_id, asked.tenant_id, ec2_keys.TYPE, sealed)
    await credentials.create_credential(call.services.db, made)
    return Answer({"credential": await _document(call, made)})


async def delete_key(call: Call) -> Answer:
    """Delete an EC2 key."""
    record = await _load(call)
    await refuse_restricted(call)
    await credentials.delete_credential(call.services.db, record.id)
    return Answer(status=NO_CONTENT)


KEYS = "/users/{user_id}/credentials/OS-EC2"
ROUTES = (
    *readable(KEYS, list_keys, "ec2_list_credentials"),
    route("POST", KEYS, create_key, "ec2_create_credential", status=201, body=Ec2Create),
    *readable(KEYS + "/{access}", show_key, "ec2_get_credential"),
    route("DELETE", KEYS + "/{access}", delete_key, "ec2_delete_credential"),
)
