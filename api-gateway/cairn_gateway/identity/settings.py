"""The settings of identity."""

from __future__ import annotations

import enum

from pydantic import Field, SecretStr

from cairn_runtime.settings import Section


class IdentityBackend(enum.StrEnum):
    BUILTIN = "builtin"
    KEYSTONE = "keystone"


class IdentitySettings(Section):
    """Who people are: Cairn's own identity, or an external Keystone."""

    backend: IdentityBackend = IdentityBackend.BUILTIN
    """`builtin`: users in Cairn's database, the API below `/identity`. `keystone`: those of a Keystone."""
    token_seconds: int = Field(3600, ge=60, le=30 * 24 * 3600)
    """Built-in: how long a token counts."""
    key_secret: SecretStr = SecretStr("")
    """Built-in: what the token and credential keys in the database are encrypted with; the same for every
    gateway, and kept outside the database. Left out: whoever can read the database can make tokens."""
    keys_kept: int = Field(3, ge=2, le=100)
    """Built-in: `cairn identity rotate-keys` leaves that many token keys. A token ends with its key: let more
    than `token_seconds` pass between rotations."""
    failed_sign_ins_per_minute: int = Field(10, ge=1)
    """Built-in: wrong passwords for one user from one address; ten times that from one address for any user,
    twenty times that for one user from anywhere. More are refused unread (429, Retry-After)."""
    password_memory_kib: int = Field(19 * 1024, ge=8)
    """Built-in: memory that hashing or checking a password takes. This and the passes are the least that
    OWASP recommends for Argon2id; less only for a cloud that guards nothing, such as a test's."""
    password_passes: int = Field(2, ge=1)
    """Built-in: how often it goes over that memory. A password keeps the cost that it was set with."""
    keystone_url: str = ""
    """Keystone: where it is, with the version: `https://keystone.example.org/v3`."""
    keystone_ca_file: str = ""
    """Keystone: a file of certificate authorities; the system's when left out."""
    service_user: str = "nova"
    """Keystone: the user that Cairn asks as; it needs the role service, or admin."""
    service_password: SecretStr = SecretStr("")
    """Keystone: its password."""
    service_project: str = "service"
    """Keystone: the project that its role is in."""
    service_domain: str = "Default"
    """Keystone: the domain of both, by name."""
    cache_seconds: float = Field(3.0, ge=0, le=60)
    """Keystone: how long its answer about a token is used again; so long can a revoked one still count."""
    keystone_timeout_seconds: float = Field(10.0, gt=0)
    """Keystone: how long to wait for an answer."""
