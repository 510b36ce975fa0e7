"""The tables of the built-in identity. Ids are 32 hexadecimal digits, but for the domain `default`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Index, String, Table, UniqueConstraint

from cairn_database.tables import OPTIONS, metadata
from cairn_database.types import JsonText, UtcDateTime, big_integer, big_text


def _id() -> String:
    return String(64)


def _name() -> String:
    return String(255)


def _required(name: str, type_: Any, **options: Any) -> Column[Any]:
    return Column(name, type_, nullable=False, **options)


identity_state = Table(
    "identity_state",
    metadata,
    Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _required("revision", big_integer()),
    **OPTIONS,
)
"""One row: the revision. See revision.py."""

identity_keys = Table(
    "identity_keys",
    metadata,
    Column("purpose", String(16), primary_key=True),
    Column("number", sa.Integer, primary_key=True, autoincrement=False),
    _required("secret", String(512)),
    _required("created_at", UtcDateTime()),
    **OPTIONS,
)
"""Fernet keys; the highest number signs. `secret` may itself be encrypted (setting `identity.key_secret`)."""

domains = Table(
    "domains",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("name", _name()),
    _required("description", big_text()),
    _required("enabled", sa.Boolean),
    UniqueConstraint("name"),
    **OPTIONS,
)

users = Table(
    "users",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("domain_id", _id()),
    _required("name", _name()),
    _required("enabled", sa.Boolean),
    Column("description", big_text()),
    Column("email", _name()),
    Column("default_project_id", _id()),
    Column("password_hash", _name()),
    _required("generation", big_integer()),
    _required("extra", JsonText()),
    _required("created_at", UtcDateTime()),
    UniqueConstraint("domain_id", "name"),
    **OPTIONS,
)
"""`generation` rises when all of the user's tokens are to end: each token names the one it was issued in."""

user_groups = Table(
    "user_groups",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("domain_id", _id()),
    _required("name", _name()),
    _required("description", big_text()),
    UniqueConstraint("domain_id", "name"),
    **OPTIONS,
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", _id(), primary_key=True),
    Column("user_id", _id(), primary_key=True),
    Index("ix_group_members_user_id", "user_id"),
    **OPTIONS,
)

roles = Table(
    "roles",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("name", _name()),
    Column("description", big_text()),
    UniqueConstraint("name"),
    **OPTIONS,
)

implied_roles = Table(
    "implied_roles",
    metadata,
    Column("prior_id", _id(), primary_key=True),
    Column("implied_id", _id(), primary_key=True),
    **OPTIONS,
)
"""Who has the prior role has the implied one, too."""

role_assignments = Table(
    "role_assignments",
    metadata,
    Column("actor", String(8), primary_key=True),
    Column("actor_id", _id(), primary_key=True),
    Column("target", String(8), primary_key=True),
    Column("target_id", _id(), primary_key=True),
    Column("role_id", _id(), primary_key=True),
    Column("inherited", sa.Boolean, primary_key=True),
    Index("ix_role_assignments_target", "target", "target_id"),
    Index("ix_role_assignments_role_id", "role_id"),
    **OPTIONS,
)
"""`actor`: user or group; `target`: project, domain or system (whose `target_id` is `all`)."""

credentials = Table(
    "credentials",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("user_id", _id()),
    Column("project_id", _id()),
    _required("type", _name()),
    _required("blob", big_text()),
    Index("ix_credentials_user_id", "user_id", "type"),
    Index("ix_credentials_project_id", "project_id"),
    **OPTIONS,
)
"""`blob` is encrypted. An EC2 credential's id is the SHA-256 of its access key, as in Keystone."""

application_credentials = Table(
    "application_credentials",
    metadata,
    Column("id", _id(), primary_key=True),
    _required("user_id", _id()),
    _required("name", _name()),
    Column("description", big_text()),
    _required("project_id", _id()),
    _required("secret_hash", _name()),
    _required("roles", JsonText()),
    _required("unrestricted", sa.Boolean),
    Column("expires_at", UtcDateTime()),
    UniqueConstraint("user_id", "name"),
    Index("ix_application_credentials_project_id", "project_id"),
    **OPTIONS,
)
"""`roles`: the ids of the roles that it stands for, as far as the user has them still."""

revoked_tokens = Table(
    "revoked_tokens",
    metadata,
    Column("audit_id", _id(), primary_key=True),
    _required("expires_at", UtcDateTime()),
    Index("ix_revoked_tokens_expires_at", "expires_at"),
    **OPTIONS,
)
"""Tokens that were given back before they expired; the row goes when the token would have."""
