"""The cloud itself: flavors, hosts, aggregates, services, migrations."""

from __future__ import annotations

from cairn_gateway.policy.rules import admin, manager, reader, service

RULES = (
    admin("os_compute_api:os-flavor-manage:create", "Make a flavor", "POST /flavors"),
    admin(
        "os_compute_api:os-flavor-manage:update",
        "Change a flavor's description (2.55)",
        "PUT /flavors/{flavor_id}",
    ),
    admin("os_compute_api:os-flavor-manage:delete", "Delete a flavor", "DELETE /flavors/{flavor_id}"),
    admin(
        "os_compute_api:os-flavor-access",
        "See the projects that may use a flavor",
        "GET /flavors/{flavor_id}/os-flavor-access",
    ),
    admin(
        "os_compute_api:os-flavor-access:add_tenant_access",
        "Let a project use a flavor",
        "POST /flavors/{flavor_id}/action (addTenantAccess)",
    ),
    admin(
        "os_compute_api:os-flavor-access:remove_tenant_access",
        "Let a project no longer use a flavor",
        "POST /flavors/{flavor_id}/action (removeTenantAccess)",
    ),
    reader(
        "os_compute_api:os-flavor-extra-specs:index",
        "See a flavor's extra specs",
        "GET /flavors/{flavor_id}/os-extra_specs",
        "POST /flavors",
        "GET /flavors/detail",
        "GET /flavors/{flavor_id}",
        "PUT /flavors/{flavor_id}",
    ),
    reader(
        "os_compute_api:os-flavor-extra-specs:show",
        "See one extra spec of a flavor",
        "GET /flavors/{flavor_id}/os-extra_specs/{key}",
    ),
    admin(
        "os_compute_api:os-flavor-extra-specs:create",
        "Add extra specs to a flavor",
        "POST /flavors/{flavor_id}/os-extra_specs",
    ),
    admin(
        "os_compute_api:os-flavor-extra-specs:update",
        "Change an extra spec of a flavor",
        "PUT /flavors/{flavor_id}/os-extra_specs/{key}",
    ),
    admin(
        "os_compute_api:os-flavor-extra-specs:delete",
        "Delete an extra spec of a flavor",
        "DELETE /flavors/{flavor_id}/os-extra_specs/{key}",
    ),
    admin("os_compute_api:os-aggregates:index", "See the host aggregates", "GET /os-aggregates"),
    admin("os_compute_api:os-aggregates:show", "See one host aggregate", "GET /os-aggregates/{aggregate_id}"),
    admin("os_compute_api:os-aggregates:create", "Make a host aggregate", "POST /os-aggregates"),
    admin(
        "os_compute_api:os-aggregates:update",
        "Change a host aggregate's name or zone",
        "PUT /os-aggregates/{aggregate_id}",
    ),
    admin(
        "os_compute_api:os-aggregates:delete",
        "Delete a host aggregate",
        "DELETE /os-aggregates/{aggregate_id}",
    ),
    admin(
        "os_compute_api:os-aggregates:add_host",
        "Put a host into an aggregate",
        "POST /os-aggregates/{aggregate_id}/action (add_host)",
    ),
    admin(
        "os_compute_api:os-aggregates:remove_host",
        "Take a host out of an aggregate",
        "POST /os-aggregates/{aggregate_id}/action (remove_host)",
    ),
    admin(
        "os_compute_api:os-aggregates:set_metadata",
        "Set a host aggregate's metadata",
        "POST /os-aggregates/{aggregate_id}/action (set_metadata)",
    ),
    admin(
        "compute:aggregates:images",
        "Copy images to the hosts of an aggregate beforehand (2.81)",
        "POST /os-aggregates/{aggregate_id}/images",
    ),
    admin("os_compute_api:os-hypervisors:list", "See the hypervisors, in short", "GET /os-hypervisors"),
    admin(
        "os_compute_api:os-hypervisors:list-detail",
        "See the hypervisors, in full",
        "GET /os-hypervisors/detail",
    ),
    admin(
        "os_compute_api:os-hypervisors:statistics",
        "See the sum of all hypervisors (until 2.87)",
        "GET /os-hypervisors/statistics",
    ),
    admin("os_compute_api:os-hypervisors:show", "See one hypervisor", "GET /os-hypervisors/{hypervisor_id}"),
    admin(
        "os_compute_api:os-hypervisors:uptime",
        "See a hypervisor's uptime (until 2.87)",
        "GET /os-hypervisors/{hypervisor_id}/uptime",
    ),
    admin(
        "os_compute_api:os-hypervisors:search",
        "Find hypervisors by a part of their name (until 2.52)",
        "GET /os-hypervisors/{hypervisor_id}/search",
    ),
    admin(
        "os_compute_api:os-hypervisors:servers",
        "See the servers of hypervisors found by a part of their name (until 2.52)",
        "GET /os-hypervisors/{hypervisor_id}/servers",
    ),
    admin("os_compute_api:os-services:list", "See the services", "GET /os-services"),
    admin(
        "os_compute_api:os-services:update",
        "Enable, disable or force down a service",
        "PUT /os-services/{service_id}",
    ),
    admin("os_compute_api:os-services:delete", "Delete a service", "DELETE /os-services/{service_id}"),
    admin("os_compute_api:os-hosts:list", "See the hosts (until 2.42)", "GET /os-hosts"),
    admin("os_compute_api:os-hosts:show", "See one host (until 2.42)", "GET /os-hosts/{host_name}"),
    admin(
        "os_compute_api:os-hosts:update",
        "Enable a host, or put it into maintenance (until 2.42)",
        "PUT /os-hosts/{host_name}",
    ),
    admin("os_compute_api:os-hosts:reboot", "Reboot a host (until 2.42)", "GET /os-hosts/{host_name}/reboot"),
    admin(
        "os_compute_api:os-hosts:shutdown",
        "Shut a host down (until 2.42)",
        "GET /os-hosts/{host_name}/shutdown",
    ),
    admin("os_compute_api:os-hosts:start", "Start a host (until 2.42)", "GET /os-hosts/{host_name}/startup"),
    manager(
        "os_compute_api:os-migrations:index",
        "See the migrations of a project, without hosts",
        "GET /os-migrations",
    ),
    admin(
        "os_compute_api:os-migrations:index:all_projects",
        "See the migrations of every project",
        "GET /os-migrations",
    ),
    admin(
        "os_compute_api:os-migrations:index:host", "See the migrations with their hosts", "GET /os-migrations"
    ),
    admin(
        "os_compute_api:os-instance-usage-audit-log:list",
        "See the usage audits of the last period",
        "GET /os-instance_usage_audit_log",
    ),
    admin(
        "os_compute_api:os-instance-usage-audit-log:show",
        "See the usage audits before a time",
        "GET /os-instance_usage_audit_log/{before_timestamp}",
    ),
    admin(
        "os_compute_api:os-console-auth-tokens",
        "See where a console token leads",
        "GET /os-console-auth-tokens/{console_token}",
    ),
    service(
        "os_compute_api:os-server-external-events:create",
        "Tell servers what another service has finished",
        "POST /os-server-external-events",
    ),
    service(
        "os_compute_api:os-assisted-volume-snapshots:create",
        "Have a guest's volume snapshot made; for the volume service",
        "POST /os-assisted-volume-snapshots",
    ),
    service(
        "os_compute_api:os-assisted-volume-snapshots:delete",
        "Have a guest's volume snapshot deleted; for the volume service",
        "DELETE /os-assisted-volume-snapshots/{snapshot_id}",
    ),
)
