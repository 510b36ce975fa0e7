"""What the agent measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from cairn_runtime.metrics import LATENCY_BUCKETS

DRIVER_SECONDS = Histogram(
    "cairn_driver_call_seconds", "Time of the driver's calls", ["call"], buckets=LATENCY_BUCKETS
)
STEP_SECONDS = Histogram(
    "cairn_spawn_step_seconds", "Time of a spawn's steps", ["step"], buckets=LATENCY_BUCKETS
)
DRIVER_FAILURES = Counter("cairn_driver_failures_total", "Driver calls that failed", ["call", "reason"])
MACHINES = Gauge("cairn_machines", "Machines on the node", ["node"])
UNCLAIMED = Gauge("cairn_unclaimed_machines", "Machines without a Guest", ["node"])
WAITING = Gauge("cairn_waiting_guests", "Guests that wait for others' turns to end", ["limit"])


@contextmanager
def timed(call: str) -> Iterator[None]:
    """Measure one driver call."""
    started = time.perf_counter()
    try:
        yield
    finally:
        DRIVER_SECONDS.labels(call).observe(time.perf_counter() - started)


@contextmanager
def timed_steps() -> Iterator[Callable[[str], None]]:
    """Measure a spawn's steps: call what this gives with the name of each as it begins."""
    current: tuple[str, float] | None = None

    def begin(step: str | None) -> None:
        nonlocal current
        now = time.perf_counter()
        if current is not None:
            STEP_SECONDS.labels(current[0]).observe(now - current[1])
        current = None if step is None else (step, now)

    try:
        yield begin
    finally:
        begin(None)
