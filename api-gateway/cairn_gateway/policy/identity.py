"""Who may do what with the Identity API: Keystone's rule names and defaults (keystone/common/policies).

Targets are named with Keystone's dots: `target.user.domain_id` is the domain of the user that it is about.
"""

from __future__ import annotations

from typing import Final

from cairn_gateway.policy.rules import ADMIN, ANYONE, EVERY_SCOPE, Rule, check

SYSTEM_READER: Final = "(role:reader and system_scope:all)"
SYSTEM_OR_PROJECT: Final = ("system", "project")
ADMIN_OR_READER: Final = f"rule:admin_required or {SYSTEM_READER}"
ADMIN_OR_LIST_READER: Final = f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.domain_id)s)"
ADMIN_READER_OR_OWNER: Final = f"{ADMIN_OR_READER} or rule:owner"
USER_READER: Final = (
    f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.user.domain_id)s)"
    " or user_id:%(target.user.id)s"
)
USER_MANAGER: Final = "rule:admin_required or (role:manager and domain_id:%(target.user.domain_id)s)"
PROJECT_READER: Final = (
    f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.project.domain_id)s)"
    " or project_id:%(target.project.id)s"
)
PROJECT_MANAGER: Final = "rule:admin_required or (role:manager and domain_id:%(target.project.domain_id)s)"
GROUP_READER: Final = f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.group.domain_id)s)"
GROUP_MANAGER: Final = "rule:admin_required or (role:manager and domain_id:%(target.group.domain_id)s)"
MEMBERSHIP_READER: Final = (
    f"{ADMIN_OR_READER} or (role:reader and domain_id:%(target.group.domain_id)s"
    " and domain_id:%(target.user.domain_id)s)"
)
MEMBERSHIP_MANAGER: Final = (
    "rule:admin_required or (role:manager and domain_id:%(target.group.domain_id)s"
    " and domain_id:%(target.user.domain_id)s)"
)
DOMAIN_USER: Final = (
    f"{ADMIN_OR_READER} or domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s"
)
CREDENTIAL_READER: Final = f"{ADMIN_OR_READER} or user_id:%(target.credential.user_id)s"
CREDENTIAL_OWNER: Final = "rule:admin_required or user_id:%(target.credential.user_id)s"
CREDENTIAL_MEMBER: Final = "rule:admin_required or (role:member and user_id:%(target.credential.user_id)s)"


def _grants(role: str) -> str:
    """The role, in the domain of both the actor and the target of a grant."""
    actors = ("domain_id:%(target.user.domain_id)s", "domain_id:%(target.group.domain_id)s")
    targets = ("domain_id:%(target.project.domain_id)s", "domain_id:%(target.domain.id)s")
    return " or ".join(f"(role:{role} and {actor} and {target})" for actor in actors for target in targets)


GRANT_READER: Final = f"{ADMIN_OR_READER} or {_grants('reader')}"
GRANT_MANAGER: Final = (
    f"rule:admin_required or {_grants('admin')}"
    f" or (({_grants('manager')}) and rule:domain_managed_target_role)"
)
DOMAIN_MANAGER: Final = "(role:manager and domain_id:%(caller.domain_id)s)"
"""Anybody who manages a domain: handlers set `caller.domain_id` for tokens of a domain only."""


def _rule(name: str, who: str, about: str, *operations: str, scopes: tuple[str, ...] = EVERY_SCOPE) -> Rule:
    return check(f"identity:{name}", who, about, *operations, scopes=scopes)


def _cloud(name: str, who: str, about: str, *operations: str) -> Rule:
    return _rule(name, who, about, *operations, scopes=SYSTEM_OR_PROJECT)


_SUBJECTS = (
    Rule("admin_required", ADMIN, "An administrator of the cloud (Identity)", scopes=()),
    Rule("owner", "user_id:%(user_id)s", "The user that it is about (Identity)", scopes=()),
    Rule("token_subject", "user_id:%(target.token.user_id)s", "The token's own user (Identity)", scopes=()),
    Rule(
        "domain_managed_target_role",
        "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
        "The roles that the manager of a domain may give (Identity)",
        scopes=(),
    ),
)

_TOKENS = (
    _rule(
        "validate_token",
        f"rule:admin_required or {SYSTEM_READER} or rule:service_api or rule:token_subject",
        "See what a token stands for",
        "GET /v3/auth/tokens",
    ),
    _rule(
        "check_token",
        f"rule:admin_required or {SYSTEM_READER} or rule:token_subject",
        "See whether a token counts",
        "HEAD /v3/auth/tokens",
    ),
    _rule(
        "revoke_token",
        "rule:admin_required or rule:token_subject",
        "End a token",
        "DELETE /v3/auth/tokens",
    ),
    _rule("get_auth_catalog", ANYONE, "See the services", "GET /v3/auth/catalog", scopes=()),
    _rule("get_auth_projects", ANYONE, "See one's own projects", "GET /v3/auth/projects", scopes=()),
    _rule("get_auth_domains", ANYONE, "See one's own domains", "GET /v3/auth/domains", scopes=()),
    _rule("get_auth_system", ANYONE, "See whether one has the system", "GET /v3/auth/system", scopes=()),
)

