"""The gateway's settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from cairn_gateway.identity.settings import IdentitySettings
from cairn_gateway.image.settings import ImageSettings
from cairn_runtime.settings import DatabaseSettings, ProcessSettings, Section


class GatewaySettings(Section):
    """Where clients reach it."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(8774, ge=0, le=65535)
    """Nova's own port; 0 takes a free one."""
    data_dir: Path = Path("gateway-data")
    """Where keys and images are kept; replicas need one that they share."""
    policy_file: Path | None = None
    """A `policy.yaml` that overrides who may do what (docs/policy.md); read again when it changes."""
    public_url: str = ""
    """`https://cloud.example.org`: what the catalog and links begin with. Left out: as the client asked."""
    region: str = "RegionOne"
    """The region that the catalog names."""
    system_namespace: str = "cairn-system"
    """Where the conductors' Leases live: what the list of services knows them from."""
    tls_certificate: Path | None = None
    """A PEM file with the certificate and its chain: serve https, with `tls_key`. Read again when it
    changes."""
    tls_key: Path | None = None
    """A PEM file with the certificate's private key, without a password."""
    enable_instance_password: bool = True
    """Make a password for each server whose request has none, and tell it once, in the answer (Nova's option
    of that name)."""
    max_connections: int = Field(1000, ge=1)
    """Clients at a time. Beyond, the connection that has waited longest makes room; are all at work: 503."""
    max_requests: int = Field(256, ge=1)
    """Requests answered at a time; beyond: 503 with Retry-After."""
    header_timeout_seconds: float = Field(15.0, gt=0)
    """For a client to send a request's headers; then 408, or the connection is closed."""
    body_timeout_seconds: float = Field(30.0, gt=0)
    """For a client to send the next piece of a body, and twice this for the whole of a JSON one; then 408."""
    host_timeout_seconds: float = Field(15.0, gt=0)
    """For a server's host to answer (console log, diagnostics); then 503."""
    keep_alive_seconds: int = Field(60, ge=1)
    """For a client to send its next request on the same connection."""
    shutdown_seconds: int = Field(20, ge=1)
    """For requests under way to be answered when the process is told to stop."""

    @model_validator(mode="after")
    def _tls_needs_both(self) -> GatewaySettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        return self


class ComputeSettings(Section):
    """How the Compute API treats servers."""

    reclaim_seconds: float = Field(0.0, ge=0)
    """DELETE stops a server, and only after this long is it gone for good: until then it can be restored.
    0: it is deleted at once (Nova: `reclaim_instance_interval`). `conductor.reclaim_seconds` is to say the
    same: it is the conductor that reclaims."""


class GatewayProcessSettings(ProcessSettings):
    """cairn gateway: the APIs for OpenStack and EC2 clients."""

    database: DatabaseSettings = DatabaseSettings()
    gateway: GatewaySettings = GatewaySettings()
    compute: ComputeSettings = ComputeSettings()
    identity: IdentitySettings = IdentitySettings()
    images: ImageSettings = ImageSettings()
