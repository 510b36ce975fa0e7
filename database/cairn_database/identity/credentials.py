"""Credentials beside passwords: EC2 keys and the like, and application credentials."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cairn_database.engine import Database
from cairn_database.identity import revision, rows
from cairn_database.identity.errors import IdentityNotFound
from cairn_database.identity.records import ApplicationCredential, Credential
from cairn_database.identity.tables import application_credentials, credentials
from cairn_database.identity.users import require_user


async def create_credential(db: Database, credential: Credential) -> Credential:
    """Raises IdentityNotFound (its user), IdentityTaken."""

    def transaction(conn: sa.Connection) -> None:
        require_user(conn, credential.user_id)
        rows.refuse_known(conn, credentials, "credential", credential.id)
        rows.insert(conn, credentials, credential)

    await db.run(transaction)
    return credential


async def get_credential(db: Database, credential_id: str) -> Credential:
    """Raises IdentityNotFound."""
    return await db.read(
        lambda conn: rows.require(conn, credentials, Credential, "credential", credential_id)
    )


async def list_credentials(
    db: Database, *, user_id: str | None = None, kind: str | None = None
) -> list[Credential]:
    """Those that match."""
    wanted = {"user_id": user_id, "type": kind}
    conditions = [credentials.c[name] == value for name, value in wanted.items() if value is not None]
    return await db.read(lambda conn: rows.every(conn, credentials, Credential, *conditions))


async def update_credential(db: Database, credential_id: str, changes: dict[str, Any]) -> Credential:
    """Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> Credential:
        rows.require(conn, credentials, Credential, "credential", credential_id)
        rows.update(conn, credentials, credential_id, changes)
        return rows.require(conn, credentials, Credential, "credential", credential_id)

    return await db.run(transaction)


async def delete_credential(db: Database, credential_id: str) -> None:
    """Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> None:
        rows.require(conn, credentials, Credential, "credential", credential_id)
        conn.execute(sa.delete(credentials).where(credentials.c.id == credential_id))

    await db.run(transaction)


# --- application credentials -----------------------------------------------------------------------------


async def create_application_credential(
    db: Database, credential: ApplicationCredential
) -> ApplicationCredential:
    """Raises IdentityNotFound (its user), IdentityTaken."""
    table = application_credentials

    def transaction(conn: sa.Connection) -> None:
        require_user(conn, credential.user_id)
        mine = table.c.user_id == credential.user_id
        rows.refuse_taken(conn, table, "application_credential", credential.name, mine)
        rows.insert(conn, table, credential)

    await db.run(transaction)
    return credential


async def get_application_credential(db: Database, user_id: str, key: str) -> ApplicationCredential:
    """The user's of that id. Raises IdentityNotFound."""
    return await db.read(lambda conn: _require(conn, user_id, key))


async def find_application_credential(
    db: Database, *, key: str | None = None, user_id: str | None = None, name: str | None = None
) -> ApplicationCredential | None:
    """The one of that id, or the user's of that name."""
    columns = application_credentials.c
    if key is not None:
        conditions = [columns.id == key]
    elif user_id is not None and name is not None:
        conditions = [columns.user_id == user_id, columns.name == name]
    else:
        return None
    return await db.read(
        lambda conn: rows.first(conn, application_credentials, ApplicationCredential, *conditions)
    )


async def list_application_credentials(
    db: Database, user_id: str, name: str | None = None
) -> list[ApplicationCredential]:
    """The user's."""
    columns = application_credentials.c
    conditions = [columns.user_id == user_id, *([columns.name == name] if name is not None else [])]
    return await db.read(
        lambda conn: rows.every(conn, application_credentials, ApplicationCredential, *conditions)
    )


async def delete_application_credential(db: Database, user_id: str, key: str) -> None:
    """Its tokens end. Raises IdentityNotFound."""

    def transaction(conn: sa.Connection) -> None:
        _require(conn, user_id, key)
        conn.execute(sa.delete(application_credentials).where(application_credentials.c.id == key))
        revision.bump(conn)

    await db.run(transaction)


def _require(conn: sa.Connection, user_id: str, key: str) -> ApplicationCredential:
    found = rows.require(conn, application_credentials, ApplicationCredential, "application_credential", key)
    if found.user_id != user_id:
        raise IdentityNotFound("application_credential", key)
    return found