_PEOPLE = (
    _rule("get_user", USER_READER, "See a user", "GET /v3/users/{user_id}"),
    _rule("list_users", ADMIN_OR_LIST_READER, "See all users", "GET /v3/users"),
    _rule("create_user", USER_MANAGER, "Make a user", "POST /v3/users"),
    _rule("update_user", USER_MANAGER, "Change a user", "PATCH /v3/users/{user_id}"),
    _rule("delete_user", USER_MANAGER, "Delete a user", "DELETE /v3/users/{user_id}"),
    _rule(
        "change_password",
        "rule:owner",
        "Change one's own password, knowing the old one",
        "POST /v3/users/{user_id}/password",
        scopes=(),
    ),
    _rule("list_user_projects", USER_READER, "See a user's projects", "GET /v3/users/{user_id}/projects"),
    _rule("list_groups_for_user", USER_READER, "See a user's groups", "GET /v3/users/{user_id}/groups"),
    _rule("get_group", GROUP_READER, "See a group", "GET /v3/groups/{group_id}"),
    _rule("list_groups", ADMIN_OR_LIST_READER, "See all groups", "GET /v3/groups"),
    _rule("create_group", GROUP_MANAGER, "Make a group", "POST /v3/groups"),
    _rule("update_group", GROUP_MANAGER, "Change a group", "PATCH /v3/groups/{group_id}"),
    _rule("delete_group", GROUP_MANAGER, "Delete a group", "DELETE /v3/groups/{group_id}"),
    _rule("list_users_in_group", GROUP_READER, "See a group's members", "GET /v3/groups/{group_id}/users"),
    _rule(
        "check_user_in_group",
        MEMBERSHIP_READER,
        "See whether a user is in a group",
        "HEAD /v3/groups/{group_id}/users/{user_id}",
        "GET /v3/groups/{group_id}/users/{user_id}",
    ),
    _rule(
        "add_user_to_group",
        MEMBERSHIP_MANAGER,
        "Put a user into a group",
        "PUT /v3/groups/{group_id}/users/{user_id}",
    ),
    _rule(
        "remove_user_from_group",
        MEMBERSHIP_MANAGER,
        "Take a user out of a group",
        "DELETE /v3/groups/{group_id}/users/{user_id}",
    ),
)

_PLACES = (
    _rule("get_project", PROJECT_READER, "See a project", "GET /v3/projects/{project_id}"),
    _rule("list_projects", ADMIN_OR_LIST_READER, "See all projects", "GET /v3/projects"),
    _rule("create_project", PROJECT_MANAGER, "Make a project", "POST /v3/projects"),
    _rule("update_project", PROJECT_MANAGER, "Change a project", "PATCH /v3/projects/{project_id}"),
    _rule("delete_project", PROJECT_MANAGER, "Delete a project", "DELETE /v3/projects/{project_id}"),
    _rule("get_domain", DOMAIN_USER, "See a domain", "GET /v3/domains/{domain_id}"),
    _rule("list_domains", ADMIN_OR_LIST_READER, "See all domains", "GET /v3/domains"),
    _cloud("create_domain", "rule:admin_required", "Make a domain", "POST /v3/domains"),
    _cloud("update_domain", "rule:admin_required", "Change a domain", "PATCH /v3/domains/{domain_id}"),
    _cloud("delete_domain", "rule:admin_required", "Delete a domain", "DELETE /v3/domains/{domain_id}"),
)

_ROLES = (
    _rule(
        "get_role",
        f"{ADMIN_OR_READER} or (role:manager and rule:domain_managed_target_role)",
        "See a role",
        "GET /v3/roles/{role_id}",
    ),
    _rule("list_roles", f"{ADMIN_OR_READER} or {DOMAIN_MANAGER}", "See all roles", "GET /v3/roles"),
    _cloud("create_role", "rule:admin_required", "Make a role", "POST /v3/roles"),
    _cloud("update_role", "rule:admin_required", "Change a role", "PATCH /v3/roles/{role_id}"),
    _cloud("delete_role", "rule:admin_required", "Delete a role", "DELETE /v3/roles/{role_id}"),
    _cloud(
        "list_implied_roles", ADMIN_OR_READER, "See what a role implies", "GET /v3/roles/{role_id}/implies"
    ),
    _cloud(
        "get_implied_role",
        ADMIN_OR_READER,
        "See that a role implies another",
        "GET /v3/roles/{role_id}/implies/{implied_id}",
    ),
    _cloud(
        "check_implied_role",
        ADMIN_OR_READER,
        "See whether a role implies another",
        "HEAD /v3/roles/{role_id}/implies/{implied_id}",
    ),
    _cloud(
        "create_implied_role",
        "rule:admin_required",
        "Make a role imply another",
        "PUT /v3/roles/{role_id}/implies/{implied_id}",
    ),
    _cloud(
        "delete_implied_role",
        "rule:admin_required",
        "Make a role imply another no more",
        "DELETE /v3/roles/{role_id}/implies/{implied_id}",
    ),
    _cloud(
        "list_role_inference_rules",
        ADMIN_OR_READER,
        "See which role implies which",
        "GET /v3/role_inferences",
    ),
)

