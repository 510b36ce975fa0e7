"""The conductor's settings."""

from __future__ import annotations

from pydantic import Field

from cairn_runtime.settings import DatabaseSettings, ProcessSettings, Section


class ConductorSettings(Section):
    """How instances are driven."""

    system_namespace: str = "cairn-system"
    """Where the replicas' Leases live."""
    identity: str = ""
    """This replica's name among its peers: the host name when left out (in a pod, the pod's). A replica
    that comes back under its old name takes its share up again at once."""
    concurrency: int = Field(24, ge=1, le=512)
    """Instances worked on at the same time; most of that time is waiting for the API server."""
    claim_poll_seconds: float = Field(0.015, gt=0)
    """While instances wait for the scheduler: how often SQL is asked which have been placed."""
    sweep_seconds: float = Field(5.0, gt=0)
    """How often SQL is compared with the resources."""
    patience_seconds: float = Field(1.5, ge=0)
    """A passing state is written to the resource once it has lasted this long: quick boots cost fewer
    writes, slow ones still show what they are doing."""
    passing_states_per_second: float = Field(2.0, gt=0)
    """And no more than this many such writes a second, however many instances are being built."""
    build_timeout_seconds: float = Field(1800.0, gt=0)
    """A build that has not ended by then fails on that host (Nova: `instance_build_timeout`)."""
    task_timeout_seconds: float = Field(600.0, gt=0)
    """A power change or a reboot that has not ended by then is given up."""
    move_timeout_seconds: float = Field(6 * 3600.0, gt=0)
    """A migration, a resize or a snapshot that has not ended by then is given up: disks may be large."""
    resize_confirm_seconds: float = Field(0.0, ge=0)
    """A resize or a cold migration is confirmed by itself after this long; 0: never (Nova:
    `resize_confirm_window`)."""
    shelved_offload_seconds: float = Field(0.0, ge=-1)
    """How long a shelved instance stays on its host; 0: not at all, -1: for ever (Nova:
    `shelved_offload_time`)."""
    reclaim_seconds: float = Field(0.0, ge=0)
    """What was soft-deleted is gone for good after this long; 0: never by itself. As the gateway's
    `compute.reclaim_seconds` (Nova: `reclaim_instance_interval`)."""
    image_store_url: str = ""
    """Where hosts reach the gateway, as the gateway's `images.hosts_url`: images of instances that are asked
    for by kubectl go there. Left out: they are refused."""
    drain_parallel: int = Field(4, ge=1, le=1000)
    """How many instances move away from one host at the same time while it is drained. Of those that move
    live, as many again get ready and wait for their turn there (`agent.live_migrations_at_once`)."""
    run_keep_seconds: float = Field(86400.0, ge=0)
    """How long a Migration stays after it has ended."""
    run_keep_count: int = Field(100, ge=0)
    """And how many of them a namespace keeps, the newest; the Compute API lists them for `purge_days`."""
    max_attempts: int = Field(3, ge=1)
    """Hosts tried before a build fails (Nova: `scheduler.max_attempts`)."""
    lease_seconds: float = Field(5.0, gt=0)
    """A replica that has not renewed its Lease for this long is lost; its share moves to the others."""
    node_down_seconds: float = Field(60.0, gt=0)
    """A host that is not heard of for this long shows `Up: False` (Nova: `service_down_time`)."""
    purge_days: float = Field(30.0, gt=0)
    """Deleted instances' rows and history are kept this long."""


class ConductorProcessSettings(ProcessSettings):
    """cairn conductor: drives instances, and takes projects, flavors, images, networks in."""

    database: DatabaseSettings = DatabaseSettings()
    conductor: ConductorSettings = ConductorSettings()
