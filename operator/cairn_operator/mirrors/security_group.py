"""A SecurityGroup: its row and its rules' rows; and the resource of a row that has none yet.

The APIs accept a group with a row, and a boot makes its project's group `default` as a row: where the
resource is missing because nobody has made it yet, it is made here; where it was deleted, the row goes, but
for `default`, which a project always has.
"""

from __future__ import annotations

import ipaddress

from cairn_crds import Metadata, SecurityGroup
from cairn_crds.security_group import EtherType, SecurityGroupRule
from cairn_database import tenants
from cairn_database.networking import groups
from cairn_database.networking.errors import SecurityGroupNotFound
from cairn_operator.mirrors.controller import MirrorContext, Mirrored
from cairn_operator.mirrors.plain import immutable
from cairn_runtime.kubernetes import AlreadyExists, Forbidden, NotFound

NOT_ENFORCED = (
    "Taken in. Hosts do not filter traffic by security groups yet; the Compute and Network APIs show and "
    "change it."
)


async def take_in_security_group(context: MirrorContext, group: SecurityGroup) -> Mirrored:
    """A group becomes a row with its rules."""
    metadata = group.metadata
    namespace = metadata.namespace or ""
    project = await tenants.project_of_namespace(context.db, namespace)
    if project is None:
        return Mirrored(False, "ProjectNotFound", f"Namespace '{namespace}' belongs to no Project.")
    for index, rule in enumerate(group.spec.rules):
        if problem := rule_problem(rule):
            return Mirrored(False, "Invalid", f"spec.rules[{index}]: {problem}")
    recorded = await groups.at(context.db, namespace, metadata.name)
    same = recorded is not None and recorded.resource_uid == metadata.uid
    if recorded is not None and same and group.spec.id not in (None, recorded.id):
        return immutable("spec.id", recorded.id)
    key = groups.GroupKey(project.name, namespace, metadata.name)
    try:
        source = groups.Source(metadata.uid, metadata.generation)
        await groups.upsert(context.db, key, group.spec, source)
    except SecurityGroupNotFound as error:
        message = f"A rule's remoteGroup is not there: '{error.group}'. Create it, or mend the rule."
        return Mirrored(False, "RemoteGroupNotFound", message)
    return Mirrored(message=NOT_ENFORCED)


def rule_problem(rule: SecurityGroupRule) -> str | None:
    """What makes no sense, in words that say what to do; None where nothing does."""
    if rule.remote_prefix is not None and rule.remote_group is not None:
        return "give remotePrefix or remoteGroup, not both."
    if rule.remote_prefix is not None:
        try:
            version = ipaddress.ip_network(rule.remote_prefix, strict=False).version
        except ValueError as error:
            return f"remotePrefix: {error}."
        if version != (6 if rule.ether_type is EtherType.IPV6 else 4):
            return f"remotePrefix {rule.remote_prefix} is not {rule.ether_type}."
    if rule.protocol is None and (rule.port_min is not None or rule.port_max is not None):
        return "portMin and portMax need a protocol."
    return None


async def remove_security_group(context: MirrorContext, namespace: str, name: str) -> None:
    """The resource is not there: make it where that is what is missing, else let go of the row."""
    found = await groups.at(context.db, namespace, name)
    if found is None:
        return
    project = await tenants.project_of_namespace(context.db, namespace)
    stays = project is not None and (found.resource_uid is None or name == groups.DEFAULT)
    if not (stays and await _make(context, found)):
        await groups.remove(context.db, namespace, name)


async def _make(context: MirrorContext, found: groups.GroupRecord) -> bool:
    """The resource is there (again). False where the namespace takes nothing new."""
    spec = found.spec.model_copy(update={"id": found.id})
    wanted = SecurityGroup(metadata=Metadata(name=found.name, namespace=found.namespace), spec=spec)
    key = groups.GroupKey(found.project, found.namespace, found.name)
    try:
        body = await context.kubernetes.create(SecurityGroup, wanted.manifest())
    except AlreadyExists:
        return True  # its own event brings it in
    except (NotFound, Forbidden):
        return False
    source = groups.Source(body["metadata"]["uid"], body["metadata"].get("generation"))
    await groups.upsert(context.db, key, spec, source)
    return True
