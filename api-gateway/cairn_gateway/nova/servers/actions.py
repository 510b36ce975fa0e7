"""POST /servers/{server_id}/action: what can be done to a server now.

What Cairn cannot do yet is in `later.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from cairn_crds.instance import RebootType
from cairn_database import InstanceNotFound, InstanceRecord, VmState, asking, removal
from cairn_database.asking import Asked
from cairn_database.legality import ActionRefused, InstanceLocked, check
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import Conflict, NotFound
from cairn_gateway.http.models import RequestModel, Text255
from cairn_gateway.http.routes import Enforce, Handler, Route
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


async def perform(
    call: Call, act: Callable[[InstanceRecord], Awaitable[InstanceRecord]], *, status: int = 202
) -> Answer:
    """Load, ask the policy, act, and let the conductor know. Raises NotFound, Conflict."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    try:
        after = await act(record)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    except (ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    await call.services.cluster.hint(after.namespace, after.name, call.request_id)
    return Answer(status=status)


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
    """Delete it."""
    return await _delete(call, "delete", status=204)


async def force_delete(call: Call) -> Answer:
    """Delete it, though it may be waiting to be restored."""
    return await _delete(call, "force_delete", status=202)


async def _delete(call: Call, action: str, *, status: int) -> Answer:
    record = await server_of(call)
    call.enforce(target_of(call, record))
    try:
        check(action, record, overrides_lock=call.is_admin, called=action.replace("force_d", "forceD"))
        after = await removal.begin_delete(call.services.db, record.id, request_id=call.request_id)
    except InstanceNotFound as error:
        raise NotFound(str(error)) from error
    except (ActionRefused, InstanceLocked) as error:
        raise Conflict(str(error)) from error
    await call.services.cluster.delete_instance(after.namespace, after.name, after.resource_uid)
    return Answer(status=status)


async def restore(call: Call) -> Answer:
    """Bring back what was soft-deleted. Cairn deletes at once, so there is nothing to restore yet."""

    async def act(record: InstanceRecord) -> InstanceRecord:
        check("restore", record, overrides_lock=call.is_admin)
        raise RuntimeError("nothing puts an instance into soft-delete")

    return await perform(call, act)


def action(
    key: str, handler: Handler, rule: str, body: type[RequestModel] | None = None, status: int = 202
) -> Route:
    """The route of a server's action."""
    return Route("POST", PATH, handler, rule, status=status, action=key, body=body, enforce=Enforce.HANDLER)


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
    action("forceDelete", force_delete, "os_compute_api:os-deferred-delete:force"),
    action("restore", restore, "os_compute_api:os-deferred-delete:restore"),
)
