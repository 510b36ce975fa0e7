"""What the conductor measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from cairn_runtime.metrics import LATENCY_BUCKETS

BOOT_PHASE_SECONDS = Histogram(
    "cairn_boot_phase_seconds",
    "Time of a boot's phases: place (until the claim), spawn, and total from the request to active",
    ["phase"],
    buckets=LATENCY_BUCKETS,
)
TASKS = Counter("cairn_tasks_total", "Tasks that ended", ["task", "result"])
RESCHEDULES = Counter("cairn_reschedules_total", "Builds that failed on one host and went to another")
REPAIRS = Counter("cairn_repairs_total", "Things that the sweep found missing", ["what"])
INSTANCES = Gauge("cairn_instances", "Instances by state", ["vm_state", "task_state"])
OWNED = Gauge("cairn_conductor_members", "Live conductor replicas, as this one sees them")
