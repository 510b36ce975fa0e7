"""What the agent measures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from cairn_runtime.metrics import LATENCY_BUCKETS

DRIVER_SECONDS = Histogram(
    "cairn_driver_call_seconds", "Time of the driver's calls", ["call"], buckets=LATENCY_BUCKETS
)
DRIVER_FAILURES = Counter("cairn_driver_failures_total", "Driver calls that failed", ["call", "reason"])
MACHINES = Gauge("cairn_machines", "Machines on the node", ["node"])
UNCLAIMED = Gauge("cairn_unclaimed_machines", "Machines without a Guest", ["node"])


@contextmanager
def timed(call: str) -> Iterator[None]:
    """Measure one driver call."""
    started = time.perf_counter()
    try:
        yield
    finally:
        DRIVER_SECONDS.labels(call).observe(time.perf_counter() - started)
