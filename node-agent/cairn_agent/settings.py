"""The agent's settings."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from cairn_agent.drivers.settings import FakeSettings, LibvirtSettings, VolumeSettings
from cairn_runtime.settings import ProcessSettings, Section


class AgentSettings(Section):
    """Which nodes, and how."""

    driver: str = "libvirt"
    """libvirt or fake."""
    nodes: list[str] = Field(default_factory=lambda: [socket.gethostname()])
    """The ComputeNodes that this agent serves; this host's name when left out. One, for libvirt."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 256
    """Guests worked on at the same time; most of that is waiting, for guests that shut down and for copies.
    What is heavy has limits of its own."""
    builds_at_once: Annotated[int, Field(ge=1, le=256)] = 8
    """Machines made, or made anew, at the same time (Nova: `max_concurrent_builds`)."""
    snapshots_at_once: Annotated[int, Field(ge=1, le=256)] = 5
    """Images made and uploaded at the same time (Nova: `max_concurrent_snapshots`)."""
    live_migrations_at_once: Annotated[int, Field(ge=1, le=256)] = 4
    """Machines that leave live at the same time (Nova: `max_concurrent_live_migrations`). The others run on
    here until it is their turn."""
    heartbeat_seconds: Annotated[float, Field(ge=1)] = 10.0
    """Between two reports on a node (the only writes of an idle agent)."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often the hypervisor is asked for all its machines, for what no event told of."""
    tidy_seconds: Annotated[float, Field(gt=0)] = 600.0
    """How often files that nothing refers to are removed."""
    graceful_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long a guest may take to shut down before the plug is pulled (Nova: `shutdown_timeout`)."""
    resume_guests: bool = True
    """Start the guests that ran when the host went down (Nova: `resume_guests_state_on_host_boot`)."""
    boot_id_file: Path = Path("/proc/sys/kernel/random/boot_id")
    """Its content changes with every boot of what the guests run in."""
    state_directory: Path | None = None
    """Where the agent remembers what the host has let go of, over restarts; in memory only when left out."""
    patience_seconds: Annotated[float, Field(ge=0)] = 1.0
    """A spawn that takes longer than this reports its steps."""
    self_fence_seconds: Annotated[float, Field(ge=0, le=86400)] = 0.0
    """Power all guests off when no heartbeat got through for this long; 0: never. At least three heartbeats.
    See docs/operations.md before setting it."""
    watchdog_device: Path | None = None
    """With `self_fence_seconds`: a watchdog device (`/dev/watchdog`) that resets the host should the agent be
    unable to. Only with one does the control plane rely on the fencing. A kernel with `nowayout` resets the
    host also when the agent is stopped for longer."""
    endpoint_host: str = "0.0.0.0"  # noqa: S104 - other hosts ask it; it has TLS and a token
    """The address to listen on for the gateway and other hosts (docs/operations.md: which ports to open)."""
    endpoint_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Its TCP port; 0 takes a free one at each start."""
    endpoint_url_host: str | None = None
    """The name or address that the others are told; left out: `endpoint_host`, or where that means all
    addresses, this host's own on its way to other networks."""

    @model_validator(mode="after")
    def _fences_late_enough(self) -> AgentSettings:
        if 0 < self.self_fence_seconds < 3 * self.heartbeat_seconds:
            raise ValueError(
                f"agent.self_fence_seconds is {self.self_fence_seconds:g}: it has to be 0, or at least three "
                f"times agent.heartbeat_seconds ({self.heartbeat_seconds:g})"
            )
        return self


class AgentProcessSettings(ProcessSettings):
    """cairn agent: runs the machines of one host (or of several, with drivers that serve several)."""

    agent: AgentSettings = AgentSettings()
    libvirt: LibvirtSettings = LibvirtSettings()
    fake: FakeSettings = FakeSettings()
    volumes: VolumeSettings = VolumeSettings()
