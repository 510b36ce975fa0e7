"""POST /servers/{server_id}/action: power, locks and deletion, and what all actions share.

The other actions are in `reshaping.py` (rebuild, rescue …), `resizing.py`, `migrating.py`, `shelving.py` and
`imaging.py`; what Cairn cannot do yet is in `later.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cairn_crds.instance import RebootType
from cairn_database import (
    InstanceNotFound,
    InstanceRecord,
    ProjectDisabled,
    ProjectNotFound,
    QuotaExceeded,
    TaskState,
    VmState,
    asking,
    moving,
    removal,
)
from cairn_database.asking import Asked
from cairn_database.legality import ActionRefused, InstanceLocked, NotCapable, check
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest, Conflict, Forbidden, NotFound, NotSupported, OverQuota
from cairn_gateway.http.models import RequestModel, Text255
from cairn_gateway.http.routes import Enforce, Handler, Route
from cairn_gateway.nova.microversions import Microversion
from cairn_gateway.nova.servers.load import server_of, target_of

PATH = "/servers/{server_id}/action"


class RebootKind(RequestModel):
    """HARD or SOFT, in any case."""

    type: Annotated[
        Literal["HARD", "SOFT"], BeforeValidator(lambda v: v.upper() if isinstance(v, str) else v)
    ]


class Reboot(RequestModel):
    """`{"reboot": {"type": "SOFT"}}`."""

    reboot: RebootKind


class LockReason(RequestModel):
    """Why; for administrators who wonder."""

    locked_reason: Annotated[Text255, Field(min_length=1)] | None = None


class Lock(RequestModel):
    """`{"lock": null}`, and from 2.73 `{"lock": {"locked_reason": "…"}}`."""

    lock: Annotated[LockReason | None, BeforeValidator(lambda v: v if v != {} else None)] = None


class State(RequestModel):
    """The state that it is said to be in."""

    state: Literal["active", "error"]


class ResetState(RequestModel):
    """`{"os-resetState": {"state": "active"}}`."""

    reset: Annotated[State, Field(alias="os-resetState")]


Act = Callable[[InstanceRecord], Awaitable[InstanceRecord]]


async def perform(call: Call, act: Act, *, status: int = 202) -> Answer:
    """Load, ask the policy, act, and let the conductor know. Raises what `begin` raises, and Forbidden."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    await begin(call, record, act)
    return Answer(status=status)


async def begin(call: Call, record: InstanceRecord, act: Act) -> InstanceRecord:
    """Act, and let the conductor know; what became of the row. Raises what `refusals` raises."""
    with refusals():
        after = await act(record)
    await call.services.cluster.hint(after.namespace, after.name, call.request_id)
    return after


