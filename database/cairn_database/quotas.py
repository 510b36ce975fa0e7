"""What a project may have and has. Limits and counters share the project's row, so that one conditional
UPDATE checks and takes: any number of parallel requests together never pass a limit."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import bindparam

from cairn_crds.project import ProjectSpec
from cairn_database import server_groups as server_groups_of
from cairn_database.engine import Database, RunAgain
from cairn_database.errors import ProjectDisabled, ProjectNotFound, QuotaExceeded, ServerGroupNotFound
from cairn_database.quota_limits import UNLIMITED, of_spec, own_of_user
from cairn_database.rows import live
from cairn_database.tables import instances, projects, server_groups


@dataclass(frozen=True)
class Demand:
    """How much of each resource; negative gives back."""

    instances: int = 0
    cores: int = 0
    memory_mib: int = 0

    def __neg__(self) -> Demand:
        return Demand(-self.instances, -self.cores, -self.memory_mib)


@dataclass(frozen=True)
class QuotaUsage:
    """One resource of a project."""

    limit: int
    """-1: unlimited."""
    in_use: int


@dataclass(frozen=True)
class QuotaReport:
    """Nova API: GET /limits, the absolute ones that are counted."""

    instances: QuotaUsage
    cores: QuotaUsage
    memory_mib: QuotaUsage


RESOURCES = ("instances", "cores", "memory_mib")
NOVA_NAMES = {"instances": "instances", "cores": "cores", "memory_mib": "ram"}
"""How Nova's messages call them."""


def _fits(resource: str) -> sa.ColumnElement[bool]:
    used, limit = projects.c[f"{resource}_used"], projects.c[f"{resource}_limit"]
    amount = bindparam(resource, type_=sa.BigInteger)
    return sa.or_(limit < 0, amount <= 0, used + amount <= limit)


# UPDATE projects SET cores_used = cores_used + :cores, ... WHERE name = :project AND enabled
#    AND (cores_limit < 0 OR :cores <= 0 OR cores_used + :cores <= cores_limit) AND ...
_AMOUNTS = {
    projects.c[f"{name}_used"]: projects.c[f"{name}_used"] + bindparam(name, type_=sa.BigInteger)
    for name in RESOURCES
}
_TAKE = (
    sa.update(projects)
    .where(
        projects.c.name == bindparam("project"),
        projects.c.removed_at.is_(None),
        projects.c.enabled.is_(sa.true()),
        *(_fits(name) for name in RESOURCES),
    )
    .values(_AMOUNTS)
)
_GIVE_BACK = sa.update(projects).where(projects.c.name == bindparam("project")).values(_AMOUNTS)
_PROJECT = sa.select(projects).where(projects.c.name == bindparam("project"))
_USED_BY_USER = sa.select(
    sa.func.count(),
    sa.func.coalesce(sa.func.sum(instances.c.vcpus), 0),
    sa.func.coalesce(sa.func.sum(instances.c.memory_mib), 0),
).where(instances.c.project == bindparam("of_project"), instances.c.user_id == bindparam("of_user"), live())
_JOIN_GROUP = (
    sa.update(server_groups)
    .where(
        server_groups.c.id == bindparam("group"),
        server_groups.c.removed_at.is_(None),
        sa.or_(bindparam("maximum", type_=sa.BigInteger) < 0, server_groups.c.members < bindparam("maximum")),
    )
    .values(members=server_groups.c.members + 1)
)
_LEAVE_GROUP = (
    sa.update(server_groups)
    .where(server_groups.c.id == bindparam("group"), server_groups.c.members > 0)
    .values(members=server_groups.c.members - 1)
)
_GROUP = sa.select(server_groups).where(server_groups.c.id == bindparam("group"))


async def report(db: Database, project: str) -> QuotaReport:
    """Limits and usage. Raises ProjectNotFound."""

    def query(conn: sa.Connection) -> QuotaReport:
        row = conn.execute(_PROJECT, {"project": project}).one_or_none()
        if row is None or row.removed_at is not None:
            raise ProjectNotFound(project)
        values = row._mapping
        return QuotaReport(
            **{name: QuotaUsage(values[f"{name}_limit"], values[f"{name}_used"]) for name in RESOURCES}
        )

    return await db.read(query)


async def usages(db: Database, project: str, user_id: str | None = None) -> dict[str, QuotaUsage]:
    """Every limit of the project, or of a user in it, and what is used of it. Raises ProjectNotFound.

    What is counted by something else than projects (key pairs, members of one group) has 0 in use, as Nova
    shows it.
    """

    def query(conn: sa.Connection) -> dict[str, QuotaUsage]:
        row = conn.execute(_PROJECT, {"project": project}).one_or_none()
        if row is None or row.removed_at is not None:
            raise ProjectNotFound(project)
        limits = of_spec(conn, ProjectSpec.model_validate(row.spec).quotas)
        if user_id is None:
            used = {name: int(row._mapping[f"{name}_used"]) for name in RESOURCES}
        else:
            limits |= own_of_user(conn, project, user_id)
            used = usage_of_user(conn, project, user_id)
        used["server_groups"] = server_groups_of.count_in(conn, row.namespace, user_id)
        return {name: QuotaUsage(limit, used.get(name, 0)) for name, limit in limits.items()}

    return await db.read(query)


