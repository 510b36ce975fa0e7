"""What the history of an instance says of changes of its volumes. All functions run inside a transaction."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from cairn_database import history
from cairn_database.asking import Asked
from cairn_database.records import AttachedVolume, InstanceRecord
from cairn_database.rows import now

ATTACHING, DETACHING, SWAPPING = "attaching", "detaching", "swapping"
_WORDS = {ATTACHING: "attach", DETACHING: "detach", SWAPPING: "swap"}


def begun(
    conn: sa.Connection, record: InstanceRecord, volume: AttachedVolume, change: str, asked: Asked
) -> AttachedVolume:
    """The volume with a change that the host is to make, and that the history tells of."""
    moment = now()
    action_id = history.start_action(conn, record.id, action_of(change), asked.request_id, moment)
    return replace(volume, change=change, since=moment.isoformat(), action_id=action_id)


def noted(conn: sa.Connection, record: InstanceRecord, change: str, asked: Asked, moment: datetime) -> None:
    """A change of an instance that is on no host: there is nothing to wait for."""
    action_id = history.start_action(conn, record.id, action_of(change), asked.request_id, moment)
    history.finish_action(conn, action_id, moment)


def ended(
    conn: sa.Connection,
    record: InstanceRecord,
    volume: AttachedVolume,
    moment: datetime,
    message: str | None,
) -> None:
    """The volume's change is over, where the history waits for its end; `message`: why it failed."""
    if volume.action_id is None:
        return
    event = f"compute_{action_of(volume.change or ATTACHING)}"
    history.finish_change(conn, record, volume.action_id, volume.since, moment, event=event, message=message)


def action_of(change: str) -> str:
    """Nova's name of the action: `attach_volume` …"""
    return f"{_WORDS[change]}_volume"
