"""What the caller's project may have, and has. Source of behaviour: Nova API, GET /limits."""

from __future__ import annotations

from cairn_database import ProjectNotFound, quota_limits, quotas, tenants
from cairn_database.quotas import QuotaUsage
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.queries import query_of

RULE = "os_compute_api:limits"
OTHER_PROJECT = "os_compute_api:limits:other_project"
NAMES: tuple[tuple[str, str], ...] = (
    ("maxTotalRAMSize", "memory_mib"),
    ("maxTotalInstances", "instances"),
    ("maxTotalCores", "cores"),
    ("maxTotalKeypairs", "key_pairs"),
    ("maxTotalFloatingIps", "floating_ips"),
    ("maxServerMeta", "metadata_items"),
    ("maxImageMeta", "metadata_items"),
    ("maxPersonality", "injected_files"),
    ("maxPersonalitySize", "injected_file_content_bytes"),
    ("maxSecurityGroups", "security_groups"),
    ("maxSecurityGroupRules", "security_group_rules"),
    ("maxServerGroups", "server_groups"),
    ("maxServerGroupMembers", "server_group_members"),
)
USED: tuple[tuple[str, str], ...] = (
    ("totalRAMUsed", "memory_mib"),
    ("totalCoresUsed", "cores"),
    ("totalInstancesUsed", "instances"),
    ("totalFloatingIpsUsed", "floating_ips"),
    ("totalSecurityGroupsUsed", "security_groups"),
    ("totalServerGroupsUsed", "server_groups"),
)
NETWORK = frozenset({"floating_ips", "security_groups", "security_group_rules"})
INJECTED = frozenset({"injected_files", "injected_file_content_bytes"})


async def index(call: Call) -> Answer:
    """The limits of a project, and how much of them is used"""
    call.enforce()
    query = query_of(call, ("reserved", "tenant_id"), since=at.UNKNOWN_PARAMETERS_REFUSED)
    if "tenant_id" in query:
        call.enforce(rule=OTHER_PROJECT)
        project = await tenants.get_project_by_id(call.services.db, query["tenant_id"])
        name = None if project is None else project.name
    else:
        name = call.caller.project
    found = await _usages(call, name)
    return Answer({"limits": {"rate": [], "absolute": _absolute(call, found)}})


async def _usages(call: Call, project: str | None) -> dict[str, QuotaUsage]:
    """Of a project that nobody knows: the defaults, as in Nova."""
    if project is not None:
        try:
            return await quotas.usages(call.services.db, project)
        except ProjectNotFound:
            pass
    limits = await quota_limits.class_limits(call.services.db)
    return {name: QuotaUsage(limit, 0) for name, limit in limits.items()}


def _absolute(call: Call, found: dict[str, QuotaUsage]) -> dict[str, int]:
    hidden: frozenset[str] = frozenset()
    if call.version >= at.PROXIES_REMOVED:
        hidden |= NETWORK
    if call.version >= at.INJECTED_FILE_QUOTAS_REMOVED:
        hidden |= INJECTED
    shown = {shown: found[name].limit for shown, name in NAMES if name not in hidden}
    if call.version >= at.IMAGE_METADATA_QUOTA_REMOVED:
        del shown["maxImageMeta"]
    return shown | {shown: found[name].in_use for shown, name in USED if name not in hidden}


ROUTES: tuple[Route, ...] = (Route("GET", "/limits", index, RULE, enforce=Enforce.HANDLER),)
