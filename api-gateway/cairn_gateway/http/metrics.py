"""What /metrics says of requests."""

from __future__ import annotations

from prometheus_client import Histogram

REQUEST_SECONDS = Histogram(
    "cairn_gateway_request_seconds",
    "Seconds from a request's headers to the end of its answer",
    ["api", "method", "route", "status"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
