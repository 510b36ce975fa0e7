"""What a server's host is asked for: its console log and its diagnostics."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated, TypeVar

import structlog
from pydantic import Field

from cairn_database import InstanceRecord
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import Conflict, NotFound, NotSupported, ServiceUnavailable
from cairn_gateway.http.models import Integer, RequestModel
from cairn_gateway.http.routes import Enforce, Route
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.servers.actions import action
from cairn_gateway.nova.servers.diagnostics import as_libvirt_counts, standard
from cairn_gateway.nova.servers.load import server_of, target_of
from cairn_runtime.agent_errors import AgentError, CannotDo, MachineNotFound, WrongPowerState

log = structlog.get_logger()
T = TypeVar("T")
CONSOLE_MAX_BYTES = 100 * 1024
"""As much of a log's end as Nova's libvirt driver reads (`MAX_CONSOLE_BYTES`)."""
UNPRINTED = dict.fromkeys(set(range(0x20)) - {ord("\t"), ord("\n")})
"""Control characters, which Nova leaves out."""


class Length(RequestModel):
    """How many lines from the end; all for -1, null or nothing."""

    length: Annotated[Integer, Field(ge=-1)] | None = None


class ConsoleOutput(RequestModel):
    """`{"os-getConsoleOutput": {"length": 50}}`."""

    wanted: Annotated[Length, Field(alias="os-getConsoleOutput")]


async def console_output(call: Call) -> Answer:
    """Show the end of what it wrote to its serial console."""
    record = await _placed(call)
    body: ConsoleOutput = call.checked
    asked = call.services.agents.console_log(str(record.host), record.id, CONSOLE_MAX_BYTES)
    raw = await _answered(call, record, asked, missing="Guest does not have a console available.")
    return Answer({"output": last_lines(raw, body.wanted.length)})


def last_lines(raw: bytes, length: int | None) -> str:
    """The last `length` lines; the empty one after a final line break counts, as in Nova."""
    text = raw.decode(errors="replace")
    if length is not None and length >= 0:
        text = "\n".join(text.split("\n")[-length:]) if length else ""
    return text.translate(UNPRINTED)


async def diagnostics(call: Call) -> Answer:
    """Show what it has used: counters of its CPUs, network cards and disks."""
    record = await _placed(call)
    asked = call.services.agents.diagnostics(str(record.host), record.id)
    found = await _answered(call, record, asked, missing=f"Instance {record.id} could not be found.")
    if call.version < since.DIAGNOSTICS_STANDARD:
        return Answer(as_libvirt_counts(found))
    return Answer(standard(found, record))


async def _placed(call: Call) -> InstanceRecord:
    """The server, if it is on a host. Raises NotFound, Forbidden, Conflict (Nova: InstanceNotReady)."""
    record = await server_of(call)
    call.enforce(target_of(call, record))
    if record.host is None:
        raise Conflict(f"Instance {record.id} is not ready")
    return record


async def _answered(call: Call, record: InstanceRecord, asked: Awaitable[T], *, missing: str) -> T:
    """What the host answers. Raises NotFound, Conflict, NotSupported, ServiceUnavailable.

    A host that does not answer is 503 here, and is not named. (Nova: 500 once its message has timed out; 400
    for diagnostics of a host that is known to be down.)
    """
    try:
        return await asked
    except MachineNotFound as error:
        raise NotFound(missing) from error
    except WrongPowerState as error:
        state = str(record.power_state).lower()
        raise Conflict(
            f"Cannot 'get_diagnostics' instance {record.id} while it is in power state {state}"
        ) from error
    except CannotDo as error:
        raise NotSupported("Requested functionality is not supported.") from error
    except AgentError as error:
        log.warning("host.gave_no_answer", node=record.host, instance=record.id, error=str(error))
        raise ServiceUnavailable(
            f"The host of instance {record.id} does not answer at this time; try again later."
        ) from error


ROUTES = (
    action(
        "os-getConsoleOutput", console_output, "os_compute_api:os-console-output", ConsoleOutput, status=200
    ),
    Route(
        "GET",
        "/servers/{server_id}/diagnostics",
        diagnostics,
        "os_compute_api:os-server-diagnostics",
        enforce=Enforce.HANDLER,
    ),
)