async def recount(db: Database, project: str) -> bool:
    """Set the project's counters to what its live instances use. Returns whether they were wrong.

    They never should be; this is for databases that somebody has edited by hand.
    """

    def transaction(conn: sa.Connection) -> bool:
        row = conn.execute(_PROJECT.with_for_update(), {"project": project}).one_or_none()
        if row is None:
            raise ProjectNotFound(project)
        counted = conn.execute(
            sa.select(
                sa.func.count(),
                sa.func.coalesce(sa.func.sum(instances.c.vcpus), 0),
                sa.func.coalesce(sa.func.sum(instances.c.memory_mib), 0),
            ).where(instances.c.project == project, live())
        ).one()
        right = dict(zip((f"{name}_used" for name in RESOURCES), map(int, counted), strict=True))
        if all(row._mapping[name] == value for name, value in right.items()):
            return False
        conn.execute(sa.update(projects).where(projects.c.name == project).values(right))
        return True

    return await db.run(transaction)


def take(conn: sa.Connection, project: str, demand: Demand, user_id: str | None = None) -> None:
    """Use that much, or raise ProjectNotFound, ProjectDisabled, QuotaExceeded.

    With `user_id`, within what was set for that user in the project, too: the project's row is locked from
    here on, so that nobody can count the user's instances at the same time and find the same room.
    """
    amounts = {"instances": demand.instances, "cores": demand.cores, "memory_mib": demand.memory_mib}
    if conn.execute(_TAKE, {"project": project, **amounts}).rowcount == 1:
        if user_id is not None:
            _check_user(conn, project, user_id, amounts)
        return
    row = conn.execute(_PROJECT, {"project": project}).one_or_none()
    if row is None or row.removed_at is not None:
        raise ProjectNotFound(project)
    if not row.enabled:
        raise ProjectDisabled(project)
    for name, amount in amounts.items():
        limit, used = row._mapping[f"{name}_limit"], row._mapping[f"{name}_used"]
        if limit >= 0 and amount > 0 and used + amount > limit:
            raise QuotaExceeded(NOVA_NAMES[name], limit, used, amount)
    raise RunAgain  # it was refused, and by now there is room


def _check_user(conn: sa.Connection, project: str, user_id: str, amounts: dict[str, int]) -> None:
    limits = own_of_user(conn, project, user_id)
    if not any(limits.get(name, UNLIMITED) >= 0 for name in RESOURCES):
        return
    for name, used in usage_of_user(conn, project, user_id).items():
        limit, amount = limits.get(name, UNLIMITED), amounts[name]
        if limit >= 0 and amount > 0 and used + amount > limit:
            raise QuotaExceeded(NOVA_NAMES[name], limit, used, amount)


def room_for(conn: sa.Connection, project: str, size: Demand, user_id: str | None = None) -> int | None:
    """How many of `size` the project, and the user in it, may still have; None for any number."""
    row = conn.execute(_PROJECT, {"project": project}).one_or_none()
    if row is None:
        raise ProjectNotFound(project)
    sizes = {"instances": size.instances, "cores": size.cores, "memory_mib": size.memory_mib}
    left = [(name, row._mapping[f"{name}_limit"], row._mapping[f"{name}_used"]) for name in RESOURCES]
    if user_id is not None:
        limits = own_of_user(conn, project, user_id)
        if any(name in limits for name in RESOURCES):
            used = usage_of_user(conn, project, user_id)
            left += [(name, limits[name], used[name]) for name in RESOURCES if name in limits]
    rooms = [max(0, limit - used) // sizes[name] for name, limit, used in left if limit >= 0 and sizes[name]]
    return min(rooms, default=None)


def usage_of_user(conn: sa.Connection, project: str, user_id: str) -> dict[str, int]:
    """What the user's live instances in the project use, by RESOURCES."""
    counted = conn.execute(_USED_BY_USER, {"of_project": project, "of_user": user_id}).one()
    return dict(zip(RESOURCES, map(int, counted), strict=True))


def give_back(conn: sa.Connection, project: str, demand: Demand) -> None:
    """Use that much less."""
    conn.execute(
        _GIVE_BACK,
        {
            "project": project,
            "instances": -demand.instances,
            "cores": -demand.cores,
            "memory_mib": -demand.memory_mib,
        },
    )


def join_group(conn: sa.Connection, project: str, group_id: str) -> None:
    """One more member, or raise ServerGroupNotFound, QuotaExceeded."""
    maximum = conn.scalar(sa.select(projects.c.server_group_members_limit).where(projects.c.name == project))
    limit = UNLIMITED if maximum is None else int(maximum)
    if conn.execute(_JOIN_GROUP, {"group": group_id, "maximum": limit}).rowcount == 1:
        return
    row = conn.execute(_GROUP, {"group": group_id}).one_or_none()
    if row is None or row.removed_at is not None:
        raise ServerGroupNotFound(group_id)
    if row.members >= limit:
        raise QuotaExceeded("server_group_members", limit, row.members, 1)
    raise RunAgain


def leave_group(conn: sa.Connection, group_id: str) -> None:
    """One member less."""
    conn.execute(_LEAVE_GROUP, {"group": group_id})
