"""What the scheduler measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from cairn_runtime.metrics import LATENCY_BUCKETS

DECISIONS = Counter(
    "cairn_scheduler_decisions_total",
    "Hosts chosen (selected), requests for which there is none (no_host) or that make no sense (invalid)",
    ["result"],
)
DECISION_SECONDS = Histogram(
    "cairn_scheduler_decision_seconds",
    "Time to filter and weigh all hosts for one instance",
    buckets=(0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2),
)
CLAIMS = Counter("cairn_scheduler_claims_total", "Claims by outcome: Granted, or why refused", ["outcome"])
CLAIM_SECONDS = Histogram(
    "cairn_scheduler_claim_seconds", "Time of one transaction of claims", buckets=LATENCY_BUCKETS
)
WAIT_SECONDS = Histogram(
    "cairn_scheduler_wait_seconds",
    "From the acceptance of an instance to its claim, retries on other hosts included",
    buckets=LATENCY_BUCKETS,
)
WAITING = Gauge(
    "cairn_scheduler_queue_depth", "Instances waiting for a host, as far as the last look at the queue went"
)
OLDEST_SECONDS = Gauge("cairn_scheduler_queue_oldest_seconds", "How long the oldest of them has waited")
HOSTS = Gauge("cairn_scheduler_hosts", "Hosts by state: up, down, disabled", ["state"])
ERRORS = Counter("cairn_scheduler_errors_total", "Looks at the queue that ended in an error", ["error"])
