"""Every Compute rule for every kind of caller, against expectations that are written down here alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest

from cairn_gateway.http.caller import Caller
from cairn_gateway.policy.compute import actions, cloud, parts, projects, proxies, servers
from cairn_gateway.policy.enforcer import Enforcer

NO_ROLE: Final[frozenset[str]] = frozenset()
READER: Final = frozenset({"reader"})
MEMBER: Final = READER | {"member"}
MANAGER: Final = MEMBER | {"manager"}
ADMIN: Final = MANAGER | {"admin"}
SERVICE: Final = frozenset({"service"})


def caller(roles: frozenset[str]) -> Caller:
    return Caller("u1", "ann", "default", "p1", "blue", "default", roles)


def outside(roles: frozenset[str]) -> dict[str, Caller]:
    unscoped = replace(caller(roles), project_id=None, project_name=None, project_domain_id=None)
    return {
        "system": replace(unscoped, system_scope="all"),
        "domain": replace(unscoped, domain_id="default"),
    }


ROLES: Final = {
    "admin": ADMIN,
    "manager": MANAGER,
    "member": MEMBER,
    "reader": READER,
    "service": SERVICE,
    "none": NO_ROLE,
}
CALLERS: Final = {name: caller(roles) for name, roles in ROLES.items()} | {
    f"{scope} {name}": by_scope for name, roles in ROLES.items() for scope, by_scope in outside(roles).items()
}
TARGETS: Final[dict[str, dict[str, str | None]]] = {
    "own": {"project_id": "p1", "user_id": "u1"},
    "a colleague's": {"project_id": "p1", "user_id": "u2"},
    "foreign": {"project_id": "p2", "user_id": "u2"},
    "one's own in a foreign project": {"project_id": "p2", "user_id": "u1"},
    "nobody's": {"project_id": None, "user_id": None},
    "unsaid": {},
}

EVERYBODY: Final = set(ROLES)
OWN_PROJECT: Final = {"own", "a colleague's"}
OWN_THINGS: Final = {"own", "one's own in a foreign project"}
ALLOWED: Final[dict[str, list[tuple[set[str], set[str]]]]] = {
    # who may by default: (these callers, to these targets), …
    "admin": [({"admin"}, set(TARGETS))],
    "manager": [({"admin"}, set(TARGETS)), ({"manager"}, OWN_PROJECT)],
    "member": [({"admin"}, set(TARGETS)), ({"manager", "member"}, OWN_PROJECT)],
    "reader": [({"admin"}, set(TARGETS)), ({"manager", "member", "reader"}, OWN_PROJECT)],
    "service": [({"admin", "service"}, set(TARGETS))],
    "own": [({"admin"}, set(TARGETS)), (EVERYBODY, OWN_THINGS)],
    "anyone": [(EVERYBODY, set(TARGETS))],
    "nobody": [],
}
"""No token of the system or of a domain is good for anything in the Compute API."""

RULES: Final = {
    "manager": """
        os-migrate-server:migrate os-migrate-server:migrate_live os-migrations:index
        servers:migrations:delete servers:migrations:force_complete servers:migrations:index
    """,
    "member": """
        os-admin-password os-attach-interfaces:create os-attach-interfaces:delete os-console-output
        os-create-backup os-deferred-delete:force os-deferred-delete:restore os-floating-ips:add
        os-floating-ips:create os-floating-ips:delete os-floating-ips:remove os-lock-server:lock
        os-lock-server:unlock os-multinic:add os-multinic:remove os-pause-server:pause
        os-pause-server:unpause os-remote-consoles os-rescue os-security-groups:add
        os-security-groups:create os-security-groups:delete os-security-groups:remove
        os-security-groups:rule:create os-security-groups:rule:delete os-security-groups:update
        os-server-groups:create os-server-groups:delete os-server-password:clear
        os-server-shares:create os-server-shares:delete os-server-tags:delete
        os-server-tags:delete_all os-server-tags:update os-server-tags:update_all os-shelve:shelve
        os-shelve:unshelve os-suspend-server:resume os-suspend-server:suspend os-unrescue
        os-volumes-attachments:create os-volumes-attachments:delete os-volumes-attachments:update
        os-volumes:create os-volumes:delete os-volumes:snapshots:create os-volumes:snapshots:delete
        server-metadata:create server-metadata:delete server-metadata:update
        server-metadata:update_all servers:confirm_resize servers:create
        servers:create:attach_network servers:create:attach_volume servers:create:trusted_certs
        servers:create_image servers:create_image:allow_volume_backed servers:delete servers:reboot
        servers:rebuild servers:rebuild:trusted_certs servers:resize servers:revert_resize
        servers:start servers:stop servers:trigger_crash_dump servers:update
    """,
    "reader": """
        compute:server:topology:index ips:index ips:show os-attach-interfaces:list
        os-attach-interfaces:show os-flavor-extra-specs:index os-flavor-extra-specs:show
        os-floating-ips:list os-floating-ips:show os-instance-actions:list os-instance-actions:show
        os-networks:list os-networks:show os-quota-sets:detail os-quota-sets:show
        os-security-groups:get os-security-groups:list os-security-groups:show
        os-server-groups:index os-server-groups:show os-server-password:show os-server-shares:index
        os-server-shares:show os-server-tags:index os-server-tags:show os-simple-tenant-usage:show
        os-tenant-networks:list os-tenant-networks:show os-volumes-attachments:index
        os-volumes-attachments:show os-volumes:detail os-volumes:list os-volumes:show
        os-volumes:snapshots:detail os-volumes:snapshots:list os-volumes:snapshots:show
        server-metadata:index server-metadata:show servers:detail servers:index servers:show
        servers:show:flavor-extra-specs
    """,
    "service": """
        os-assisted-volume-snapshots:create os-assisted-volume-snapshots:delete
        os-server-external-events:create os-volumes-attachments:swap
    """,
    "own": """
        os-keypairs:create os-keypairs:delete os-keypairs:index os-keypairs:show
    """,
    "anyone": """
        extensions limits os-availability-zone:list os-floating-ip-pools os-quota-sets:defaults
    """,
    "nobody": """
        compute:servers:resize:cross_cell
    """,
    "admin": """
        compute:aggregates:images compute:server:topology:host:index
        compute:servers:create:requested_destination network:attach_external_network
        limits:other_project os-admin-actions:inject_network_info os-admin-actions:reset_state
        os-aggregates:add_host os-aggregates:create os-aggregates:delete os-aggregates:index
        os-aggregates:remove_host os-aggregates:set_metadata os-aggregates:show os-aggregates:update
        os-availability-zone:detail os-baremetal-nodes:list os-baremetal-nodes:show
        os-console-auth-tokens os-evacuate os-extended-server-attributes os-flavor-access
        os-flavor-access:add_tenant_access os-flavor-access:remove_tenant_access
        os-flavor-extra-specs:create os-flavor-extra-specs:delete os-flavor-extra-specs:update
        os-flavor-manage:create os-flavor-manage:delete os-flavor-manage:update os-hosts:list
        os-hosts:reboot os-hosts:show os-hosts:shutdown os-hosts:start os-hosts:update
        os-hypervisors:list os-hypervisors:list-detail os-hypervisors:search os-hypervisors:servers
        os-hypervisors:show os-hypervisors:statistics os-hypervisors:uptime
        os-instance-actions:events os-instance-actions:events:details
        os-instance-usage-audit-log:list os-instance-usage-audit-log:show
        os-lock-server:unlock:unlock_override os-migrate-server:migrate:host
        os-migrate-server:migrate_live:host os-migrations:index:all_projects
        os-migrations:index:host os-quota-class-sets:show os-quota-class-sets:update
        os-quota-sets:delete os-quota-sets:update os-server-diagnostics
        os-server-groups:index:all_projects os-services:delete os-services:list os-services:update
        os-shelve:shelve_offload os-shelve:unshelve_to_host os-simple-tenant-usage:list
        servers:allow_all_filters servers:create:forced_host servers:create:zero_disk_flavor
        servers:detail:get_all_tenants servers:index:get_all_tenants servers:migrations:index:host
        servers:migrations:show servers:show:host_status servers:show:host_status:unknown-only
    """,
}
"""Which rule is for whom in Nova; `os_compute_api:` is left out."""

TABLE: Final = [rule for part in (servers, actions, parts, projects, cloud, proxies) for rule in part.RULES]
ENFORCER: Final = Enforcer()


def audience(rule: str) -> str:
    short = rule.removeprefix("os_compute_api:")
    found = [name for name, rules in RULES.items() if short in rules.split()]
    assert len(found) == 1, f"{rule} is expected to be for {found}"
    return found[0]


def test_every_rule_of_nova_is_there_and_no_other() -> None:
    expected = {name for names in RULES.values() for name in names.split()}
    assert {rule.name.removeprefix("os_compute_api:") for rule in TABLE} == expected
    assert len(TABLE) == 203


@pytest.mark.parametrize("rule", [rule.name for rule in TABLE])
def test_a_rule_is_for_those_it_is_for_and_nobody_else(rule: str) -> None:
    allowed = {
        (who, target)
        for who, credentials in CALLERS.items()
        for target, fields in TARGETS.items()
        if ENFORCER.allows(rule, credentials, fields)
    }
    expected = {
        (who, target) for callers, targets in ALLOWED[audience(rule)] for who in callers for target in targets
    }
    assert allowed == expected


def test_a_second_answer_is_the_first_one() -> None:
    """What is remembered must never answer for another caller or target."""
    fresh = Enforcer()
    for rule in TABLE:
        for credentials in CALLERS.values():
            for fields in TARGETS.values():
                first = ENFORCER.allows(rule.name, credentials, fields)
                fresh._decisions.clear()
                assert fresh.allows(rule.name, credentials, fields) == first
