"""Prometheus metrics that every process has. A part's own metrics live beside the part."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)

KUBERNETES_REQUESTS = Counter(
    "cairn_kubernetes_requests_total", "Requests to the API server", ["method", "status"]
)
QUEUE_DEPTH = Gauge("cairn_queue_depth", "Keys that wait for a worker", ["queue"])
QUEUE_AGE = Gauge("cairn_queue_oldest_seconds", "How long the oldest waiting key has waited", ["queue"])
RECONCILES = Counter("cairn_reconciles_total", "Runs of a reconciler", ["queue", "result"])
RECONCILE_SECONDS = Histogram(
    "cairn_reconcile_seconds", "Time of one run of a reconciler", ["queue"], buckets=LATENCY_BUCKETS
)
