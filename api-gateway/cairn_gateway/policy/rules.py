"""The form in which a policy rule is written down, and the audiences that most rules are for.

A table of rules is a tuple of `member("name", "what it allows", "POST /path")` and the like; the function's
name is who may by default. `check` is for a rule with an audience of its own. Names and defaults are those of
the OpenStack services, so that a `policy.yaml` written for them means the same here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROJECT: Final = ("project",)
EVERY_SCOPE: Final = ("system", "domain", "project")

ADMIN: Final = "rule:context_is_admin"
PROJECT_MANAGER_OR_ADMIN: Final = "rule:project_manager_or_admin"
PROJECT_MEMBER_OR_ADMIN: Final = "rule:project_member_or_admin"
PROJECT_READER_OR_ADMIN: Final = "rule:project_reader_or_admin"
SERVICE_OR_ADMIN: Final = "rule:service_or_admin"
OWN_USER_OR_ADMIN: Final = "rule:context_is_admin or user_id:%(user_id)s"
ANYONE: Final = "@"
NOBODY: Final = "!"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its default."""

    name: str
    check: str
    """oslo.policy's language: roles and other rules, and what of the caller must equal what of the target."""
    about: str
    """What it allows, for people."""
    operations: tuple[str, ...] = ()
    """`METHOD /path`, with ` (key)` for an action; empty for a rule that only other rules name."""
    scopes: tuple[str, ...] = PROJECT
    """What a token may be scoped to; empty: anything."""


def act(key: str) -> str:
    """The operation of a server action."""
    return f"POST /servers/{{server_id}}/action ({key})"


def check(name: str, check: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """A rule with a check of its own."""
    return Rule(name, check, about, operations, scopes)


def admin(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For the cloud's administrators."""
    return Rule(name, ADMIN, about, operations, scopes)


def manager(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For the managers of the target's project, and administrators."""
    return Rule(name, PROJECT_MANAGER_OR_ADMIN, about, operations, scopes)


def member(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For the members of the target's project, and administrators."""
    return Rule(name, PROJECT_MEMBER_OR_ADMIN, about, operations, scopes)


def reader(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For the readers of the target's project, and administrators."""
    return Rule(name, PROJECT_READER_OR_ADMIN, about, operations, scopes)


def service(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For other services, and administrators."""
    return Rule(name, SERVICE_OR_ADMIN, about, operations, scopes)


def own(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For the user that the target belongs to, and administrators."""
    return Rule(name, OWN_USER_OR_ADMIN, about, operations, scopes)


def anyone(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For everybody with a token."""
    return Rule(name, ANYONE, about, operations, scopes)


def nobody(name: str, about: str, *operations: str, scopes: tuple[str, ...] = PROJECT) -> Rule:
    """For nobody, unless a policy file says otherwise."""
    return Rule(name, NOBODY, about, operations, scopes)
