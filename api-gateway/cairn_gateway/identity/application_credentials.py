"""`/v3/users/{user_id}/application_credentials` (Keystone API: Application Credentials): passwords for
programs, which stand for some of a user's roles in one project."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from cairn_database.identity import credentials, roles, rows, users
from cairn_database.identity.records import ApplicationCredential, Role
from cairn_database.rows import now
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Forbidden, NotImplementedYet
from cairn_gateway.identity.credentials import refuse_restricted
from cairn_gateway.identity.models import ApplicationCredentialCreate, NewApplicationCredential, RoleRef
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    builtin,
    collection,
    enforce,
    filters,
    moment,
    readable,
    route,
    url,
)


def _document(call: Call, record: ApplicationCredential, named: dict[str, Role]) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "user_id": record.user_id,
        "project_id": record.project_id,
        "system": None,
        "roles": [
            {"id": role, "name": named[role].name, "domain_id": None}
            for role in record.roles
            if role in named
        ],
        "unrestricted": record.unrestricted,
        "expires_at": None if record.expires_at is None else moment(record.expires_at),
        "links": {"self": url(call, "users", record.user_id, "application_credentials", record.id)},
    }


async def _roles(call: Call) -> dict[str, Role]:
    return {role.id: role for role in await roles.list_roles(call.services.db)}


async def list_application_credentials(call: Call) -> Answer:
    """A user's application credentials."""
    user_id = call.params["user_id"]
    enforce(call, user_id=user_id)
    await users.get_user(call.services.db, user_id)
    name = filters(call, "name").get("name")
    found = await credentials.list_application_credentials(call.services.db, user_id, name)
    named = await _roles(call)
    shown = [_document(call, record, named) for record in found]
    return collection(call, "application_credentials", shown, f"users/{user_id}/application_credentials")


async def show_application_credential(call: Call) -> Answer:
    """An application credential, without its secret."""
    user_id, key = call.params["user_id"], call.params["key"]
    enforce(call, user_id=user_id)
    found = await credentials.get_application_credential(call.services.db, user_id, key)
    return Answer({"application_credential": _document(call, found, await _roles(call))})


async def create_application_credential(call: Call) -> Answer:
    """Make one for the token's project. Its secret is shown this once."""
    asked: NewApplicationCredential = call.checked.application_credential
    user_id = call.params["user_id"]
    enforce(call, user_id=user_id)
    await refuse_restricted(call)
    if call.caller.project_id is None:
        raise Forbidden("This needs a token that is scoped to the project that the credential is for.")
    if asked.access_rules:
        raise NotImplementedYet("Cairn has no access rules: limit the credential by its roles.")
    named = await _roles(call)
    secret = asked.secret or secrets.token_urlsafe(64)
    made = ApplicationCredential(
        id=rows.new_id(),
        user_id=user_id,
        name=asked.name,
        description=asked.description,
        project_id=call.caller.project_id,
        secret_hash=await builtin(call).passwords.hash(secret),
        roles=_chosen(call, asked.roles, named),
        unrestricted=asked.unrestricted,
        expires_at=_end(asked.expires_at),
    )
    await credentials.create_application_credential(call.services.db, made)
    return Answer({"application_credential": _document(call, made, named) | {"secret": secret}})


async def delete_application_credential(call: Call) -> Answer:
    """Delete an application credential; its tokens end."""
    user_id, key = call.params["user_id"], call.params["key"]
    enforce(call, user_id=user_id)
    await refuse_restricted(call)
    await credentials.delete_application_credential(call.services.db, user_id, key)
    return Answer(status=NO_CONTENT)


async def list_access_rules(call: Call) -> Answer:
    """None: Cairn has no access rules."""
    user_id = call.params["user_id"]
    enforce(call, user_id=user_id)
    return collection(call, "access_rules", [], f"users/{user_id}/access_rules")


def _chosen(call: Call, asked: list[RoleRef] | None, named: dict[str, Role]) -> list[str]:
    """The ids of the roles it is to stand for: of those that the token has, all unless some are asked for."""
    held = {role.id for role in named.values() if role.name.lower() in call.caller.roles}
    if not asked:  # openstackclient sends an empty list where none is asked for
        return sorted(held)
    chosen = set()
    for ref in asked:
        found = {role.id for role in named.values() if ref.id == role.id or ref.name == role.name}
        if not found & held:
            raise BadRequest(f"The token does not have the role {ref.id or ref.name}.")
        chosen |= found & held
    return sorted(chosen)


def _end(asked: datetime | None) -> datetime | None:
    if asked is None:
        return None
    end = asked.replace(tzinfo=UTC) if asked.tzinfo is None else asked.astimezone(UTC)
    if end <= now():
        raise BadRequest("Invalid input for field 'expires_at': it is past.")
    return end


ALL = "/users/{user_id}/application_credentials"
ROUTES = (
    *readable(ALL, list_application_credentials, "list_application_credentials"),
    route(
        "POST",
        ALL,
        create_application_credential,
        "create_application_credential",
        status=201,
        body=ApplicationCredentialCreate,
    ),
    *readable(ALL + "/{key}", show_application_credential, "get_application_credential"),
    route("DELETE", ALL + "/{key}", delete_application_credential, "delete_application_credential"),
    *readable("/users/{user_id}/access_rules", list_access_rules, "list_access_rules"),
)
