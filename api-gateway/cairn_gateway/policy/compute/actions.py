"""The actions on one server whose rules have names of their own."""

from __future__ import annotations

from cairn_gateway.policy.rules import act, admin, member

RULES = (
    admin(
        "os_compute_api:os-admin-actions:reset_state", "Set a server's state by hand", act("os-resetState")
    ),
    admin(
        "os_compute_api:os-admin-actions:inject_network_info",
        "Write a server's network settings into its guest again",
        act("injectNetworkInfo"),
    ),
    member(
        "os_compute_api:os-admin-password",
        "Set the password of a guest's administrator",
        act("changePassword"),
    ),
    member(
        "os_compute_api:os-console-output",
        "Read what a server wrote to its serial console",
        act("os-getConsoleOutput"),
    ),
    member(
        "os_compute_api:os-create-backup",
        "Make an image of a server and drop older ones",
        act("createBackup"),
    ),
    member(
        "os_compute_api:os-deferred-delete:restore",
        "Bring back a server that was deleted softly",
        act("restore"),
    ),
    member(
        "os_compute_api:os-deferred-delete:force",
        "Delete a server at once, also a softly deleted one",
        act("forceDelete"),
    ),
    member("os_compute_api:os-floating-ips:add", "Give a server a floating IP", act("addFloatingIp")),
    member(
        "os_compute_api:os-floating-ips:remove", "Take a floating IP from a server", act("removeFloatingIp")
    ),
    member("os_compute_api:os-lock-server:lock", "Lock a server", act("lock")),
    member("os_compute_api:os-lock-server:unlock", "Unlock a server", act("unlock")),
    admin(
        "os_compute_api:os-lock-server:unlock:unlock_override",
        "Unlock a server that somebody else has locked",
        act("unlock"),
    ),
    member("os_compute_api:os-multinic:add", "Give a server a further fixed IP", act("addFixedIp")),
    member("os_compute_api:os-multinic:remove", "Take a fixed IP from a server", act("removeFixedIp")),
    member("os_compute_api:os-pause-server:pause", "Pause a server", act("pause")),
    member("os_compute_api:os-pause-server:unpause", "Let a paused server run on", act("unpause")),
    member(
        "os_compute_api:os-remote-consoles",
        "Get the address of a server's console",
        act("os-getSerialConsole"),
        act("os-getSPICEConsole"),
        act("os-getVNCConsole"),
        "POST /servers/{server_id}/remote-consoles",
    ),
    member("os_compute_api:os-rescue", "Boot a server from a rescue image", act("rescue")),
    member("os_compute_api:os-unrescue", "Boot a rescued server from its own disk again", act("unrescue")),
    member(
        "os_compute_api:os-security-groups:add", "Put a server into a security group", act("addSecurityGroup")
    ),
    member(
        "os_compute_api:os-security-groups:remove",
        "Take a server out of a security group",
        act("removeSecurityGroup"),
    ),
    member("os_compute_api:os-shelve:shelve", "Shelve a server", act("shelve")),
    member("os_compute_api:os-shelve:unshelve", "Bring back a shelved server", act("unshelve")),
    admin(
        "os_compute_api:os-shelve:unshelve_to_host",
        "Bring back a shelved server on a host of one's choice (2.91)",
        act("unshelve"),
    ),
    admin(
        "os_compute_api:os-shelve:shelve_offload", "Free the host of a shelved server", act("shelveOffload")
    ),
    member("os_compute_api:os-suspend-server:suspend", "Suspend a server", act("suspend")),
    member("os_compute_api:os-suspend-server:resume", "Let a suspended server run on", act("resume")),
)
