"""`/v3/domains` (Keystone API: Domains)."""

from __future__ import annotations

from typing import Any

from cairn_database.identity import domains, rows
from cairn_database.identity.records import Domain
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.identity import documents
from cairn_gateway.identity.models import DomainCreate, DomainUpdate, NewDomain
from cairn_gateway.identity.routing import (
    NO_CONTENT,
    collection,
    enforce,
    filters,
    readable,
    route,
    truth,
)


async def _load(call: Call) -> Domain:
    domain = await domains.get_domain(call.services.db, call.params["domain_id"])
    enforce(call, target__domain__id=domain.id)
    return domain


async def list_domains(call: Call) -> Answer:
    """The domains; its own for who has a token of a domain."""
    home = call.caller.domain_id
    enforce(call, target__domain_id=home)
    wanted = filters(call, "name", "enabled")
    name, enabled = wanted.get("name"), truth(wanted.get("enabled"))
    found = [
        domain
        for domain in await domains.list_domains(call.services.db)
        if home in (None, domain.id) and name in (None, domain.name) and enabled in (None, domain.enabled)
    ]
    return collection(call, "domains", [documents.domain(call, domain) for domain in found])


async def show_domain(call: Call) -> Answer:
    """A domain."""
    return Answer({"domain": documents.domain(call, await _load(call))})


async def create_domain(call: Call) -> Answer:
    """Make a domain."""
    asked: NewDomain = call.checked.domain
    enforce(call)
    made = Domain(
        asked.explicit_domain_id or rows.new_id(), asked.name, asked.description or "", asked.enabled
    )
    return Answer({"domain": documents.domain(call, await domains.create_domain(call.services.db, made))})


async def update_domain(call: Call) -> Answer:
    """Change a domain; the tokens of its users and projects do not count while it is disabled."""
    domain = await _load(call)
    given = call.checked.domain.given()
    changes: dict[str, Any] = {
        name: given[name] for name in ("name", "description", "enabled") if given.get(name) is not None
    }
    changed = await domains.update_domain(call.services.db, domain.id, changes)
    return Answer({"domain": documents.domain(call, changed)})


async def delete_domain(call: Call) -> Answer:
    """Delete a domain that is disabled, with its users and groups; it must have no projects."""
    domain = await _load(call)
    await domains.delete_domain(call.services.db, domain.id)
    return Answer(status=NO_CONTENT)


ROUTES = (
    *readable("/domains", list_domains, "list_domains"),
    route("POST", "/domains", create_domain, "create_domain", status=201, body=DomainCreate),
    *readable("/domains/{domain_id}", show_domain, "get_domain"),
    route("PATCH", "/domains/{domain_id}", update_domain, "update_domain", body=DomainUpdate),
    route("DELETE", "/domains/{domain_id}", delete_domain, "delete_domain"),
)
