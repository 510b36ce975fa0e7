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

# kopf imports the `kubernetes` package where there is one, only to recognise its model classes, which Cairn
# does not use: 11 MB in every process. It does without when the import fails, so it is made to fail, once.
if "kopf" not in sys.modules and "kubernetes" not in sys.modules:
    sys.modules["kubernetes"] = None  # type: ignore[assignment]
    import kopf as _kopf  # noqa: F401

    del sys.modules["kubernetes"]