@contextmanager
def refusals() -> Iterator[None]:
    """What SQL refuses, as the Compute API says it. Raises NotFound, Conflict, NotSupported (its host cannot
    do it), OverQuota, Forbidden, BadRequest (a host that is none, or not for this)."""
    try:
        yield
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    except (ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    except NotCapable as error:
        raise NotSupported(str(error)) from error
    except QuotaExceeded as error:
        raise OverQuota(str(error)) from error
    except (ProjectDisabled, ProjectNotFound) as error:
        raise Forbidden(str(error)) from error
    except (moving.UnknownHost, moving.HostStillInUse) as error:
        raise BadRequest(str(error)) from error


def asked_by(call: Call) -> Asked:
    """Who asks, as the database wants to know it."""
    return Asked(request_id=call.request_id, user_id=call.caller.user_id, overrides_lock=call.is_admin)


def power(action: str, says: str) -> Handler:
    """A handler for one of `asking.POWER_TASKS`."""

    async def handler(call: Call) -> Answer:
        return await perform(
            call,
            lambda record: asking.change_power(call.services.db, record.id, action, asked_by(call)),
        )

    handler.__doc__ = says
    return handler


async def reboot(call: Call) -> Answer:
    """Reboot it: SOFT asks the guest, HARD does not."""
    body: Reboot = call.checked
    kind = RebootType.HARD if body.reboot.type == "HARD" else RebootType.SOFT
    return await perform(
        call,
        lambda record: asking.reboot(call.services.db, record.id, kind, asked_by(call)),
    )


async def lock(call: Call) -> Answer:
    """Let only administrators change it."""
    body: Lock = call.checked
    reason = body.lock.locked_reason if body.lock else None

    async def act(record: InstanceRecord) -> InstanceRecord:
        owner = record.user_id == call.caller.user_id or record.project == call.caller.project
        return await asking.lock(
            call.services.db, record.id, reason=reason, by_admin=not owner, request_id=call.request_id
        )

    return await perform(call, act)


async def unlock(call: Call) -> Answer:
    """Let its project change it again."""

    async def act(record: InstanceRecord) -> InstanceRecord:
        by_admin = record.details.get("lockedBy") == "admin"
        if by_admin:
            call.enforce(target_of(call, record), "os_compute_api:os-lock-server:unlock:unlock_override")
        return await asking.unlock(call.services.db, record.id, request_id=call.request_id)

    return await perform(call, act)


async def reset_state(call: Call) -> Answer:
    """Say that it is active, or in error (for administrators, after mending by hand)."""
    body: ResetState = call.checked
    return await perform(
        call,
        lambda record: asking.reset_state(
            call.services.db, record.id, VmState(body.reset.state), request_id=call.request_id
        ),
    )


async def delete(call: Call) -> Answer:
    """Delete it; where there is a time to reclaim it in, only so that it can be restored until then."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    if call.services.settings.compute.reclaim_seconds > 0:
        if record.vm_state is VmState.SOFT_DELETED or record.task_state is TaskState.SOFT_DELETING:
            with refusals():
                check("delete", record, overrides_lock=call.is_admin)
            return Answer(status=204)
        try:
            await begin(
                call, record, lambda one: moving.soft_delete(call.services.db, one.id, asked_by(call))
            )
        except Conflict as error:
            if not isinstance(error.__cause__, ActionRefused):
                raise
        else:
            return Answer(status=204)
    return await _delete(call, record, "delete", status=204)


async def force_delete(call: Call) -> Answer:
    """Delete it at once, though it may be waiting to be restored."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    return await _delete(call, record, "force_delete", status=202)


async def _delete(call: Call, record: InstanceRecord, action: str, *, status: int) -> Answer:
    with refusals():
        check(action, record, overrides_lock=call.is_admin, called=action.replace("force_d", "forceD"))
        after = await removal.begin_delete(call.services.db, record.id, request_id=call.request_id)
    await call.services.cluster.delete_instance(after.namespace, after.name, after.resource_uid)
    return Answer(status=status)


async def restore(call: Call) -> Answer:
    """Bring back what was soft-deleted."""
    return await perform(call, lambda record: moving.restore(call.services.db, record.id, asked_by(call)))


async def refresh_network(call: Call) -> Answer:
    """Have the conductor tell its host of its network again (Nova: for XenAPI, and nothing elsewhere)."""

    async def act(record: InstanceRecord) -> InstanceRecord:
        if record.locked and not call.is_admin:
            raise InstanceLocked(record.id)
        return record

    return await perform(call, act)


def action(
    key: str,
    handler: Handler,
    rule: str,
    body: type[RequestModel] | None = None,
    status: int = 202,
    *,
    since: Microversion | None = None,
    until: Microversion | None = None,
) -> Route:
    """The route of a server's action; `until` is the last version that has it so."""
    return Route(
        "POST",
        PATH,
        handler,
        rule,
        status=status,
        since=since,
        until=until,
        action=key,
        body=body,
        enforce=Enforce.HANDLER,
    )


ROUTES = (
    Route(
        "DELETE",
        "/servers/{server_id}",
        delete,
        "os_compute_api:servers:delete",
        status=204,
        enforce=Enforce.HANDLER,
    ),
    action("os-start", power("start", "Start it."), "os_compute_api:servers:start"),
    action("os-stop", power("stop", "Stop it."), "os_compute_api:servers:stop"),
    action("pause", power("pause", "Pause it."), "os_compute_api:os-pause-server:pause"),
    action("unpause", power("unpause", "Let it go on."), "os_compute_api:os-pause-server:unpause"),
    action(
        "suspend",
        power("suspend", "Save its state."),
        "os_compute_api:os-suspend-server:suspend",
    ),
    action("resume", power("resume", "Let it go on."), "os_compute_api:os-suspend-server:resume"),
    action("reboot", reboot, "os_compute_api:servers:reboot", Reboot),
    action("lock", lock, "os_compute_api:os-lock-server:lock", Lock),
    action("unlock", unlock, "os_compute_api:os-lock-server:unlock"),
    action("os-resetState", reset_state, "os_compute_api:os-admin-actions:reset_state", ResetState),
    action("injectNetworkInfo", refresh_network, "os_compute_api:os-admin-actions:inject_network_info"),
    action("forceDelete", force_delete, "os_compute_api:os-deferred-delete:force"),
    action("restore", restore, "os_compute_api:os-deferred-delete:restore"),
)
