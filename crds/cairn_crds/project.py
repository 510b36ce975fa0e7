"""Project: a tenant: its namespace, its quotas, and who may work in it."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, LongText, Model, Resource, ResourceKind, Rule, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

Limit = Annotated[int, Field(ge=-1, le=2**31 - 1)]


class Quotas(Model):
    """Limits of the project; -1 is unlimited. Defaults are Nova's."""

    instances: Limit = 10
    cores: Limit = 20
    memory_mib: Limit = 51200
    key_pairs: Limit = 100
    server_groups: Limit = 10
    server_group_members: Limit = 10


class MemberKind(enum.StrEnum):
    USER = "User"
    GROUP = "Group"


class MemberRole(enum.StrEnum):
    MANAGER = "manager"
    MEMBER = "member"
    READER = "reader"


class Member(Model):
    """Somebody who may work in the project's namespace."""

    kind: MemberKind = MemberKind.USER
    name: Text
    role: MemberRole = MemberRole.MEMBER


class ProjectSpec(Model):
    """The tenant."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.namespace) == has(oldSelf.namespace) && "
            "(!has(self.namespace) || self.namespace == oldSelf.namespace)",
            "namespace cannot change after creation",
        ),
    )

    namespace: (
        Annotated[
            str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
        ]
        | None
    ) = None
    """Where its instances live; the Project's own name when left out."""
    description: LongText | None = None
    enabled: bool = True
    """False: what runs keeps running, nothing new is accepted."""
    quotas: Quotas = Quotas()
    members: Annotated[list[Member], Field(max_length=1024)] = []


class ProjectStatus(MirrorStatus):
    """What was made for it."""

    namespace: Text | None = None


class Project(Resource):
    """A tenant (Keystone's project)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="Project",
        plural="projects",
        scope=Scope.CLUSTER,
        columns=(
            Column("Namespace", ".status.namespace"),
            Column("Enabled", ".spec.enabled", type="boolean"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: ProjectSpec = ProjectSpec()
    status: ProjectStatus = ProjectStatus()

    @property
    def namespace(self) -> str:
        """The namespace of the project's resources."""
        return self.spec.namespace or self.metadata.name
