"""All routes of the Compute API. Each module below `nova/` has its own; this is their sum."""

from __future__ import annotations

from cairn_gateway.http.routes import Route
from cairn_gateway.nova import (
    aggregates,
    audit_log,
    availability_zones,
    baremetal_nodes,
    extensions,
    external_events,
    flavor_access,
    flavor_extra_specs,
    flavors,
    hosts,
    hypervisors,
    keypairs,
    limits,
    migrations,
    quota_classes,
    quota_sets,
    removed,
    server_groups,
    services,
    usage,
    versions,
    volumes,
)
from cairn_gateway.nova.servers import actions, history, ips, labels, later, parts_of, show
from cairn_gateway.nova.servers import create as create_server

ROUTES: tuple[Route, ...] = (
    *versions.ROUTES,
    *extensions.ROUTES,
    *flavors.ROUTES,
    *flavor_access.ROUTES,
    *flavor_extra_specs.ROUTES,
    *keypairs.ROUTES,
    *limits.ROUTES,
    *quota_sets.ROUTES,
    *quota_classes.ROUTES,
    *server_groups.ROUTES,
    *usage.ROUTES,
    *aggregates.ROUTES,
    *audit_log.ROUTES,
    *availability_zones.ROUTES,
    *baremetal_nodes.ROUTES,
    *external_events.ROUTES,
    *hosts.ROUTES,
    *hypervisors.ROUTES,
    *migrations.ROUTES,
    *removed.ROUTES,
    *services.ROUTES,
    *volumes.ROUTES,
    *show.ROUTES,
    *create_server.ROUTES,
    *labels.ROUTES,
    *actions.ROUTES,
    *history.ROUTES,
    *ips.ROUTES,
    *parts_of.ROUTES,
    *later.ROUTES,
)
