"""/os-instance_usage_audit_log: which hosts have finished their audit of the last month.

The audits are notifications to a billing system, which a Nova does not send either while its setting
`instance_usage_audit` is off, as it is by default: no host has run one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cairn_database import nodes
from cairn_gateway.http.call import Answer, Call
from cairn_gateway.http.faults import BadRequest
from cairn_gateway.http.routes import Route
from cairn_gateway.nova.microversions import UNKNOWN_QUERIES_REFUSED
from cairn_gateway.nova.queries import refuse_unknown

RULE = "os_compute_api:os-instance-usage-audit-log:"


async def index(call: Call) -> Answer:
    """Show the audits of the last completed month."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    return Answer({"instance_usage_audit_logs": await _audits(call, datetime.now(UTC))})


async def show(call: Call) -> Answer:
    """Show the audits of the last month that was completed before a time."""
    refuse_unknown(call, since=UNKNOWN_QUERIES_REFUSED)
    text = call.params["before_timestamp"]
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    try:
        before = datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError as error:
        raise BadRequest(f"Invalid timestamp for date {text}") from error
    return Answer({"instance_usage_audit_log": await _audits(call, before)})


async def _audits(call: Call, moment: datetime) -> dict[str, Any]:
    try:
        begin, end = last_month(moment)
    except OverflowError as error:
        raise BadRequest(f"Invalid timestamp for date {moment:%Y-%m-%d}: no month was before it") from error
    hosts = [node.name for node in await nodes.list_compute_nodes(call.services.db)]
    return {
        "period_beginning": f"{begin:%Y-%m-%d %H:%M:%S}",
        "period_ending": f"{end:%Y-%m-%d %H:%M:%S}",
        "num_hosts": len(hosts),
        "num_hosts_done": 0,
        "num_hosts_running": 0,
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": hosts,
        "total_instances": 0,
        "total_errors": 0,
        "overall_status": f"{f'0 of {len(hosts)}' if hosts else 'ALL'} hosts done. 0 errors.",
        "log": {},
    }


def last_month(moment: datetime) -> tuple[datetime, datetime]:
    """The calendar month that was over before `moment`: its first moment, and the one after its last.

    >>> last_month(datetime(2026, 1, 1, 0, 0, 1))
    (datetime.datetime(2025, 12, 1, 0, 0), datetime.datetime(2026, 1, 1, 0, 0))
    """
    end = _first(moment)
    if end >= moment:
        end = _first(end - timedelta(days=1))
    return _first(end - timedelta(days=1)), end


def _first(moment: datetime) -> datetime:
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-instance_usage_audit_log", index, RULE + "list"),
    Route("GET", "/os-instance_usage_audit_log/{before_timestamp}", show, RULE + "show"),
)
