"""/os-volumes_boot is /servers by an older name, as far as Nova has it there."""

from __future__ import annotations

from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Route
from cairn_gateway.nova.microversions import CRASH_DUMP, PINNED_ZONE_UPDATE, VOLUMES_BOOT_REMOVED, before
from cairn_gateway.nova.volumes_boot import by_the_older_name


async def handler(_call: Call) -> Answer:
    """Nothing."""
    return Answer()


def test_servers_and_their_own_actions_are_there_until_2_102() -> None:
    action = "/servers/{server_id}/action"
    servers = (
        Route("GET", "/servers", handler, "list"),
        Route("PUT", "/servers/{server_id}", handler, "update"),
        Route("POST", action, handler, "reboot", action="reboot"),
        Route("POST", action, handler, "dump", action="trigger_crash_dump", since=CRASH_DUMP),
        Route("POST", action, handler, "lock", action="lock"),
        Route("GET", "/servers/{server_id}/ips", handler, "ips"),
        Route("PUT", "/servers/{server_id}", handler, "newer", since=PINNED_ZONE_UPDATE),
    )
    found = by_the_older_name(servers)
    assert [(route.path, route.rule, route.since) for route in found] == [
        ("/os-volumes_boot", "list", None),
        ("/os-volumes_boot/{server_id}", "update", None),
        ("/os-volumes_boot/{server_id}/action", "reboot", None),
        ("/os-volumes_boot/{server_id}/action", "dump", CRASH_DUMP),
    ]
    assert {route.until for route in found} == {before(VOLUMES_BOOT_REMOVED)}
