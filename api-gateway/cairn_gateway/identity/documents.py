"""What the API shows of each kind of thing."""

from __future__ import annotations

from typing import Any

from cairn_database.identity.access import Standing
from cairn_database.identity.records import Domain, Group, Role, User
from cairn_database.tenants import ProjectRecord
from cairn_gateway.http.call import Call
from cairn_gateway.identity.catalog import catalog
from cairn_gateway.identity.routing import moment, url
from cairn_gateway.identity.tokens import Token

Document = dict[str, Any]


def domain(call: Call, record: Domain) -> Document:
    """A domain."""
    return {
        "id": record.id,
        "name": record.name,
        "description": record.description,
        "enabled": record.enabled,
        "tags": [],
        "options": {},
        "links": {"self": url(call, "domains", record.id)},
    }


def project(call: Call, record: ProjectRecord) -> Document:
    """A project. There is no hierarchy: each one's parent is its domain."""
    return {
        "id": record.id,
        "name": record.display_name,
        "domain_id": record.domain_id,
        "description": record.spec.description or "",
        "enabled": record.enabled,
        "parent_id": record.domain_id,
        "is_domain": False,
        "tags": [],
        "options": {},
        "links": {"self": url(call, "projects", record.id)},
    }


def user(call: Call, record: User) -> Document:
    """A user; never the password."""
    shown: Document = {
        **record.extra,
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "enabled": record.enabled,
        "password_expires_at": None,
        "options": {},
        "links": {"self": url(call, "users", record.id)},
    }
    optional = {
        "description": record.description,
        "email": record.email,
        "default_project_id": record.default_project_id,
    }
    return shown | {name: value for name, value in optional.items() if value is not None}


def group(call: Call, record: Group) -> Document:
    """A group."""
    return {
        "id": record.id,
        "name": record.name,
        "domain_id": record.domain_id,
        "description": record.description,
        "links": {"self": url(call, "groups", record.id)},
    }


def role(call: Call, record: Role) -> Document:
    """A role; all are the cloud's, none a domain's."""
    return {
        "id": record.id,
        "name": record.name,
        "domain_id": None,
        "description": record.description,
        "options": {},
        "links": {"self": url(call, "roles", record.id)},
    }


def token(call: Call, said: Token, standing: Standing, *, with_catalog: bool = True) -> Document:
    """`{"token": …}`: what a token stands for."""
    owner = standing.user
    shown: Document = {
        "methods": list(said.methods),
        "user": {
            "id": owner.id,
            "name": owner.name,
            "domain": _named(standing.user_domain),
            "password_expires_at": None,
        },
        "audit_ids": said.audit_ids,
        "expires_at": moment(said.expires_at),
        "issued_at": moment(said.issued_at),
    }
    if standing.project is not None and standing.project_domain is not None:
        shown["project"] = {
            "id": standing.project.id,
            "name": standing.project.display_name,
            "domain": _named(standing.project_domain),
        }
        shown["is_domain"] = False
    elif standing.domain is not None:
        shown["domain"] = _named(standing.domain)
    elif standing.system:
        shown["system"] = {"all": True}
    if said.scope is not None:
        shown["roles"] = [{"id": role.id, "name": role.name} for role in standing.roles]
        if with_catalog:
            shown["catalog"] = catalog(call)
    credential = standing.application_credential
    if credential is not None:
        shown["application_credential"] = {
            "id": credential.id,
            "name": credential.name,
            "restricted": not credential.unrestricted,
        }
    return {"token": shown}


def _named(record: Domain) -> Document:
    return {"id": record.id, "name": record.name}
