"""What the identity's rows are in Python. Nothing secret is in a repr."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

DEFAULT_DOMAIN: Final = "default"
SYSTEM: Final = "all"
"""The one system that roles can be had on."""


@dataclass(frozen=True)
class Domain:
    """What projects, users and groups belong to."""

    id: str
    name: str
    description: str
    enabled: bool


@dataclass(frozen=True)
class User:
    """Somebody who can sign in."""

    id: str
    domain_id: str
    name: str
    enabled: bool
    description: str | None
    email: str | None
    default_project_id: str | None
    password_hash: str | None = field(repr=False)
    """None: this user cannot sign in by password."""
    generation: int
    """Tokens of an earlier one do not count."""
    extra: dict[str, Any]
    """What else a client has said of the user."""
    created_at: datetime


@dataclass(frozen=True)
class Group:
    """Users who are given roles together."""

    id: str
    domain_id: str
    name: str
    description: str


@dataclass(frozen=True)
class Role:
    """A word that the policy decides by."""

    id: str
    name: str
    description: str | None


@dataclass(frozen=True)
class Assignment:
    """A role that somebody has on something."""

    actor: str
    """user or group"""
    actor_id: str
    target: str
    """project, domain or system"""
    target_id: str
    """SYSTEM for the system."""
    role_id: str
    inherited: bool = False
    """On a domain: for its projects, not for itself."""


@dataclass(frozen=True)
class Credential:
    """A secret that is kept for a user, encrypted."""

    id: str
    user_id: str
    project_id: str | None
    type: str
    blob: str = field(repr=False)
    """Encrypted."""


@dataclass(frozen=True)
class ApplicationCredential:
    """A secret that stands for its user in one project, with some of the user's roles."""

    id: str
    user_id: str
    name: str
    description: str | None
    project_id: str
    secret_hash: str = field(repr=False)
    roles: list[str]
    """Ids."""
    unrestricted: bool
    """May make further credentials."""
    expires_at: datetime | None
