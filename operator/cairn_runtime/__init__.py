"""What every Cairn process is made of, whatever its job.

settings → one documented schema, from flags, environment and a file
logs     → structured lines that carry instance and request ids
metrics  → Prometheus
health   → /healthz, /readyz, /metrics
kubernetes → the API server: typed errors, no generated models
watching → kopf, set up once: events in, nothing stored in annotations
store    → what the watches have seen, repaired by a re-list
workqueue → level-triggered work: one worker per key, back-off with jitter
events   → Kubernetes Events that tell a person the story
process  → start, signals, graceful end
"""

import sys
from importlib import import_module


def _import_without(module: str, unwanted: str) -> None:
    """Import `module` as if `unwanted` were not installed, which it does without."""
    if module not in sys.modules and unwanted not in sys.modules:
        sys.modules[unwanted] = None  # type: ignore[assignment]
        import_module(module)
        del sys.modules[unwanted]


# kopf wants the `kubernetes` package only to recognise its model classes, structlog wants rich only to colour
# tracebacks: 16 MB in every process for what Cairn does not use.
_import_without("kopf", "kubernetes")
_import_without("structlog", "rich")
