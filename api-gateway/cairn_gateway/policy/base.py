"""The rules that other rules name: who counts as what. Nova's names; the other APIs' tables use them too."""

from __future__ import annotations

from typing import Final

from cairn_gateway.policy.rules import ANYONE, Rule

AUTHENTICATED: Final = "cairn:authenticated"

RULES = (
    Rule(
        AUTHENTICATED,
        ANYONE,
        "Anybody with a token; for what the OpenStack services have no rule for, such as seeing flavors",
        scopes=(),
    ),
    Rule("context_is_admin", "role:admin", "An administrator of the cloud", scopes=()),
    Rule("admin_api", "rule:context_is_admin", "Former name of context_is_admin", scopes=()),
    Rule(
        "admin_or_owner",
        "rule:context_is_admin or project_id:%(project_id)s",
        "An administrator, or anybody in the target's project; a former default",
        scopes=(),
    ),
    Rule(
        "project_manager_api",
        "role:manager and project_id:%(project_id)s",
        "A manager of the target's project",
        scopes=(),
    ),
    Rule(
        "project_member_api",
        "role:member and project_id:%(project_id)s",
        "A member of the target's project",
        scopes=(),
    ),
    Rule(
        "project_reader_api",
        "role:reader and project_id:%(project_id)s",
        "A reader of the target's project",
        scopes=(),
    ),
    Rule("service_api", "role:service", "Another service of the cloud", scopes=()),
    Rule(
        "project_manager_or_admin",
        "rule:project_manager_api or rule:context_is_admin",
        "A manager of the target's project, or an administrator",
        scopes=(),
    ),
    Rule(
        "project_member_or_admin",
        "rule:project_member_api or rule:context_is_admin",
        "A member of the target's project, or an administrator",
        scopes=(),
    ),
    Rule(
        "project_reader_or_admin",
        "rule:project_reader_api or rule:context_is_admin",
        "A reader of the target's project, or an administrator",
        scopes=(),
    ),
    Rule(
        "service_or_admin",
        "rule:service_api or rule:context_is_admin",
        "Another service of the cloud, or an administrator",
        scopes=(),
    ),
)
