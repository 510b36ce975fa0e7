"""Domains, users, groups, roles, credentials, keys; projects get the names that the OpenStack APIs know."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from cairn_database.types import big_integer, big_text, timestamp

revision = "0003"
down_revision = "0002"

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}


def _id(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=64), nullable=nullable)


def _name(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length=255), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, big_text(), nullable=nullable)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, timestamp(), nullable=nullable)


def _number(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), autoincrement=False, nullable=False)


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def upgrade() -> None:
    _state()
    _people()
    _roles()
    _credentials()
    with op.batch_alter_table("projects") as projects:
        projects.add_column(_id("id", nullable=True))
        projects.add_column(_id("domain_id", nullable=True))
        projects.add_column(_name("display_name", nullable=True))
        projects.create_unique_constraint(op.f("uq_projects_id"), ["id"])
        projects.create_unique_constraint(
            op.f("uq_projects_domain_id_display_name"), ["domain_id", "display_name"]
        )


def _state() -> None:
    op.create_table(
        "identity_state",
        _number("id"),
        sa.Column("revision", big_integer(), nullable=False),
        _key("identity_state", "id"),
        **OPTIONS,
    )
    op.create_table(
        "identity_keys",
        sa.Column("purpose", sa.String(length=16), nullable=False),
        _number("number"),
        sa.Column("secret", sa.String(length=512), nullable=False),
        _moment("created_at"),
        _key("identity_keys", "purpose", "number"),
        **OPTIONS,
    )
    op.create_table(
        "revoked_tokens",
        _id("audit_id"),
        _moment("expires_at"),
        _key("revoked_tokens", "audit_id"),
        **OPTIONS,
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"], unique=False)


def _people() -> None:
    op.create_table(
        "domains",
        _id("id"),
        _name("name"),
        _text("description"),
        _flag("enabled"),
        _key("domains", "id"),
        _unique("domains", "name"),
        **OPTIONS,
    )
    op.create_table(
        "users",
        _id("id"),
        _id("domain_id"),
        _name("name"),
        _flag("enabled"),
        _text("description", nullable=True),
        _name("email", nullable=True),
        _id("default_project_id", nullable=True),
        _name("password_hash", nullable=True),
        sa.Column("generation", big_integer(), nullable=False),
        _text("extra"),
        _moment("created_at"),
        _key("users", "id"),
        _unique("users", "domain_id", "name"),
        **OPTIONS,
    )
    op.create_table(
        "user_groups",
        _id("id"),
        _id("domain_id"),
        _name("name"),
        _text("description"),
        _key("user_groups", "id"),
        _unique("user_groups", "domain_id", "name"),
        **OPTIONS,
    )
    op.create_table(
        "group_members",
        _id("group_id"),
        _id("user_id"),
        _key("group_members", "group_id", "user_id"),
        **OPTIONS,
    )
    op.create_index("ix_group_members_user_id", "group_members", ["user_id"], unique=False)


def _roles() -> None:
    op.create_table(
        "roles",
        _id("id"),
        _name("name"),
        _text("description", nullable=True),
        _key("roles", "id"),
        _unique("roles", "name"),
        **OPTIONS,
    )
    op.create_table(
        "implied_roles",
        _id("prior_id"),
        _id("implied_id"),
        _key("implied_roles", "prior_id", "implied_id"),
        **OPTIONS,
    )
    op.create_table(
        "role_assignments",
        sa.Column("actor", sa.String(length=8), nullable=False),
        _id("actor_id"),
        sa.Column("target", sa.String(length=8), nullable=False),
        _id("target_id"),
        _id("role_id"),
        _flag("inherited"),
        _key("role_assignments", "actor", "actor_id", "target", "target_id", "role_id", "inherited"),
        **OPTIONS,
    )
    op.create_index("ix_role_assignments_role_id", "role_assignments", ["role_id"], unique=False)
    op.create_index("ix_role_assignments_target", "role_assignments", ["target", "target_id"], unique=False)


def _credentials() -> None:
    op.create_table(
        "credentials",
        _id("id"),
        _id("user_id"),
        _id("project_id", nullable=True),
        _name("type"),
        _text("blob"),
        _key("credentials", "id"),
        **OPTIONS,
    )
    op.create_index("ix_credentials_project_id", "credentials", ["project_id"], unique=False)
    op.create_index("ix_credentials_user_id", "credentials", ["user_id", "type"], unique=False)
    op.create_table(
        "application_credentials",
        _id("id"),
        _id("user_id"),
        _name("name"),
        _text("description", nullable=True),
        _id("project_id"),
        _name("secret_hash"),
        _text("roles"),
        _flag("unrestricted"),
        _moment("expires_at", nullable=True),
        _key("application_credentials", "id"),
        _unique("application_credentials", "user_id", "name"),
        **OPTIONS,
    )
    op.create_index(
        "ix_application_credentials_project_id", "application_credentials", ["project_id"], unique=False
    )
