"""`/v3/auth`: tokens, and what their owner may have tokens for (Keystone API: Authentication)."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cairn_database.identity import access
from cairn_database.identity.errors import NotAuthentic
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, NotFound
from cairn_gateway.identity import documents
from cairn_gateway.identity.catalog import catalog
from cairn_gateway.identity.models import AuthRequest
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    builtin,
    collection,
    enforce,
    flag,
    readable,
    route,
    url,
)
from cairn_gateway.identity.sign_in import sign_in
from cairn_gateway.identity.tokens import Token

EXPIRED_WINDOW: Final = timedelta(days=2)
"""How long after its end a service may still ask about a token (`?allow_expired`), as in Keystone."""


async def create_token(call: Call) -> Answer:
    """Sign in: by password, by another token, or by an application credential."""
    request: AuthRequest = call.checked
    text, said, standing = await sign_in(builtin(call), request.auth, call.remote)
    body = documents.token(call, said, standing, with_catalog="nocatalog" not in call.query_dict())
    return Answer(body, headers={"X-Subject-Token": text, "Vary": "X-Auth-Token"})


async def show_token(call: Call) -> Answer:
    """What a token stands for."""
    text, said = await _subject(call)
    rule = "check_token" if call.method == "HEAD" else "validate_token"
    enforce(call, rule, target__token__user_id=said.user_id)
    try:
        standing = await access.stand(builtin(call).db, said.claim())
    except NotAuthentic as error:
        raise _not_found() from error
    body = documents.token(call, said, standing, with_catalog="nocatalog" not in call.query_dict())
    return Answer(body, headers={"X-Subject-Token": text, "Vary": "X-Auth-Token"})


async def revoke_token(call: Call) -> Answer:
    """Give a token back: it counts no longer."""
    _text, said = await _subject(call)
    enforce(call, "revoke_token", target__token__user_id=said.user_id)
    await builtin(call).revoke(said)
    return Answer(status=NO_CONTENT)


async def _subject(call: Call) -> tuple[str, Token]:
    text = call.headers.get("x-subject-token")
    if not text:
        raise BadRequest("Expecting to find the token that it is about in the header X-Subject-Token.")
    window = EXPIRED_WINDOW if flag(call, "allow_expired") else timedelta(0)
    try:
        return text, await builtin(call).read(text, allow_expired=window)
    except NotAuthentic as error:
        raise _not_found() from error


def _not_found() -> NotFound:
    return NotFound("Could not find token.")


async def list_projects(call: Call) -> Answer:
    """The projects that the caller may have a token for."""
    call.enforce()
    projects, _domains, _system = await access.places_of(call.services.db, call.caller.user_id)
    return collection(
        call, "projects", [documents.project(call, record) for record in projects], "auth/projects"
    )


async def list_domains(call: Call) -> Answer:
    """The domains that the caller may have a token for."""
    call.enforce()
    _projects, domains, _system = await access.places_of(call.services.db, call.caller.user_id)
    return collection(call, "domains", [documents.domain(call, record) for record in domains], "auth/domains")


async def list_system(call: Call) -> Answer:
    """The systems (there is one) that the caller may have a token for."""
    call.enforce()
    _projects, _domains, system = await access.places_of(call.services.db, call.caller.user_id)
    shown = [{"all": True}] if system else []
    return Answer({"system": shown, "links": {"self": url(call, "auth", "system")}})


async def show_catalog(call: Call) -> Answer:
    """The services, as in a token."""
    call.enforce()
    return Answer({"catalog": catalog(call), "links": {"self": url(call, "auth", "catalog")}})


ROUTES = (
    route("POST", "/auth/tokens", create_token, None, status=201, body=AuthRequest),
    route("GET", "/auth/tokens", show_token, "validate_token"),
    route("HEAD", "/auth/tokens", show_token, "check_token"),
    route("DELETE", "/auth/tokens", revoke_token, "revoke_token"),
    *readable("/auth/projects", list_projects, "get_auth_projects"),
    *readable("/auth/domains", list_domains, "get_auth_domains"),
    *readable("/auth/system", list_system, "get_auth_system"),
    *readable("/auth/catalog", show_catalog, "get_auth_catalog"),
)
