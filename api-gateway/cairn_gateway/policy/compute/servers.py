"""What may be done with servers: making, reading, changing and moving them."""

from __future__ import annotations

from cairn_gateway.policy.rules import act, admin, manager, member, nobody, reader

RULES = (
    reader("os_compute_api:servers:index", "See the servers of a project, in short", "GET /servers"),
    reader("os_compute_api:servers:detail", "See the servers of a project, in full", "GET /servers/detail"),
    admin(
        "os_compute_api:servers:index:get_all_tenants",
        "See the servers of every project, in short",
        "GET /servers",
    ),
    admin(
        "os_compute_api:servers:detail:get_all_tenants",
        "See the servers of every project, in full",
        "GET /servers/detail",
    ),
    admin(
        "os_compute_api:servers:allow_all_filters",
        "Filter servers by every field; others use only those that are for everybody",
        "GET /servers",
        "GET /servers/detail",
    ),
    reader("os_compute_api:servers:show", "See one server", "GET /servers/{server_id}"),
    reader(
        "os_compute_api:servers:show:flavor-extra-specs",
        "See the extra specs in a server's flavor (2.47)",
        "GET /servers/detail",
        "GET /servers/{server_id}",
        "PUT /servers/{server_id}",
        act("rebuild"),
    ),
    admin(
        "os_compute_api:servers:show:host_status",
        "See the status of a server's host, whatever it is",
        "GET /servers/{server_id}",
        "GET /servers/detail",
        "PUT /servers/{server_id}",
        act("rebuild"),
    ),
    admin(
        "os_compute_api:servers:show:host_status:unknown-only",
        "See the status of a server's host when it is not known",
        "GET /servers/{server_id}",
        "GET /servers/detail",
        "PUT /servers/{server_id}",
        act("rebuild"),
    ),
    member("os_compute_api:servers:create", "Make servers", "POST /servers"),
    admin(
        "os_compute_api:servers:create:forced_host",
        "Force a new server onto a host, past the scheduler's filters",
        "POST /servers",
    ),
    admin(
        "compute:servers:create:requested_destination",
        "Ask for a host for a new server, which the scheduler checks (2.74)",
        "POST /servers",
    ),
    member("os_compute_api:servers:create:attach_volume", "Give a new server volumes", "POST /servers"),
    member("os_compute_api:servers:create:attach_network", "Give a new server networks", "POST /servers"),
    member(
        "os_compute_api:servers:create:trusted_certs",
        "Give a new server trusted image certificates (2.63)",
        "POST /servers",
    ),
    admin(
        "os_compute_api:servers:create:zero_disk_flavor",
        "Boot from an image with a flavor that has no disk",
        "POST /servers",
    ),
    admin(
        "network:attach_external_network",
        "Connect a server to an external network that is not shared",
        "POST /servers",
        "POST /servers/{server_id}/os-interface",
    ),
    member("os_compute_api:servers:delete", "Delete a server", "DELETE /servers/{server_id}"),
    member(
        "os_compute_api:servers:update",
        "Change a server's name, description, hostname or addresses",
        "PUT /servers/{server_id}",
    ),
    member(
        "os_compute_api:servers:confirm_resize",
        "Keep a resized or migrated server as it is now",
        act("confirmResize"),
    ),
    member(
        "os_compute_api:servers:revert_resize",
        "Put a resized or migrated server back as it was",
        act("revertResize"),
    ),
    member("os_compute_api:servers:reboot", "Reboot a server", act("reboot")),
    member("os_compute_api:servers:resize", "Give a server another flavor", act("resize")),
    nobody(
        "compute:servers:resize:cross_cell",
        "Resize a server into another cell; Cairn has one cell",
        act("resize"),
    ),
    member("os_compute_api:servers:rebuild", "Make a server anew from an image", act("rebuild")),
    member(
        "os_compute_api:servers:rebuild:trusted_certs",
        "Give a rebuilt server trusted image certificates (2.63)",
        act("rebuild"),
    ),
    member("os_compute_api:servers:create_image", "Make an image of a server", act("createImage")),
    member(
        "os_compute_api:servers:create_image:allow_volume_backed",
        "Make an image of a server that boots from a volume",
        act("createImage"),
    ),
    member("os_compute_api:servers:start", "Start a server", act("os-start")),
    member("os_compute_api:servers:stop", "Stop a server", act("os-stop")),
    member(
        "os_compute_api:servers:trigger_crash_dump",
        "Make a guest dump its memory (2.17)",
        act("trigger_crash_dump"),
    ),
    admin(
        "os_compute_api:os-extended-server-attributes",
        "See a server's host, instance name and other inner facts",
        "GET /servers/{server_id}",
        "GET /servers/detail",
        "PUT /servers/{server_id}",
        act("rebuild"),
    ),
    manager(
        "os_compute_api:servers:migrations:index",
        "See the running migrations of a server, without hosts (2.23)",
        "GET /servers/{server_id}/migrations",
    ),
    admin(
        "os_compute_api:servers:migrations:index:host",
        "See the running migrations of a server, with hosts (2.23)",
        "GET /servers/{server_id}/migrations",
    ),
    admin(
        "os_compute_api:servers:migrations:show",
        "See one running migration of a server (2.23)",
        "GET /servers/{server_id}/migrations/{migration_id}",
    ),
    manager(
        "os_compute_api:servers:migrations:force_complete",
        "Force a live migration to complete (2.22)",
        "POST /servers/{server_id}/migrations/{migration_id}/action (force_complete)",
    ),
    manager(
        "os_compute_api:servers:migrations:delete",
        "Cancel a live migration (2.24)",
        "DELETE /servers/{server_id}/migrations/{migration_id}",
    ),
    manager(
        "os_compute_api:os-migrate-server:migrate",
        "Move a server, stopped, to a host that the scheduler finds",
        act("migrate"),
    ),
    admin(
        "os_compute_api:os-migrate-server:migrate:host",
        "Move a server, stopped, to a host of one's choice (2.56)",
        act("migrate"),
    ),
    manager(
        "os_compute_api:os-migrate-server:migrate_live",
        "Move a running server to a host that the scheduler finds",
        act("os-migrateLive"),
    ),
    admin(
        "os_compute_api:os-migrate-server:migrate_live:host",
        "Move a running server to a host of one's choice",
        act("os-migrateLive"),
    ),
    admin(
        "os_compute_api:os-evacuate",
        "Make a server anew elsewhere after its host has failed",
        act("evacuate"),
    ),
)
