"""Key pairs, mirrored into SQL: whose they are, and how many a user may have.

A key pair lives in the namespace of the project in which it was made and belongs to a user, who finds it
from every project; one that says no user (made with kubectl) is everybody's in its project. It is reserved,
made and taken in as flavors are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from cairn_crds.key_pair import KeyPairSpec
from cairn_database import mirroring, quota_limits
from cairn_database.engine import Database
from cairn_database.errors import DisplayNameTaken, QuotaExceeded
from cairn_database.mirroring import NamespacedSpecTable
from cairn_database.rows import now
from cairn_database.tables import key_pairs, quota_users


@dataclass(frozen=True)
class StoredKeyPair:
    """A public key and whose it is."""

    name: str
    """What its user calls it."""
    user_id: str | None
    """None: everybody's in the namespace's project."""
    namespace: str
    resource: str
    """The name of the KeyPair resource in that namespace."""
    spec: KeyPairSpec
    created_at: datetime


class KeyPairTable(NamespacedSpecTable[KeyPairSpec]):
    """All key pairs."""

    async def upsert(
        self, db: Database, namespace: str, name: str, spec: KeyPairSpec, uid: str | None = None
    ) -> bool:
        """Take it in. `uid`: of the resource; one that the API has deleted stays so. Raises
        DisplayNameTaken."""
        return await db.run(lambda conn: _upsert(conn, namespace, name, spec, uid))

    async def reserve(self, db: Database, namespace: str, name: str, spec: KeyPairSpec, project: str) -> bool:
        """Take in a user's key pair before its resource is made; False when the resource's name is taken.

        `project` is the caller's: what it, or the user in it, may have is the limit. Raises DisplayNameTaken,
        QuotaExceeded, ProjectNotFound.
        """
        return await db.run(lambda conn: _reserve(conn, namespace, name, spec, project))

    async def release(self, db: Database, namespace: str, name: str) -> None:
        """The resource could not be made: give up what was reserved, unless it has been made after all."""

        def transaction(conn: sa.Connection) -> None:
            row = _lock(conn, namespace, name)
            if row is not None and row.resource_uid is None:
                _mark_removed(conn, namespace, name, None)

        await db.run(transaction)

    async def remove(self, db: Database, namespace: str, name: str, deleted_uid: str | None = None) -> None:
        """Let go of it. `deleted_uid`: of the resource that is known to be deleted."""
        await db.run(lambda conn: _mark_removed(conn, namespace, name, deleted_uid))


async def find(db: Database, user_id: str, namespace: str | None, name: str) -> StoredKeyPair | None:
    """The user's key pair of that name, else everybody's in that namespace."""
    columns = key_pairs.c
    own = sa.select(key_pairs).where(columns.user_id == user_id, columns.display_name == name)
    shared = sa.select(key_pairs).where(
        columns.namespace == (namespace or ""), columns.display_name == name, columns.user_id.is_(None)
    )

    def query(conn: sa.Connection) -> StoredKeyPair | None:
        for statement in (own, shared):
            row = conn.execute(statement.where(columns.removed_at.is_(None)).limit(1)).first()
            if row is not None:
                return _stored(row)
        return None

    return await db.read(query)


async def list_for(db: Database, user_id: str, namespace: str | None) -> list[StoredKeyPair]:
    """All that `find` finds, by name."""
    columns = key_pairs.c
    statement = sa.union_all(
        sa.select(key_pairs).where(columns.user_id == user_id, columns.removed_at.is_(None)),
        sa.select(key_pairs).where(
            columns.namespace == (namespace or ""), columns.user_id.is_(None), columns.removed_at.is_(None)
        ),
    )

    def query(conn: sa.Connection) -> list[StoredKeyPair]:
        found: dict[str, StoredKeyPair] = {}
        for row in conn.execute(statement):
            found.setdefault(row.display_name, _stored(row))
        return [found[name] for name in sorted(found)]

    return await db.read(query)


async def count_of(db: Database, user_id: str) -> int:
    """How many the user has: what counts for the quota."""
    return await db.read(lambda conn: _count(conn, user_id))


def _stored(row: Any) -> StoredKeyPair:
    spec = KeyPairSpec.model_validate(row.spec)
    return StoredKeyPair(
        row.display_name or row.name,
        row.user_id,
        row.namespace,
        row.name,
        spec,
        row.created_at or row.updated_at,
    )


def _values(name: str, spec: KeyPairSpec) -> dict[str, Any]:
    return {"user_id": spec.user, "display_name": spec.display_name or name, "spec": spec.to_api()}


def _upsert(conn: sa.Connection, namespace: str, name: str, spec: KeyPairSpec, uid: str | None) -> bool:
    row = _lock(conn, namespace, name)
    values = _values(name, spec)
    if uid is not None:
        if row is not None and row.resource_uid == uid and row.removed_at is not None:
            return False
        values["resource_uid"] = uid
    if row is not None and row.removed_at is None:
        if all(row._mapping[key] == value for key, value in values.items()):
            return False
        _refuse_taken(conn, namespace, name, values)
        conn.execute(sa.update(key_pairs).where(_key(namespace, name)), {**values, "updated_at": now()})
        return True
    _write_new(conn, namespace, name, values, is_row=row is not None)
    return True


def _reserve(conn: sa.Connection, namespace: str, name: str, spec: KeyPairSpec, project: str) -> bool:
    if spec.user is None:
        raise ValueError("a key pair that the API makes has a user")
    _lock_user(conn, spec.user)
    row = _lock(conn, namespace, name)
    values = _values(name, spec)
    _refuse_taken(conn, namespace, name, values)
    if row is not None and row.removed_at is None:
        if row.user_id == spec.user and row.display_name == values["display_name"]:
            raise DisplayNameTaken("KeyPair", values["display_name"], name)
        return False
    limit = quota_limits.of_user(conn, project, spec.user)["key_pairs"]
    used = _count(conn, spec.user)
    if 0 <= limit < used + 1:
        raise QuotaExceeded("key_pairs", limit, used, 1)
    _write_new(conn, namespace, name, {**values, "resource_uid": None}, is_row=row is not None)
    return True


def _lock_user(conn: sa.Connection, user_id: str) -> None:
    """Whoever makes something for the user at the same time waits until this transaction ends."""
    statement = sa.update(quota_users).where(quota_users.c.user_id == user_id)
    if conn.execute(statement.values(changes=quota_users.c.changes + 1)).rowcount == 0:
        conn.execute(sa.insert(quota_users), {"user_id": user_id, "changes": 1})


def _write_new(
    conn: sa.Connection, namespace: str, name: str, values: dict[str, Any], *, is_row: bool
) -> None:
    _refuse_taken(conn, namespace, name, values)
    moment = now()
    new = {**values, "created_at": moment, "updated_at": moment, "removed_at": None}
    if is_row:
        conn.execute(sa.update(key_pairs).where(_key(namespace, name)), new)
    else:
        conn.execute(sa.insert(key_pairs), {**new, "namespace": namespace, "name": name})


def _refuse_taken(conn: sa.Connection, namespace: str, name: str, values: dict[str, Any]) -> None:
    if values["user_id"] is None:
        return
    columns = key_pairs.c
    statement = sa.select(columns.namespace, columns.name).where(
        columns.user_id == values["user_id"],
        columns.display_name == values["display_name"],
        sa.not_(_key(namespace, name)),
    )
    holder = conn.execute(statement).first()
    if holder is not None:
        raise DisplayNameTaken("KeyPair", values["display_name"], f"{holder.namespace}/{holder.name}")


def _key(namespace: str, name: str) -> sa.ColumnElement[bool]:
    return mirroring.key_matches(key_pairs, {"namespace": namespace, "name": name})


def _lock(conn: sa.Connection, namespace: str, name: str) -> Any:
    return conn.execute(sa.select(key_pairs).where(_key(namespace, name)).with_for_update()).one_or_none()


def _count(conn: sa.Connection, user_id: str) -> int:
    return mirroring.count(conn, key_pairs, key_pairs.c.user_id == user_id)


def _mark_removed(conn: sa.Connection, namespace: str, name: str, deleted_uid: str | None) -> None:
    if mirroring.remove(conn, key_pairs, {"namespace": namespace, "name": name}):
        gone = {"user_id": None, "resource_uid": deleted_uid}
        conn.execute(sa.update(key_pairs).where(_key(namespace, name)), gone)
