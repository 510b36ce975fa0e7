"""What every resource kind is made of: metadata, a spec, a status, and its entry in the API."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "compute.cairn.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

INSTANCE_FINALIZER = f"{GROUP}/instance"
"""On an Instance: set before anything is made for it, released after everything of it is gone."""
INSTANCE_LABEL = f"{GROUP}/instance"
"""On an Instance that was made for a row (through the Compute API, or again after a loss): the row's id."""
MIGRATION_LABEL = f"{GROUP}/migration"
"""On a Migration that was made for a row (of a move that something else began): the row's id."""
MIRROR_FINALIZER = f"{GROUP}/in-use"
"""On what instances refer to (Project, Network, ComputeNode): released when nothing uses it any more."""

Text = Annotated[str, StringConstraints(max_length=255)]
LongText = Annotated[str, StringConstraints(max_length=1024)]
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""The name of another resource."""
MacAddress = Annotated[str, StringConstraints(max_length=17, pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}$")]
IPv4 = Annotated[str, StringConstraints(max_length=15, pattern=r"^((25[0-5]|2[0-4]\d|1?\d?\d)(\.|$)){4}$")]
Cidr = Annotated[str, StringConstraints(max_length=18, pattern=r"^(\d{1,3}\.){3}\d{1,3}/\d{1,2}$")]
Uuid = Annotated[
    str, StringConstraints(max_length=36, pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
]


def api_name(field: str) -> str:
    """`memory_mib` → `memoryMiB`: camelCase, with units written as Kubernetes' users write them."""
    return to_camel(field).replace("Mib", "MiB").replace("Gib", "GiB")


class Model(BaseModel):
    """A part of a resource: camelCase in the API, snake_case in Python, immutable once read."""

    model_config = ConfigDict(
        alias_generator=api_name,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_api(self) -> dict[str, Any]:
        """The JSON form that the API server takes: camelCase, unset optional fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Metadata(Model):
    """The part of Kubernetes' ObjectMeta that Cairn reads."""

    name: str
    namespace: str | None = None
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: list[str] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Scope(enum.StrEnum):
    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


@dataclass(frozen=True)
class Column:
    """A printer column of `kubectl get`; `wide` columns show with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False
    description: str = ""


@dataclass(frozen=True)
class Rule:
    """A CEL rule (Kubernetes 1.25 and later); older servers leave it to the conductor."""

    rule: str
    message: str


@dataclass(frozen=True)
class ResourceKind:
    """A kind's entry in the API."""

    kind: str
    plural: str
    scope: Scope
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ("cairn",)
    columns: tuple[Column, ...] = ()

    @property
    def singular(self) -> str:
        return self.kind.lower()

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """The URL path of a collection (`name` left out) or of one object."""
        path = f"/apis/{API_VERSION}"
        if namespace:
            path += f"/namespaces/{namespace}"
        path += f"/{self.plural}"
        if name:
            path += f"/{name}"
        return f"{path}/{subresource}" if subresource else path


class Resource(Model):
    """One object of the API. Subclasses set `kind_info`, `spec` and, where they have one, `status`."""

    kind_info: ClassVar[ResourceKind]

    metadata: Metadata

    @classmethod
    def from_api(cls, body: Any) -> Any:
        """The object in `body` (as the API server sent it).

        Raises pydantic.ValidationError, naming the fields, where the schema of an older API server let
        something through that the models refuse.
        """
        return cls.model_validate(body)

    def manifest(self) -> dict[str, Any]:
        """What `kubectl apply` would send: identity, labels, finalizers and the spec."""
        meta: dict[str, Any] = {"name": self.metadata.name}
        if self.metadata.namespace:
            meta["namespace"] = self.metadata.namespace
        for field in ("labels", "annotations", "finalizers"):
            if value := getattr(self.metadata, field):
                meta[field] = value
        body = self.to_api()
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind_info.kind,
            "metadata": meta,
            "spec": body.get("spec", {}),
        }


Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
