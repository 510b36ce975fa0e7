"""What an edit of the spec asks for besides labels: each wish becomes the same transaction that the Compute
API's action is, judged by the same table.

A wish that cannot be followed now stays in the spec, refused in the condition SpecApplied, and is looked at
again whenever the instance is: what is not allowed while it is rescued may be so afterwards.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from cairn_crds import Instance
from cairn_crds.instance import DesiredPower
from cairn_database import (
    AddressesExhausted,
    AddressInUse,
    DatabaseError,
    InstanceRecord,
    KeyPairRecord,
    MacInUse,
    NetworkNotFound,
    QuotaExceeded,
    VmState,
    admission,
    capabilities,
    instances,
    legality,
    moving,
    reshaping,
    shelving,
    tasks,
)
from cairn_database.admission import Refusal
from cairn_database.asking import Asked, with_spec
from cairn_database.images import snapshots
from cairn_database.networking import of_instance, plugging
from cairn_database.networking.errors import (
    NetworkQuotaExceeded,
    PortInUse,
    PortNotFound,
    SecurityGroupNotFound,
    TooManyInterfaces,
)
from cairn_database.networking.plugging import Plug
from cairn_operator.conductor import images
from cairn_operator.conductor.power import ACTIONS, power_task
from cairn_operator.conductor.resolve import (
    flavor_of,
    image_of,
    key_pair_of,
    network_snapshot,
    networks_of,
    project_of,
)
from cairn_operator.conductor.scope import Scope

LABELS = frozenset({"metadata", "displayName", "description", "tags", "locked", "lockedReason"})
"""Followed at once, whatever the instance is doing."""
REBUILT = ("image", "keyPair", "userData", "userDataBase64", "hostname", "adminPasswordHash")
"""Followed by the next rebuild."""
ORDER = ("securityGroups", "rebuild", "flavor", "rescue", "networks", "powerState", "crashDump")
"""Which wish comes first where there are several."""
NEW_GROUP_SECONDS = 0.2
Wish = Callable[[Scope, Instance, InstanceRecord, Asked], Awaitable[InstanceRecord]]
REFUSALS = (
    legality.ActionRefused,
    legality.NotCapable,
    legality.InstanceLocked,
    QuotaExceeded,
    AddressesExhausted,
    AddressInUse,
    MacInUse,
    NetworkNotFound,
    NetworkQuotaExceeded,
    PortInUse,
    PortNotFound,
    SecurityGroupNotFound,
    TooManyInterfaces,
)


def new_request_id() -> str:
    """The id of a request that came by kubectl, in the form that Nova's have: it ties log lines together."""
    return f"req-{uuid.uuid4()}"


async def follow_wishes(scope: Scope, instance: Instance, record: InstanceRecord) -> None:
    """Begin the first wish that can be begun; say of the others why not."""
    unapplied = record.request.get("unapplied", [])
    for name in ORDER:
        if name not in unapplied:
            continue
        done = {name, *REBUILT} if name == "rebuild" else {name}
        asked = Asked(
            request_id=new_request_id(),
            user_id=record.user_id,
            overrides_lock=True,
            version=record.version,
            seen={"unapplied": [other for other in unapplied if other not in done]},
        )
        try:
            scope.record = await WISHES[name](scope, instance, record, asked)
        except Refusal as refusal:
            _refuse(scope, refusal.reason, refusal.message)
        except REFUSALS as error:
            _refuse(scope, "NotNow", f"spec.{name}: {error}")
        else:
            return
    early = [name for name in REBUILT if name in unapplied]
    if early:
        fields = ", ".join(f"spec.{name}" for name in early)
        _refuse(
            scope,
            "RebuildNeeded",
            f"{fields} counts when the disks are made anew, and what is on them is lost then: raise "
            "spec.rebuild.generation by one if that is wanted, or set it back.",
        )


def _refuse(scope: Scope, reason: str, message: str) -> None:
    scope.refusal = scope.refusal or Refusal(reason, message)


