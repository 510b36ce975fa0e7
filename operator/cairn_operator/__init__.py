"""The operator: `conductor/` drives instances, `scheduler/` places them, `mirrors/` takes in the rest."""

import cairn_runtime  # noqa: F401 - before anything else: it decides what structlog and kopf drag in
