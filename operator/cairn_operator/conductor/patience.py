"""How long a host may take for what changes beside an instance's task, and what is said of a late one."""

from __future__ import annotations

from datetime import datetime

from cairn_crds.guest import GuestFault
from cairn_database import InstanceRecord
from cairn_operator.conductor.scope import Scope


def seconds_left(scope: Scope, record: InstanceRecord, since: str | None) -> float:
    """Seconds that the host still has for a change that was asked for `since` (ISO 8601)."""
    began = datetime.fromisoformat(since) if since else record.updated_at
    return scope.env.settings.task_timeout_seconds - (scope.now - began).total_seconds()


def late(record: InstanceRecord, fault: GuestFault | None) -> str:
    """Why it is given up; `fault`: what the host has said of the Guest."""
    why = f" The last it said: {fault.message}" if fault is not None else " Is its agent running?"
    return f"Host {record.host} has not done it in time.{why}"
