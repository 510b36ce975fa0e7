"""What instances hold of hosts. Only used inside transactions, where hosts are locked or sums repeat
conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_database import hosts
from cairn_database.tables import allocations

OWN, MOVE = "own", "move"
"""What an allocation is for: of the instance's own host, or of the other end of its move."""
_SWAPPING = "swap"
_ADD = sa.insert(allocations)
_OF = sa.select(allocations).where(allocations.c.instance_id == bindparam("instance"))
_DROP = sa.delete(allocations).where(
    allocations.c.instance_id == bindparam("instance"), allocations.c.purpose == bindparam("of_purpose")
)
_RENAME = (
    sa.update(allocations)
    .where(allocations.c.instance_id == bindparam("instance"), allocations.c.purpose == bindparam("was"))
    .values(purpose=bindparam("becomes"))
)


def add(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Write them; the hosts' sums are the claim's to change."""
    conn.execute(_ADD, list(rows))


def release(conn: sa.Connection, instance_id: str, *purposes: str) -> None:
    """Give back what the instance holds of hosts, for these purposes or, without any, all of it; nothing
    when it holds nothing."""
    for row in conn.execute(_OF, {"instance": instance_id}).all():
        if purposes and row.purpose not in purposes:
            continue
        if conn.execute(_DROP, {"instance": instance_id, "of_purpose": row.purpose}).rowcount:
            amounts = hosts.Amounts(row.vcpus, row.memory_mib, row.disk_gib, instances=1)
            hosts.give_back(conn, row.host, amounts)


def swap(conn: sa.Connection, instance_id: str) -> None:
    """What it holds of the other end of its move is its own from now on, and the other way round."""
    for was, becomes in ((OWN, _SWAPPING), (MOVE, OWN), (_SWAPPING, MOVE)):
        conn.execute(_RENAME, {"instance": instance_id, "was": was, "becomes": becomes})
