"""What belongs to one server: interfaces, volumes, shares, metadata, tags, history."""

from __future__ import annotations

from cairn_gateway.policy.rules import admin, member, reader, service

RULES = (
    reader(
        "os_compute_api:os-attach-interfaces:list",
        "See a server's interfaces",
        "GET /servers/{server_id}/os-interface",
    ),
    reader(
        "os_compute_api:os-attach-interfaces:show",
        "See one interface of a server",
        "GET /servers/{server_id}/os-interface/{port_id}",
    ),
    member(
        "os_compute_api:os-attach-interfaces:create",
        "Give a server an interface",
        "POST /servers/{server_id}/os-interface",
    ),
    member(
        "os_compute_api:os-attach-interfaces:delete",
        "Take an interface from a server",
        "DELETE /servers/{server_id}/os-interface/{port_id}",
    ),
    reader(
        "os_compute_api:os-volumes-attachments:index",
        "See a server's volumes",
        "GET /servers/{server_id}/os-volume_attachments",
    ),
    reader(
        "os_compute_api:os-volumes-attachments:show",
        "See one volume of a server",
        "GET /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    member(
        "os_compute_api:os-volumes-attachments:create",
        "Attach a volume to a server",
        "POST /servers/{server_id}/os-volume_attachments",
    ),
    member(
        "os_compute_api:os-volumes-attachments:update",
        "Change whether a volume is deleted with its server (2.85)",
        "PUT /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    service(
        "os_compute_api:os-volumes-attachments:swap",
        "Replace an attached volume by another; for the volume service",
        "PUT /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    member(
        "os_compute_api:os-volumes-attachments:delete",
        "Detach a volume from a server",
        "DELETE /servers/{server_id}/os-volume_attachments/{volume_id}",
    ),
    reader(
        "os_compute_api:os-server-shares:index",
        "See a server's shares (2.97)",
        "GET /servers/{server_id}/shares",
    ),
    reader(
        "os_compute_api:os-server-shares:show",
        "See one share of a server (2.97)",
        "GET /servers/{server_id}/shares/{share_id}",
    ),
    member(
        "os_compute_api:os-server-shares:create",
        "Attach a share to a server (2.97)",
        "POST /servers/{server_id}/shares",
    ),
    member(
        "os_compute_api:os-server-shares:delete",
        "Detach a share from a server (2.97)",
        "DELETE /servers/{server_id}/shares/{share_id}",
    ),
    reader(
        "os_compute_api:server-metadata:index", "See a server's metadata", "GET /servers/{server_id}/metadata"
    ),
    reader(
        "os_compute_api:server-metadata:show",
        "See one item of a server's metadata",
        "GET /servers/{server_id}/metadata/{key}",
    ),
    member(
        "os_compute_api:server-metadata:create",
        "Add items to a server's metadata",
        "POST /servers/{server_id}/metadata",
    ),
    member(
        "os_compute_api:server-metadata:update_all",
        "Replace a server's metadata",
        "PUT /servers/{server_id}/metadata",
    ),
    member(
        "os_compute_api:server-metadata:update",
        "Set one item of a server's metadata",
        "PUT /servers/{server_id}/metadata/{key}",
    ),
    member(
        "os_compute_api:server-metadata:delete",
        "Delete one item of a server's metadata",
        "DELETE /servers/{server_id}/metadata/{key}",
    ),
    reader(
        "os_compute_api:os-server-tags:index", "See a server's tags (2.26)", "GET /servers/{server_id}/tags"
    ),
    reader(
        "os_compute_api:os-server-tags:show",
        "See whether a server has a tag (2.26)",
        "GET /servers/{server_id}/tags/{tag}",
    ),
    member(
        "os_compute_api:os-server-tags:update_all",
        "Replace a server's tags (2.26)",
        "PUT /servers/{server_id}/tags",
    ),
    member(
        "os_compute_api:os-server-tags:update",
        "Add a tag to a server (2.26)",
        "PUT /servers/{server_id}/tags/{tag}",
    ),
    member(
        "os_compute_api:os-server-tags:delete_all",
        "Delete all tags of a server (2.26)",
        "DELETE /servers/{server_id}/tags",
    ),
    member(
        "os_compute_api:os-server-tags:delete",
        "Delete one tag of a server (2.26)",
        "DELETE /servers/{server_id}/tags/{tag}",
    ),
    reader(
        "compute:server:topology:index",
        "See a server's NUMA topology (2.78)",
        "GET /servers/{server_id}/topology",
    ),
    admin(
        "compute:server:topology:host:index",
        "See in it the host's NUMA nodes and pinned CPUs (2.78)",
        "GET /servers/{server_id}/topology",
    ),
    reader("os_compute_api:ips:index", "See a server's addresses", "GET /servers/{server_id}/ips"),
    reader(
        "os_compute_api:ips:show",
        "See a server's addresses in one network",
        "GET /servers/{server_id}/ips/{network_label}",
    ),
    reader(
        "os_compute_api:os-security-groups:list",
        "See a server's security groups",
        "GET /servers/{server_id}/os-security-groups",
    ),
    admin(
        "os_compute_api:os-server-diagnostics",
        "See what a server's guest uses",
        "GET /servers/{server_id}/diagnostics",
    ),
    reader(
        "os_compute_api:os-server-password:show",
        "See a server's password, encrypted with its key pair",
        "GET /servers/{server_id}/os-server-password",
    ),
    member(
        "os_compute_api:os-server-password:clear",
        "Forget a server's password",
        "DELETE /servers/{server_id}/os-server-password",
    ),
    reader(
        "os_compute_api:os-instance-actions:list",
        "See what was done with a server",
        "GET /servers/{server_id}/os-instance-actions",
    ),
    reader(
        "os_compute_api:os-instance-actions:show",
        "See one action on a server",
        "GET /servers/{server_id}/os-instance-actions/{request_id}",
    ),
    admin(
        "os_compute_api:os-instance-actions:events",
        "See in it the host and the trace of failed events",
        "GET /servers/{server_id}/os-instance-actions/{request_id}",
    ),
    admin(
        "os_compute_api:os-instance-actions:events:details",
        "See in it why events failed (2.84)",
        "GET /servers/{server_id}/os-instance-actions/{request_id}",
    ),
)
