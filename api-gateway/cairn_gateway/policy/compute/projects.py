"""What belongs to a project or a user, and how much a project may use."""

from __future__ import annotations

from cairn_gateway.policy.rules import admin, anyone, member, own, reader

RULES = (
    own("os_compute_api:os-keypairs:index", "See a user's key pairs", "GET /os-keypairs"),
    own("os_compute_api:os-keypairs:show", "See one key pair of a user", "GET /os-keypairs/{keypair_name}"),
    own("os_compute_api:os-keypairs:create", "Make or import a key pair for a user", "POST /os-keypairs"),
    own(
        "os_compute_api:os-keypairs:delete",
        "Delete a key pair of a user",
        "DELETE /os-keypairs/{keypair_name}",
    ),
    reader(
        "os_compute_api:os-server-groups:index", "See the server groups of a project", "GET /os-server-groups"
    ),
    admin(
        "os_compute_api:os-server-groups:index:all_projects",
        "See the server groups of every project",
        "GET /os-server-groups",
    ),
    reader(
        "os_compute_api:os-server-groups:show",
        "See one server group",
        "GET /os-server-groups/{server_group_id}",
    ),
    member("os_compute_api:os-server-groups:create", "Make a server group", "POST /os-server-groups"),
    member(
        "os_compute_api:os-server-groups:delete",
        "Delete a server group",
        "DELETE /os-server-groups/{server_group_id}",
    ),
    anyone("os_compute_api:limits", "See the limits of one's own project", "GET /limits"),
    admin("os_compute_api:limits:other_project", "See the limits of another project", "GET /limits"),
    reader("os_compute_api:os-quota-sets:show", "See a project's quotas", "GET /os-quota-sets/{project_id}"),
    reader(
        "os_compute_api:os-quota-sets:detail",
        "See a project's quotas and what is used of them",
        "GET /os-quota-sets/{project_id}/detail",
    ),
    anyone(
        "os_compute_api:os-quota-sets:defaults",
        "See the default quotas",
        "GET /os-quota-sets/{project_id}/defaults",
    ),
    admin(
        "os_compute_api:os-quota-sets:update", "Change a project's quotas", "PUT /os-quota-sets/{project_id}"
    ),
    admin(
        "os_compute_api:os-quota-sets:delete",
        "Put a project's quotas back to the defaults",
        "DELETE /os-quota-sets/{project_id}",
    ),
    admin(
        "os_compute_api:os-quota-class-sets:show",
        "See the quotas of a class",
        "GET /os-quota-class-sets/{quota_class}",
    ),
    admin(
        "os_compute_api:os-quota-class-sets:update",
        "Change the quotas of a class",
        "PUT /os-quota-class-sets/{quota_class}",
    ),
    reader(
        "os_compute_api:os-simple-tenant-usage:show",
        "See what one project has used",
        "GET /os-simple-tenant-usage/{project_id}",
    ),
    admin(
        "os_compute_api:os-simple-tenant-usage:list",
        "See what every project has used",
        "GET /os-simple-tenant-usage",
    ),
    anyone(
        "os_compute_api:os-availability-zone:list", "See the availability zones", "GET /os-availability-zone"
    ),
    admin(
        "os_compute_api:os-availability-zone:detail",
        "See the availability zones with their hosts",
        "GET /os-availability-zone/detail",
    ),
    anyone(
        "os_compute_api:extensions", "See what the API can do", "GET /extensions", "GET /extensions/{alias}"
    ),
)
