"""Settings of images."""

from __future__ import annotations

import enum
from pathlib import Path

from pydantic import Field, SecretStr

from cairn_runtime.settings import Section

GIB = 1024**3


class ImageBackend(enum.StrEnum):
    BUILTIN = "builtin"
    GLANCE = "glance"


class BlobBackend(enum.StrEnum):
    DIRECTORY = "directory"
    S3 = "s3"


class S3Settings(Section):
    """An S3-compatible object store."""

    endpoint: str | None = None
    """`https://s3.example.org`; AWS when left out."""
    bucket: str = "cairn-images"
    """It must exist; give it a lifecycle rule that ends incomplete multipart uploads."""
    prefix: str = ""
    """What every object's key begins with."""
    region: str = "us-east-1"
    ca_file: Path | None = None
    """Certificates to trust; the public ones when left out."""
    access_key: SecretStr | None = None
    """Left out, with `secret_key`: requests are not signed."""
    secret_key: SecretStr | None = None
    part_mib: int = Field(16, ge=5, le=512)
    """Size of the parts of an upload; S3 allows 10,000 of them."""


class GlanceSettings(Section):
    """An external Glance."""

    url: str | None = None
    """Its endpoint, with or without /v2."""
    keystone_url: str | None = None
    """Where the gateway gets its own token from, for what hosts fetch and put there (…/v3)."""
    username: str = "cairn"
    """It needs the role that Glance's policy takes for an administrator's."""
    password: SecretStr | None = None
    project: str = "service"
    user_domain: str = "Default"
    project_domain: str = "Default"
    timeout_seconds: float = Field(30.0, gt=0)
    """For an answer to begin, and between two pieces of data."""


class ImageSettings(Section):
    """Where images are, and how large they may be."""

    backend: ImageBackend = ImageBackend.BUILTIN
    """builtin: Cairn's own store and Image API; glance: an external Glance."""
    store: BlobBackend = BlobBackend.DIRECTORY
    """Where the built-in store keeps files."""
    directory: Path | None = None
    """Of the directory store; `images` in the gateway's data_dir when left out. Replicas share it."""
    max_bytes: int = Field(64 * GIB, gt=0)
    """A larger image is refused with 413."""
    hosts_url: str | None = None
    """What compute hosts reach the gateway by; the gateway's public_url, or its host and port, when left out.
    """
    stale_seconds: float = Field(120.0, gt=0)
    """An upload that nobody has worked on for so long is given up (its gateway has died)."""
    sweep_seconds: float = Field(15.0, gt=0)
    """How often leftovers are looked for."""
    s3: S3Settings = S3Settings()
    glance: GlanceSettings = GlanceSettings()
