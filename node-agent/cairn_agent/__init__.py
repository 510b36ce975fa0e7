"""The node agent: makes the Guests of its nodes real, and reports what really runs.

`app.py` is the process; `reconciler.py` brings one Guest and its machine together, by the decisions of
`converge.py`; `heartbeat.py` reports the node; `drivers/` knows the hypervisors. The agent never sees SQL
and no Kubernetes objects but its own nodes'.
"""

import cairn_runtime  # noqa: F401 - before anything else: it decides what structlog and kopf drag in
