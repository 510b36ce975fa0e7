"""Project: a tenant: its namespace, its quotas, and who may work in it."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from cairn_crds.base import Column, LongText, Model, Resource, ResourceKind, Rule, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus

PROJECT_LABEL = "compute.cairn.dev/project"
"""On a project's namespace: the name of the Project."""

Limit = Annotated[int, Field(ge=-1, le=2**31 - 1)]


class Quotas(Model):
    """Limits of the project; -1 is unlimited. What is left out is as the quota class `default` has it, which
    an administrator changes in the Compute API (`openstack quota set --default`)."""

    instances: Limit | None = None
    cores: Limit | None = None
    memory_mib: Limit | None = None
    key_pairs: Limit | None = None
    """Of each user."""
    server_groups: Limit | None = None
    server_group_members: Limit | None = None
    """Instances in one server group."""
    metadata_items: Limit | None = None
    """Of each instance."""
    injected_files: Limit | None = None
    """Of each new instance (Compute API up to 2.56)."""
    injected_file_content_bytes: Limit | None = None
    """Of each injected file."""
    injected_file_path_bytes: Limit | None = None
    """Of each injected file's path."""
    others: Annotated[dict[str, Limit], Field(max_length=16)] = {}
    """What the Compute API still lets administrators set and nothing counts any more: floating_ips,
    fixed_ips, security_groups, security_group_rules."""


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


IdentityId = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_]*[A-Za-z0-9])?$")
]
"""What the Identity API calls something: 32 hexadecimal digits, unless somebody chose otherwise."""


class ProjectSpec(Model):
    """The tenant."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)",
            "id cannot change after creation",
        ),
        Rule(
            "has(self.domain) == has(oldSelf.domain) && (!has(self.domain) || self.domain == oldSelf.domain)",
            "domain cannot change after creation",
        ),
        Rule(
            "has(self.namespace) == has(oldSelf.namespace) && "
            "(!has(self.namespace) || self.namespace == oldSelf.namespace)",
            "namespace cannot change after creation",
        ),
    )

    id: IdentityId | None = None
    """What the OpenStack APIs call it; made from `metadata.uid` (without dashes) when left out."""
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """Its name in the OpenStack APIs, unique in its domain; the resource's own name when left out."""
    domain: IdentityId | None = None
    """The id of its domain in the Identity API; `default` when left out."""
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

    @property
    def namespace_labels(self) -> dict[str, str]:
        """What a namespace that was made for the project is marked with: it goes with the project."""
        return {"app.kubernetes.io/managed-by": "cairn", PROJECT_LABEL: self.metadata.name}
