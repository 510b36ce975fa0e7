"""What clients send to the Identity API. As Keystone does, fields that are not known are let pass."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cairn_gateway.http.models import Boolean
from cairn_gateway.identity.passwords import LONGEST

Id = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
Label = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=255)]
Description = Annotated[str, StringConstraints(strict=True, max_length=4096)]


def _secret(value: Any) -> Any:
    """Refused without being shown: what is wrong with a secret is told, the secret is not."""
    if not isinstance(value, str):
        raise ValueError("it must be a string")  # noqa: TRY004 - pydantic wants ValueError
    if len(value) > LONGEST:
        raise ValueError(f"it must have at most {LONGEST} characters")
    return value


Secret = Annotated[str, BeforeValidator(_secret)]
"""Fields of it are `= Field(repr=False)`."""


class IdentityModel(BaseModel):
    """Something that a client sends."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


# --- signing in ------------------------------------------------------------------------------------------


class DomainRef(IdentityModel):
    """A domain, by id or name."""

    id: Id | None = None
    name: Label | None = None


class UserRef(IdentityModel):
    """A user, by id, or by name in a domain."""

    id: Id | None = None
    name: Label | None = None
    domain: DomainRef | None = None


class PasswordUser(UserRef):
    """Who signs in, and the password."""

    password: Secret = Field(repr=False)


class PasswordMethod(IdentityModel):
    """Signing in by password."""

    user: PasswordUser


class TokenMethod(IdentityModel):
    """Signing in by a token that one has."""

    id: Secret = Field(repr=False)


class ApplicationCredentialMethod(IdentityModel):
    """Signing in by an application credential."""

    id: Id | None = None
    name: Label | None = None
    user: UserRef | None = None
    secret: Secret = Field(repr=False)


class Methods(IdentityModel):
    """`auth.identity`."""

    methods: Annotated[list[Label], Field(min_length=1, max_length=8)]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: ApplicationCredentialMethod | None = None


class ProjectRef(IdentityModel):
    """A project, by id, or by name in a domain."""

    id: Id | None = None
    name: Label | None = None
    domain: DomainRef | None = None


class SystemRef(IdentityModel):
    """The whole system."""

    all: Boolean


class Scope(IdentityModel):
    """`auth.scope`, where it is not the word `unscoped`."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: SystemRef | None = None
    unscoped: dict[str, Any] | None = None
    trust: dict[str, Any] | None = Field(None, alias="OS-TRUST:trust")


class Auth(IdentityModel):
    """How somebody signs in, and for what scope."""

    identity: Methods
    scope: Scope | str | None = None


class AuthRequest(IdentityModel):
    """`POST /v3/auth/tokens`."""

    auth: Auth


# --- people, places, roles -------------------------------------------------------------------------------


class NewUser(IdentityModel):
    """`{"user": …}` of a POST; other fields are kept and shown as they are (Keystone's `extra`)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", frozen=True)

    name: Label
    domain_id: Id | None = None
    password: Secret | None = Field(None, repr=False)
    enabled: Boolean = True
    description: Description | None = None
    email: Annotated[str, StringConstraints(max_length=255)] | None = None
    default_project_id: Id | None = None
    options: dict[str, Any] = {}


class UserChanges(NewUser):
    """What of a user may change."""

    name: Label = ""


class UserCreate(IdentityModel):
    """POST /v3/users."""

    user: NewUser


class UserUpdate(IdentityModel):
    """PATCH /v3/users/{user_id}."""

    user: UserChanges


class PasswordChange(IdentityModel):
    """A user's own change of password."""

    original_password: Secret = Field(repr=False)
    password: Secret = Field(repr=False)


class UserPassword(IdentityModel):
    """`POST /v3/users/{id}/password`."""

    user: PasswordChange


class NewGroup(IdentityModel):
    """A group to be made."""

    name: Label
    domain_id: Id | None = None
    description: Description | None = None


class GroupChanges(NewGroup):
    """What of a group may change."""

    name: Label = ""


class GroupCreate(IdentityModel):
    """POST /v3/groups."""

    group: NewGroup


class GroupUpdate(IdentityModel):
    """PATCH /v3/groups/{group_id}."""

    group: GroupChanges


class NewDomain(IdentityModel):
    """A domain to be made."""

    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
    description: Description | None = None
    enabled: Boolean = True
    options: dict[str, Any] = {}
    explicit_domain_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None


class DomainChanges(NewDomain):
    """What of a domain may change."""

    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)] = ""


class DomainCreate(IdentityModel):
    """POST /v3/domains."""

    domain: NewDomain


class DomainUpdate(IdentityModel):
    """PATCH /v3/domains/{domain_id}."""

    domain: DomainChanges


class NewProject(IdentityModel):
    """A project to be made."""

    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)]
    domain_id: Id | None = None
    parent_id: Id | None = None
    is_domain: Boolean = False
    description: Annotated[str, StringConstraints(strict=True, max_length=1024)] | None = None
    enabled: Boolean = True
    tags: list[Any] = []
    options: dict[str, Any] = {}


class ProjectChanges(NewProject):
    """What of a project may change."""

    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)] = ""


class ProjectCreate(IdentityModel):
    """POST /v3/projects."""

    project: NewProject


class ProjectUpdate(IdentityModel):
    """PATCH /v3/projects/{project_id}."""

    project: ProjectChanges


class NewRole(IdentityModel):
    """A role to be made."""

    name: Label
    description: Description | None = None
    domain_id: Id | None = None
    options: dict[str, Any] = {}


class RoleChanges(NewRole):
    """What of a role may change."""

    name: Label = ""


class RoleCreate(IdentityModel):
    """POST /v3/roles."""

    role: NewRole


class RoleUpdate(IdentityModel):
    """PATCH /v3/roles/{role_id}."""

    role: RoleChanges


# --- credentials -----------------------------------------------------------------------------------------


class NewCredential(IdentityModel):
    """A credential to be kept."""

    user_id: Id | None = None
    project_id: Id | None = None
    type: Label
    blob: str = Field(max_length=16 * 1024, repr=False)


class CredentialChanges(IdentityModel):
    """What of a credential may change."""

    user_id: Id | None = None
    project_id: Id | None = None
    type: Label | None = None
    blob: str | None = Field(None, max_length=16 * 1024, repr=False)


class CredentialCreate(IdentityModel):
    """POST /v3/credentials."""

    credential: NewCredential


class CredentialUpdate(IdentityModel):
    """PATCH /v3/credentials/{credential_id}."""

    credential: CredentialChanges


class Ec2Create(IdentityModel):
    """`POST /v3/users/{id}/credentials/OS-EC2`; the project is still called a tenant there."""

    tenant_id: Id


class RoleRef(IdentityModel):
    """A role, by id or name."""

    id: Id | None = None
    name: Label | None = None


class NewApplicationCredential(IdentityModel):
    """An application credential to be made."""

    name: Label
    description: Description | None = None
    secret: Secret | None = Field(None, repr=False)
    expires_at: datetime | None = None
    roles: Annotated[list[RoleRef], Field(max_length=256)] | None = None
    unrestricted: Boolean = False
    access_rules: list[Any] | None = None


class ApplicationCredentialCreate(IdentityModel):
    """POST /v3/users/{user_id}/application_credentials."""

    application_credential: NewApplicationCredential
