"""Nova's routes that stand for another service's, or for /servers by an older name."""

from __future__ import annotations

from cairn_gateway.nova.inventory.entries import Call, act, at, delete, get, post, put, removed
from cairn_gateway.nova.microversions import (
    CRASH_DUMP,
    IMAGE_METADATA_REMOVED,
    MIN,
    PROXIES_REMOVED,
    VOLUMES_BOOT_REMOVED,
)
from cairn_gateway.policy.base import AUTHENTICATED

ENTRIES = (
    *at("/images", get(AUTHENTICATED, gone=PROXIES_REMOVED)),
    *at("/images/detail", get(AUTHENTICATED, gone=PROXIES_REMOVED)),
    *at(
        "/images/{image_id}",
        get(AUTHENTICATED, gone=PROXIES_REMOVED),
        delete(AUTHENTICATED, gone=PROXIES_REMOVED),
    ),
    *at(
        "/images/{image_id}/metadata",
        get(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
        post(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
        put(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
    ),
    *at(
        "/images/{image_id}/metadata/{key}",
        get(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
        put(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
        delete(AUTHENTICATED, gone=IMAGE_METADATA_REMOVED),
    ),
    *at(
        "/os-baremetal-nodes",
        get("os-baremetal-nodes:list", gone=PROXIES_REMOVED),
        Call("POST", AUTHENTICATED, 400, MIN, PROXIES_REMOVED, None, True),
    ),
    *at(
        "/os-baremetal-nodes/{node_id}",
        get("os-baremetal-nodes:show", gone=PROXIES_REMOVED),
        Call("DELETE", AUTHENTICATED, 400, MIN, PROXIES_REMOVED, None, True),
    ),
    *at("/os-floating-ip-pools", get("os-floating-ip-pools", gone=PROXIES_REMOVED)),
    *at(
        "/os-floating-ips",
        get("os-floating-ips:list", gone=PROXIES_REMOVED),
        post("os-floating-ips:create", gone=PROXIES_REMOVED),
    ),
    *at(
        "/os-floating-ips/{floating_ip_id}",
        get("os-floating-ips:show", gone=PROXIES_REMOVED),
        delete("os-floating-ips:delete", 202, gone=PROXIES_REMOVED),
    ),
    *at("/os-networks", get("os-networks:list", gone=PROXIES_REMOVED), *removed("POST")),
    *at("/os-networks/{network_id}", get("os-networks:show", gone=PROXIES_REMOVED), *removed("DELETE")),
    *at("/os-security-group-rules", post("os-security-groups:rule:create", gone=PROXIES_REMOVED)),
    *at(
        "/os-security-group-rules/{rule_id}",
        delete("os-security-groups:rule:delete", 202, gone=PROXIES_REMOVED),
    ),
    *at(
        "/os-security-groups",
        get("os-security-groups:get", gone=PROXIES_REMOVED),
        post("os-security-groups:create", gone=PROXIES_REMOVED),
    ),
    *at(
        "/os-security-groups/{security_group_id}",
        get("os-security-groups:show", gone=PROXIES_REMOVED),
        put("os-security-groups:update", gone=PROXIES_REMOVED),
        delete("os-security-groups:delete", 202, gone=PROXIES_REMOVED),
    ),
    *at(
        "/os-snapshots",
        get("os-volumes:snapshots:list", gone=PROXIES_REMOVED),
        post("os-volumes:snapshots:create", gone=PROXIES_REMOVED),
    ),
    *at("/os-snapshots/detail", get("os-volumes:snapshots:detail", gone=PROXIES_REMOVED)),
    *at(
        "/os-snapshots/{snapshot_id}",
        get("os-volumes:snapshots:show", gone=PROXIES_REMOVED),
        delete("os-volumes:snapshots:delete", 202, gone=PROXIES_REMOVED),
    ),
    *at("/os-tenant-networks", get("os-tenant-networks:list", gone=PROXIES_REMOVED), *removed("POST")),
    *at(
        "/os-tenant-networks/{network_id}",
        get("os-tenant-networks:show", gone=PROXIES_REMOVED),
        *removed("DELETE"),
    ),
    *at(
        "/os-volumes",
        get("os-volumes:list", gone=PROXIES_REMOVED),
        post("os-volumes:create", gone=PROXIES_REMOVED),
    ),
    *at("/os-volumes/detail", get("os-volumes:detail", gone=PROXIES_REMOVED)),
    *at(
        "/os-volumes/{volume_id}",
        get("os-volumes:show", gone=PROXIES_REMOVED),
        delete("os-volumes:delete", 202, gone=PROXIES_REMOVED),
    ),
    *at(
        "/os-volumes_boot",
        get("servers:index", gone=VOLUMES_BOOT_REMOVED),
        post("servers:create", 202, gone=VOLUMES_BOOT_REMOVED),
    ),
    *at("/os-volumes_boot/detail", get("servers:detail", gone=VOLUMES_BOOT_REMOVED)),
    *at(
        "/os-volumes_boot/{server_id}",
        get("servers:show", gone=VOLUMES_BOOT_REMOVED),
        put("servers:update", gone=VOLUMES_BOOT_REMOVED),
        delete("servers:delete", gone=VOLUMES_BOOT_REMOVED),
    ),
    *at(
        "/os-volumes_boot/{server_id}/action",
        act("confirmResize", "servers:confirm_resize", status=204, gone=VOLUMES_BOOT_REMOVED),
        act("revertResize", "servers:revert_resize", gone=VOLUMES_BOOT_REMOVED),
        act("reboot", "servers:reboot", gone=VOLUMES_BOOT_REMOVED),
        act("resize", "servers:resize", gone=VOLUMES_BOOT_REMOVED),
        act("rebuild", "servers:rebuild", gone=VOLUMES_BOOT_REMOVED),
        act("createImage", "servers:create_image", gone=VOLUMES_BOOT_REMOVED),
        act("os-start", "servers:start", gone=VOLUMES_BOOT_REMOVED),
        act("os-stop", "servers:stop", gone=VOLUMES_BOOT_REMOVED),
        act("trigger_crash_dump", "servers:trigger_crash_dump", since=CRASH_DUMP, gone=VOLUMES_BOOT_REMOVED),
    ),
)
