"""What clients send to the Identity API. As Keystone does, fields that are not known are let pass."""

from __future__ import annotations

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


Secret = Annotated[str, BeforeValidator(_secret), Field(repr=False)]


class IdentityModel(BaseModel):
    """Something that a client sends."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    def given(self) -> dict[str, Any]:
        """The fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


# --- signing in ------------------------------------------------------------------------------------------


class DomainRef(IdentityModel):
    id: Id | None = None
    name: Label | None = None


class UserRef(IdentityModel):
    id: Id | None = None
    name: Label | None = None
    domain: DomainRef | None = None


class PasswordUser(UserRef):
    password: Secret


class PasswordMethod(IdentityModel):
    user: PasswordUser


class TokenMethod(IdentityModel):
    id: Secret


class ApplicationCredentialMethod(IdentityModel):
    id: Id | None = None
    name: Label | None = None
    user: UserRef | None = None
    secret: Secret


class Methods(IdentityModel):
    """`auth.identity`."""

    methods: Annotated[list[Label], Field(min_length=1, max_length=8)]
    password: PasswordMethod | None = None
    token: TokenMethod | None = None
    application_credential: ApplicationCredentialMethod | None = None


class ProjectRef(IdentityModel):
    id: Id | None = None
    name: Label | None = None
    domain: DomainRef | None = None


class SystemRef(IdentityModel):
    all: Boolean


class Scope(IdentityModel):
    """`auth.scope`, where it is not the word `unscoped`."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: SystemRef | None = None
    unscoped: dict[str, Any] | None = None
    trust: dict[str, Any] | None = Field(None, alias="OS-TRUST:trust")


class Auth(IdentityModel):
    identity: Methods
    scope: Scope | str | None = None


class AuthRequest(IdentityModel):
    """`POST /v3/auth/tokens`."""

    auth: Auth
