"""Nova's routes of the cloud and of projects: flavors, hosts, aggregates, quotas, key pairs."""

from __future__ import annotations

from cairn_gateway.nova.inventory.entries import act, at, delete, get, post, put
from cairn_gateway.nova.microversions import (
    AGGREGATE_IMAGES,
    FLAVOR_UPDATE,
    HOSTS_REMOVED,
    HYPERVISOR_QUERY_FILTERS,
    HYPERVISOR_USAGE_REMOVED,
    KEYPAIR_STATUS_CODES,
)
from cairn_gateway.policy.base import AUTHENTICATED

ENTRIES = (
    *at("/", get(None)),
    *at("/versions/{version_id}", get(None)),
    *at("/extensions", get("extensions")),
    *at("/extensions/{alias}", get("extensions")),
    *at("/flavors", get(AUTHENTICATED), post("os-flavor-manage:create")),
    *at("/flavors/detail", get(AUTHENTICATED)),
    *at(
        "/flavors/{flavor_id}",
        get(AUTHENTICATED),
        put("os-flavor-manage:update", since=FLAVOR_UPDATE),
        delete("os-flavor-manage:delete", 202),
    ),
    *at(
        "/flavors/{flavor_id}/action",
        act("addTenantAccess", "os-flavor-access:add_tenant_access", status=200),
        act("removeTenantAccess", "os-flavor-access:remove_tenant_access", status=200),
    ),
    *at(
        "/flavors/{flavor_id}/os-extra_specs",
        get("os-flavor-extra-specs:index"),
        post("os-flavor-extra-specs:create"),
    ),
    *at(
        "/flavors/{flavor_id}/os-extra_specs/{key}",
        get("os-flavor-extra-specs:show"),
        put("os-flavor-extra-specs:update"),
        delete("os-flavor-extra-specs:delete", 200),
    ),
    *at("/flavors/{flavor_id}/os-flavor-access", get("os-flavor-access")),
    *at("/limits", get("limits")),
    *at("/os-aggregates", get("os-aggregates:index"), post("os-aggregates:create")),
    *at(
        "/os-aggregates/{aggregate_id}",
        get("os-aggregates:show"),
        put("os-aggregates:update"),
        delete("os-aggregates:delete", 200),
    ),
    *at(
        "/os-aggregates/{aggregate_id}/action",
        act("add_host", "os-aggregates:add_host", status=200),
        act("remove_host", "os-aggregates:remove_host", status=200),
        act("set_metadata", "os-aggregates:set_metadata", status=200),
    ),
    *at(
        "/os-aggregates/{aggregate_id}/images", post("compute:aggregates:images", 202, since=AGGREGATE_IMAGES)
    ),
    *at("/os-assisted-volume-snapshots", post("os-assisted-volume-snapshots:create")),
    *at("/os-assisted-volume-snapshots/{snapshot_id}", delete("os-assisted-volume-snapshots:delete")),
    *at("/os-availability-zone", get("os-availability-zone:list")),
    *at("/os-availability-zone/detail", get("os-availability-zone:detail")),
    *at("/os-console-auth-tokens/{console_token}", get("os-console-auth-tokens")),
    *at("/os-hosts", get("os-hosts:list", gone=HOSTS_REMOVED)),
    *at(
        "/os-hosts/{host_name}",
        get("os-hosts:show", gone=HOSTS_REMOVED),
        put("os-hosts:update", gone=HOSTS_REMOVED),
    ),
    *at("/os-hosts/{host_name}/reboot", get("os-hosts:reboot", gone=HOSTS_REMOVED)),
    *at("/os-hosts/{host_name}/shutdown", get("os-hosts:shutdown", gone=HOSTS_REMOVED)),
    *at("/os-hosts/{host_name}/startup", get("os-hosts:start", gone=HOSTS_REMOVED)),
    *at("/os-hypervisors", get("os-hypervisors:list")),
    *at("/os-hypervisors/detail", get("os-hypervisors:list-detail")),
    *at("/os-hypervisors/statistics", get("os-hypervisors:statistics", gone=HYPERVISOR_USAGE_REMOVED)),
    *at("/os-hypervisors/{hypervisor_id}", get("os-hypervisors:show")),
    *at(
        "/os-hypervisors/{hypervisor_id}/search", get("os-hypervisors:search", gone=HYPERVISOR_QUERY_FILTERS)
    ),
    *at(
        "/os-hypervisors/{hypervisor_id}/servers",
        get("os-hypervisors:servers", gone=HYPERVISOR_QUERY_FILTERS),
    ),
    *at(
        "/os-hypervisors/{hypervisor_id}/uptime", get("os-hypervisors:uptime", gone=HYPERVISOR_USAGE_REMOVED)
    ),
    *at("/os-instance_usage_audit_log", get("os-instance-usage-audit-log:list")),
    *at("/os-instance_usage_audit_log/{before_timestamp}", get("os-instance-usage-audit-log:show")),
    *at(
        "/os-keypairs",
        get("os-keypairs:index"),
        post("os-keypairs:create", 200, gone=KEYPAIR_STATUS_CODES),
        post("os-keypairs:create", 201, since=KEYPAIR_STATUS_CODES),
    ),
    *at(
        "/os-keypairs/{keypair_name}",
        get("os-keypairs:show"),
        delete("os-keypairs:delete", 202, gone=KEYPAIR_STATUS_CODES),
        delete("os-keypairs:delete", 204, since=KEYPAIR_STATUS_CODES),
    ),
    *at("/os-migrations", get("os-migrations:index")),
    *at(
        "/os-quota-class-sets/{quota_class}",
        get("os-quota-class-sets:show"),
        put("os-quota-class-sets:update"),
    ),
    *at(
        "/os-quota-sets/{project_id}",
        get("os-quota-sets:show"),
        put("os-quota-sets:update"),
        delete("os-quota-sets:delete", 202),
    ),
    *at("/os-quota-sets/{project_id}/detail", get("os-quota-sets:detail")),
    *at("/os-quota-sets/{project_id}/defaults", get("os-quota-sets:defaults")),
    *at("/os-server-external-events", post("os-server-external-events:create")),
    *at("/os-server-groups", get("os-server-groups:index"), post("os-server-groups:create")),
    *at(
        "/os-server-groups/{server_group_id}", get("os-server-groups:show"), delete("os-server-groups:delete")
    ),
    *at("/os-services", get("os-services:list")),
    *at("/os-services/{service_id}", put("os-services:update"), delete("os-services:delete")),
    *at("/os-simple-tenant-usage", get("os-simple-tenant-usage:list")),
    *at("/os-simple-tenant-usage/{project_id}", get("os-simple-tenant-usage:show")),
)
