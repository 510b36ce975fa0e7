"""Who is calling, as the identity back end has established it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Caller:
    """The owner of a valid token: what policy decides by, and what new things belong to."""

    user_id: str
    user_name: str
    user_domain_id: str
    project_id: str | None
    """None for a token that is scoped to the system, to a domain, or to nothing."""
    project_name: str | None
    project_domain_id: str | None
    roles: frozenset[str]
    """Names, lower case, with what they imply (admin → manager → member → reader)."""
    system_scope: str | None = None
    """`all` for a token of the system."""
    domain_id: str | None = None
    """For a token that is scoped to a domain."""
    project: str | None = None
    """The name of the Project resource: what rows of instances say."""
    namespace: str | None = None
    """Where the project's resources live."""
    expires_at: datetime | None = None
    token_id: str | None = None
    """The audit id of the token, for logs; never the token."""