async def _rebuild(scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    spec, project = instance.spec, project_of(scope.env.catalog, scope.key[0])
    flavor = flavor_of(scope.env.catalog, record.flavor["name"])
    image = image_of(scope.env.catalog, spec, project.metadata.name)
    if record.root_volume is not None:
        admission.check_root_volume(record.root_gib, image.metadata.name, image.spec)
    elif flavor is not None:
        admission.check_fit(flavor.metadata.name, flavor.spec, image.metadata.name, image.spec)
    key_pair = None
    if spec.key_pair:
        found = key_pair_of(scope.env.catalog, spec.key_pair, scope.key[0])
        key_pair = KeyPairRecord(found.metadata.name, found.spec.public_key)
    shown = spec.changeable()
    fields: dict[str, Any] = {name: shown.get(name) for name in (*REBUILT, "rebuild")}
    document = {"id": image.metadata.uid, **image.spec.to_api(), "name": image.metadata.name}
    return await reshaping.rebuild(
        scope.env.db, record.id, asked, image=document, spec=fields, key_pair=key_pair
    )


async def _resize(scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    name, move = instance.spec.flavor, record.move
    if record.vm_state is VmState.RESIZED and move is not None and move.old_flavor is not None:
        if move.old_flavor["name"] == name:
            return await moving.revert_resize(scope.env.db, record.id, asked)
        raise Refusal(
            "NotConfirmed",
            f"The instance has been resized to '{record.flavor['name']}', which is not confirmed yet: set "
            f"the decision of its Migration, or set spec.flavor back to '{move.old_flavor['name']}'.",
        )
    flavor = flavor_of(scope.env.catalog, name)
    project = project_of(scope.env.catalog, scope.key[0])
    if flavor is None:
        raise Refusal("FlavorNotFound", f"Flavor '{name}' does not exist. Choose one that does.")
    admission.check_flavor(name, flavor.spec, project.metadata.name)
    document = {"id": flavor.metadata.name, **flavor.spec.to_api(), "name": flavor.metadata.name}
    admission.check_resize(record.flavor, document, record.image)
    return await moving.resize(scope.env.db, record.id, asked, flavor=document)


async def _rescue(scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    wish = instance.spec.rescue
    if wish is None:
        return await reshaping.unrescue(scope.env.db, record.id, asked)
    document = record.image
    if wish.image is not None:
        project = project_of(scope.env.catalog, scope.key[0])
        spec = instance.spec.model_copy(update={"image": wish.image})
        image = image_of(scope.env.catalog, spec, project.metadata.name)
        document = {"id": image.metadata.uid, **image.spec.to_api(), "name": image.metadata.name}
    return await reshaping.rescue(scope.env.db, record.id, asked, image=document)


async def _power(scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    db, wanted = scope.env.db, instance.spec.power_state
    if wanted is DesiredPower.SHELVED:
        return await _shelve(scope, record, asked)
    if record.vm_state in (VmState.SHELVED, VmState.SHELVED_OFFLOADED) and wanted is DesiredPower.RUNNING:
        return await shelving.unshelve(db, record.id, asked)
    if record.vm_state is VmState.SOFT_DELETED and wanted is DesiredPower.RUNNING:
        return await moving.restore(db, record.id, asked)
    request = {**with_spec(record, powerState=wanted.value), **(asked.seen or {})}
    task = power_task(record.vm_state, wanted)
    if task is not None:
        await capabilities.require(db, ACTIONS[task], record)
        return await tasks.begin_task(
            db,
            record.id,
            record.version,
            task,
            action=ACTIONS[task],
            request=request,
            request_id=asked.request_id,
        )
    if record.vm_state is VmState.ERROR:  # the host brings it there, and with that it recovers
        return await instances.update_request(db, record.id, record.version, request=request)
    raise Refusal(
        "NotNow",
        f"spec.powerState: there is no way to {wanted.value} while the instance is {record.vm_state}.",
    )


async def _shelve(scope: Scope, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    db, base = scope.env.db, scope.env.settings.image_store_url
    if record.boots_from_volume:
        return await shelving.shelve_volume_backed(db, record.id, asked)
    await db.read(lambda conn: capabilities.judge(conn, "shelve", record, overrides_lock=True))
    if not base:
        raise Refusal(
            "NoImageStore",
            "An instance is shelved as an image, and this Cairn's conductor knows of no image store "
            "(conductor.image_store_url). Ask an administrator, or use the Compute API.",
        )
    image_id, url = await snapshots.reserve(db, base, name=f"{record.display_name}-shelved", instance=record)
    try:
        return await shelving.shelve(db, record.id, asked, image_id=image_id, url=url)
    except DatabaseError:
        await images.forget(db, scope.env.kubernetes, image_id)
        raise


async def _security_groups(
    scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked
) -> InstanceRecord:
    names = instance.spec.security_groups
    try:
        after = await of_instance.set_groups(scope.env.db, record.id, names, asked)
    except SecurityGroupNotFound as error:
        if (scope.key[0], error.group) in scope.env.catalog.security_groups:
            scope.after(NEW_GROUP_SECONDS)  # SQL is about to have it
        scope.env.blocked.add(scope.key)
        raise Refusal(
            "SecurityGroupNotFound",
            f"spec.securityGroups: SecurityGroup '{error.group}' does not exist. Create it, or leave it out.",
        ) from error
    scope.env.blocked.discard(scope.key)
    scope.after(0)  # nothing is left to wait for, and other wishes may be
    return after


async def _crash_dump(
    scope: Scope, _instance: Instance, record: InstanceRecord, asked: Asked
) -> InstanceRecord:
    return await reshaping.crash_dump(scope.env.db, record.id, asked)


async def _rewire(scope: Scope, instance: Instance, record: InstanceRecord, asked: Asked) -> InstanceRecord:
    project = project_of(scope.env.catalog, scope.key[0])
    plugs = [
        Plug(wish.to_api(), network_snapshot(network))
        for network, wish in networks_of(scope.env.catalog, instance.spec, project.metadata.name)
    ]
    after = await plugging.rewire(scope.env.db, record.id, asked, plugs)
    scope.after(0)  # no task keeps other wishes waiting
    return after


WISHES: dict[str, Wish] = {
    "securityGroups": _security_groups,
    "rebuild": _rebuild,
    "flavor": _resize,
    "rescue": _rescue,
    "networks": _rewire,
    "powerState": _power,
    "crashDump": _crash_dump,
}
"""By field of the spec: what a change of it does."""
