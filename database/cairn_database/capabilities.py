"""Whether the host that an instance is on can do an action at all: what its driver says of itself (the traits
of its ComputeNode), against `legality.NEEDS`, and whether it is up, where `legality.NEED_HOST_UP` wants that.
Asked in the transaction that would begin it, so that nobody waits for what cannot come.
"""

from __future__ import annotations

import sqlalchemy as sa

from cairn_database import legality
from cairn_database.engine import Database
from cairn_database.records import InstanceRecord
from cairn_database.tables import compute_nodes


def judge(
    conn: sa.Connection,
    action: str,
    record: InstanceRecord,
    *,
    overrides_lock: bool = False,
    called: str | None = None,
) -> None:
    """As `legality.check`, and for what the host can do. Raises InstanceLocked, ActionRefused, NotCapable,
    HostNotUp."""
    legality.check(action, record, overrides_lock=overrides_lock, called=called)
    needed = legality.NEEDS.get(action)
    if needed is not None and record.host is not None:
        traits = traits_of(conn, record.host)
        if traits and needed not in traits:
            raise legality.NotCapable(called or action, record.id)
    if action in legality.NEED_HOST_UP:
        host = record.host
        if action == "confirm_resize" and record.move is not None:
            host = record.move.source
        if host is not None and is_down(conn, host):
            raise legality.HostNotUp(called or action, record.id)


async def require(db: Database, action: str, record: InstanceRecord) -> None:
    """Only what the host can do, for actions that are judged elsewhere. Raises NotCapable."""
    needed, host = legality.NEEDS.get(action), record.host
    if needed is None or host is None:
        return
    traits = await db.read(lambda conn: traits_of(conn, host))
    if traits and needed not in traits:
        raise legality.NotCapable(action, record.id)


def is_down(conn: sa.Connection, host: str) -> bool:
    """Whether the host has been silent for too long, or is forced down; one that is not known is not."""
    columns = compute_nodes.c
    query = sa.select(columns.up, columns.forced_down).where(
        columns.name == host, columns.removed_at.is_(None)
    )
    node = conn.execute(query).one_or_none()
    return node is not None and (bool(node.forced_down) or not node.up)


def traits_of(conn: sa.Connection, host: str) -> frozenset[str]:
    """What the host has said of itself; nothing while it has not said anything."""
    columns = compute_nodes.c
    query = sa.select(columns.inventory).where(columns.name == host, columns.removed_at.is_(None))
    inventory = conn.scalar(query)
    return frozenset((inventory or {}).get("traits", ()))
