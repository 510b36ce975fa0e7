"""The gateway's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from cairn_gateway.identity.settings import IdentitySettings
from cairn_runtime.settings import DatabaseSettings, ProcessSettings, Section


class GatewaySettings(Section):
    """Where clients reach it."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(8774, ge=0, le=65535)
    """Nova's own port; 0 takes a free one."""
    data_dir: Path = Path("gateway-data")
    """Where keys and images are kept; replicas need one that they share."""
    public_url: str = ""
    """`https://cloud.example.org`: what the catalog and links begin with. Left out: as the client asked."""
    region: str = "RegionOne"
    """The region that the catalog names."""
    system_namespace: str = "cairn-system"
    """Where the conductors' Leases live: what the list of services knows them from."""


class GatewayProcessSettings(ProcessSettings):
    """cairn gateway: the APIs for OpenStack and EC2 clients."""

    database: DatabaseSettings = DatabaseSettings()
    gateway: GatewaySettings = GatewaySettings()
    identity: IdentitySettings = IdentitySettings()
