"""What the identity's transactions refuse, in Keystone's words.

DatabaseError
├── IdentityNotFound     there is no such user, role …
├── IdentityTaken        another one has that name
├── IdentityRefused      it cannot be done to this one
└── NotAuthentic         the token or credential does not count (any more)
"""

from __future__ import annotations

from cairn_database.errors import DatabaseError


class IdentityNotFound(DatabaseError):
    """There is no such thing."""

    def __init__(self, kind: str, key: str) -> None:
        self.kind = kind
        super().__init__(f"Could not find {kind}: {key}.")


class IdentityTaken(DatabaseError):
    """A unique name, or an id that was asked for, is taken."""

    def __init__(self, kind: str, name: str, what: str = "name") -> None:
        self.kind = kind
        super().__init__(
            f"Conflict occurred attempting to store {kind} - "
            f"it is not permitted to have two with the {what} {name}."
        )


class IdentityRefused(DatabaseError):
    """It would do harm; the message says what to do instead."""


class NotAuthentic(DatabaseError):
    """A claim that does not hold. The reason is for the log; callers are told nothing of it."""
