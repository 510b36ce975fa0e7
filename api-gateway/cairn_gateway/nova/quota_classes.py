"""The default quotas (class `default`), and classes that only remember their figures, as in Nova.

Source of behaviour: Nova API, /os-quota-class-sets.
"""

from __future__ import annotations

from typing import Annotated

from cairn_database import quota_limits
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.models import RequestModel, Since, Until
from cairn_gateway.http.routes import Route
from cairn_gateway.nova import microversions as at
from cairn_gateway.nova.queries import refuse_query
from cairn_gateway.nova.quota_names import CAIRN_NAMES, NOVA_NAMES, Limit, of_classes

RULE = "os_compute_api:os-quota-class-sets:"
ONE = "/os-quota-class-sets/{quota_class}"
LONGEST_NAME = 255
Network = Annotated[Limit | None, Until(at.before(at.QUOTA_CLASS_NETWORK_QUOTAS_REMOVED))]
Injected = Annotated[Limit | None, Until(at.before(at.INJECTED_FILE_QUOTAS_REMOVED))]
Groups = Annotated[Limit | None, Since(at.QUOTA_CLASS_SERVER_GROUPS)]


class QuotaClassSet(RequestModel):
    """The limits to change; what is left out stays."""

    instances: Limit | None = None
    cores: Limit | None = None
    ram: Limit | None = None
    key_pairs: Limit | None = None
    metadata_items: Limit | None = None
    server_groups: Groups = None
    server_group_members: Groups = None
    fixed_ips: Network = None
    floating_ips: Network = None
    security_groups: Network = None
    security_group_rules: Network = None
    injected_files: Injected = None
    injected_file_content_bytes: Injected = None
    injected_file_path_bytes: Injected = None


class UpdateQuotaClassSet(RequestModel):
    """PUT /os-quota-class-sets/{quota_class}."""

    quota_class_set: QuotaClassSet


def _shown(call: Call, limits: quota_limits.Limits) -> dict[str, int]:
    return {NOVA_NAMES[name]: limits[name] for name in of_classes(call.version)}


async def show(call: Call) -> Answer:
    """The quotas of a class"""
    refuse_query(call)
    name = call.params["quota_class"]
    limits = await quota_limits.class_limits(call.services.db, name)
    return Answer({"quota_class_set": {"id": name, **_shown(call, limits)}})


async def update(call: Call) -> Answer:
    """Change the quotas of a class"""
    name = call.params["quota_class"]
    if len(name) > LONGEST_NAME:
        raise BadRequest(f"quota_class_name has {len(name)} characters, more than {LONGEST_NAME}.")
    asked: QuotaClassSet = call.checked.quota_class_set
    wanted = {CAIRN_NAMES[key]: limit for key, limit in asked.model_dump().items() if limit is not None}
    limits = await quota_limits.set_class(call.services.db, name, wanted)
    return Answer({"quota_class_set": _shown(call, limits)})


ROUTES: tuple[Route, ...] = (
    Route("GET", ONE, show, RULE + "show"),
    Route("PUT", ONE, update, RULE + "update", body=UpdateQuotaClassSet),
)