_GRANTS = (
    _rule(
        "list_role_assignments", ADMIN_OR_LIST_READER, "See who has which role", "GET /v3/role_assignments"
    ),
    _rule(
        "check_grant",
        GRANT_READER,
        "See whether somebody has a role in a project or domain",
        "HEAD /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",
    ),
    _rule(
        "list_grants",
        GRANT_READER,
        "See somebody's roles in a project or domain",
        "GET /v3/projects/{project_id}/users/{user_id}/roles",
    ),
    _rule(
        "create_grant",
        GRANT_MANAGER,
        "Give somebody a role in a project or domain",
        "PUT /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",
    ),
    _rule(
        "revoke_grant",
        GRANT_MANAGER,
        "Take somebody's role in a project or domain back",
        "DELETE /v3/projects/{project_id}/users/{user_id}/roles/{role_id}",
    ),
    *(
        _cloud(
            f"{verb}_system_grant{ending}_for_{actor}",
            who,
            about.format(actor=actor),
            f"{method} /v3/system/{actor}s/{{{actor}_id}}/roles{path}",
        )
        for actor in ("user", "group")
        for verb, ending, who, about, method, path in (
            ("list", "s", ADMIN_OR_READER, "See the roles of a {actor} on the system", "GET", ""),
            ("check", "", ADMIN_OR_READER, "See whether a {actor} has it", "HEAD", "/{role_id}"),
            ("create", "", "rule:admin_required", "Give a {actor} a system role", "PUT", "/{role_id}"),
            ("revoke", "", "rule:admin_required", "Take it from a {actor}", "DELETE", "/{role_id}"),
        )
    ),
)

_CREDENTIALS = (
    _rule("get_credential", CREDENTIAL_READER, "See a credential", "GET /v3/credentials/{credential_id}"),
    _rule("list_credentials", CREDENTIAL_READER, "See credentials", "GET /v3/credentials"),
    _rule("create_credential", CREDENTIAL_OWNER, "Make a credential", "POST /v3/credentials"),
    _rule(
        "update_credential",
        CREDENTIAL_OWNER,
        "Change a credential",
        "PATCH /v3/credentials/{credential_id}",
    ),
    _rule(
        "delete_credential",
        CREDENTIAL_OWNER,
        "Delete a credential",
        "DELETE /v3/credentials/{credential_id}",
    ),
    _cloud(
        "ec2_get_credential",
        CREDENTIAL_READER,
        "See an EC2 credential",
        "GET /v3/users/{user_id}/credentials/OS-EC2/{credential_id}",
    ),
    _cloud(
        "ec2_list_credentials",
        ADMIN_READER_OR_OWNER,
        "See a user's EC2 credentials",
        "GET /v3/users/{user_id}/credentials/OS-EC2",
    ),
    _cloud(
        "ec2_create_credential",
        CREDENTIAL_MEMBER,
        "Make an EC2 credential",
        "POST /v3/users/{user_id}/credentials/OS-EC2",
    ),
    _cloud(
        "ec2_delete_credential",
        CREDENTIAL_MEMBER,
        "Delete an EC2 credential",
        "DELETE /v3/users/{user_id}/credentials/OS-EC2/{credential_id}",
    ),
    _cloud(
        "get_application_credential",
        ADMIN_READER_OR_OWNER,
        "See an application credential",
        "GET /v3/users/{user_id}/application_credentials/{application_credential_id}",
    ),
    _cloud(
        "list_application_credentials",
        ADMIN_READER_OR_OWNER,
        "See a user's application credentials",
        "GET /v3/users/{user_id}/application_credentials",
    ),
    _rule(
        "create_application_credential",
        "rule:owner",
        "Make an application credential",
        "POST /v3/users/{user_id}/application_credentials",
        scopes=("project",),
    ),
    _cloud(
        "delete_application_credential",
        "rule:admin_required or rule:owner",
        "Delete an application credential",
        "DELETE /v3/users/{user_id}/application_credentials/{application_credential_id}",
    ),
    _cloud(
        "list_access_rules",
        ADMIN_READER_OR_OWNER,
        "See a user's access rules",
        "GET /v3/users/{user_id}/access_rules",
    ),
)

_CATALOG = (
    _cloud("list_services", ADMIN_OR_READER, "See the services", "GET /v3/services"),
    _cloud("get_service", ADMIN_OR_READER, "See a service", "GET /v3/services/{service_id}"),
    _cloud("list_endpoints", ADMIN_OR_READER, "See the endpoints", "GET /v3/endpoints"),
    _cloud("get_endpoint", ADMIN_OR_READER, "See an endpoint", "GET /v3/endpoints/{endpoint_id}"),
    _rule("list_regions", ANYONE, "See the regions", "GET /v3/regions"),
    _rule("get_region", ANYONE, "See a region", "GET /v3/regions/{region_id}"),
)

RULES = (*_SUBJECTS, *_TOKENS, *_PEOPLE, *_PLACES, *_ROLES, *_GRANTS, *_CREDENTIALS, *_CATALOG)
