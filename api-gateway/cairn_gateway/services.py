"""What the handlers of all APIs work with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cairn_crds.image import ImageSpec
from cairn_database import Database, InstanceRecord
from cairn_gateway.agents import Agents
from cairn_gateway.cluster import Cluster
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.settings import GatewayProcessSettings


class Policy(Protocol):
    """`policy.Enforcer`."""

    def allows(self, rule: str, credentials: Caller, target: Mapping[str, str | None]) -> bool: ...


class Identity(Protocol):
    """Who people are: the built-in one, or an external Keystone."""

    async def authenticate(self, call: Call) -> None:
        """Set the call's caller from its X-Auth-Token. Raises Unauthorized (the token is missing, unknown,
        expired or revoked), ServiceUnavailable."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class ImageToBoot:
    """An image as a new instance needs it."""

    id: str
    """A UUID."""
    name: str
    """What people call it."""
    resource: str
    """The name of the Image resource."""
    spec: ImageSpec
    size: int
    """Bytes; 0 where nobody has counted."""
    status: str
    """Glance's word; only `active` boots."""


class Images(Protocol):
    """Where images are: the built-in store, or an external Glance.

    Methods take the call and not only its caller, because an external Glance is asked with the caller's own
    token. They raise Fault (Forbidden, Conflict …) and ServiceUnavailable.
    """

    async def open(self) -> None:
        """Begin what goes on beside the requests; the database is open."""

    async def find(self, call: Call, image_id: str) -> ImageToBoot | None:
        """The image, if there is one that the caller may see."""

    async def show_legacy(self, call: Call, image_id: str) -> dict[str, Any] | None:
        """As Glance's v2 shows it (for Nova's images proxy); None when the caller may not see it."""

    def list_legacy(self, call: Call, filters: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Those that the caller may see, as Glance's v2 shows them, newest first. `filters`: Glance's."""

    async def change_properties(
        self, call: Call, image_id: str, changes: Mapping[str, str | None]
    ) -> dict[str, Any] | None:
        """Set custom properties, or remove those that are None; answers as `show_legacy`."""

    async def delete(self, call: Call, image_id: str) -> bool:
        """Remove it; False when there is none that the caller may see."""

    async def reserve(
        self,
        call: Call,
        instance: InstanceRecord,
        *,
        name: str,
        properties: Mapping[str, str],
        backup: dict[str, Any] | None = None,
    ) -> tuple[str, str]:
        """An image without data for a snapshot of `instance`, of its project: its id, and the address that
        the instance's host puts the data at. `backup`: `type` and `rotation`."""

    async def abandon(self, image_id: str) -> None:
        """What `reserve` made is not needed after all."""

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Services:
    """Made once per process."""

    settings: GatewayProcessSettings
    db: Database
    cluster: Cluster
    policy: Policy
    identity: Identity
    images: Images
    agents: Agents
    """The hosts."""
