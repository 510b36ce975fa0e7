"""Who may do what with the Identity API: Keystone's rule names."""

from __future__ import annotations

from cairn_gateway.policy.rules import EVERY_SCOPE, check

SYSTEM_OR_DOMAIN_READER = (
    "rule:context_is_admin or (role:reader and system_scope:all)"
    " or (role:reader and domain_id:%(target.domain_id)s)"
)

RULES = (
    check(
        "identity:list_projects",
        SYSTEM_OR_DOMAIN_READER,
        "See all projects",
        "GET /v3/projects",
        scopes=EVERY_SCOPE,
    ),
)
