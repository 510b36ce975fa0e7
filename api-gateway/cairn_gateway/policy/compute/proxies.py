"""The calls that stand for another service's; most of them end with microversion 2.35."""

from __future__ import annotations

from cairn_gateway.policy.rules import admin, anyone, member, reader

RULES = (
    reader("os_compute_api:os-networks:list", "See the networks", "GET /os-networks"),
    reader("os_compute_api:os-networks:show", "See one network", "GET /os-networks/{network_id}"),
    reader("os_compute_api:os-tenant-networks:list", "See a project's networks", "GET /os-tenant-networks"),
    reader(
        "os_compute_api:os-tenant-networks:show",
        "See one network of a project",
        "GET /os-tenant-networks/{network_id}",
    ),
    anyone(
        "os_compute_api:os-floating-ip-pools", "See where floating IPs come from", "GET /os-floating-ip-pools"
    ),
    reader("os_compute_api:os-floating-ips:list", "See a project's floating IPs", "GET /os-floating-ips"),
    reader(
        "os_compute_api:os-floating-ips:show", "See one floating IP", "GET /os-floating-ips/{floating_ip_id}"
    ),
    member(
        "os_compute_api:os-floating-ips:create", "Take a floating IP from a pool", "POST /os-floating-ips"
    ),
    member(
        "os_compute_api:os-floating-ips:delete",
        "Give a floating IP back",
        "DELETE /os-floating-ips/{floating_ip_id}",
    ),
    reader(
        "os_compute_api:os-security-groups:get", "See a project's security groups", "GET /os-security-groups"
    ),
    reader(
        "os_compute_api:os-security-groups:show",
        "See one security group",
        "GET /os-security-groups/{security_group_id}",
    ),
    member("os_compute_api:os-security-groups:create", "Make a security group", "POST /os-security-groups"),
    member(
        "os_compute_api:os-security-groups:update",
        "Change a security group's name or description",
        "PUT /os-security-groups/{security_group_id}",
    ),
    member(
        "os_compute_api:os-security-groups:delete",
        "Delete a security group",
        "DELETE /os-security-groups/{security_group_id}",
    ),
    member(
        "os_compute_api:os-security-groups:rule:create",
        "Add a rule to a security group",
        "POST /os-security-group-rules",
    ),
    member(
        "os_compute_api:os-security-groups:rule:delete",
        "Delete a rule of a security group",
        "DELETE /os-security-group-rules/{rule_id}",
    ),
    reader("os_compute_api:os-volumes:list", "See a project's volumes, in short", "GET /os-volumes"),
    reader("os_compute_api:os-volumes:detail", "See a project's volumes, in full", "GET /os-volumes/detail"),
    reader("os_compute_api:os-volumes:show", "See one volume", "GET /os-volumes/{volume_id}"),
    member("os_compute_api:os-volumes:create", "Make a volume", "POST /os-volumes"),
    member("os_compute_api:os-volumes:delete", "Delete a volume", "DELETE /os-volumes/{volume_id}"),
    reader(
        "os_compute_api:os-volumes:snapshots:list",
        "See the snapshots of volumes, in short",
        "GET /os-snapshots",
    ),
    reader(
        "os_compute_api:os-volumes:snapshots:detail",
        "See the snapshots of volumes, in full",
        "GET /os-snapshots/detail",
    ),
    reader(
        "os_compute_api:os-volumes:snapshots:show",
        "See one snapshot of a volume",
        "GET /os-snapshots/{snapshot_id}",
    ),
    member("os_compute_api:os-volumes:snapshots:create", "Make a snapshot of a volume", "POST /os-snapshots"),
    member(
        "os_compute_api:os-volumes:snapshots:delete",
        "Delete a snapshot of a volume",
        "DELETE /os-snapshots/{snapshot_id}",
    ),
    admin("os_compute_api:os-baremetal-nodes:list", "See the bare metal nodes", "GET /os-baremetal-nodes"),
    admin(
        "os_compute_api:os-baremetal-nodes:show",
        "See one bare metal node",
        "GET /os-baremetal-nodes/{node_id}",
    ),
)
