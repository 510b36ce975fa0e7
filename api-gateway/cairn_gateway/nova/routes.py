"""All routes of the Compute API. Each module below `nova/` has its own; this is their sum."""

from __future__ import annotations

from cairn_gateway.http.routes import Route

ROUTES: tuple[Route, ...] = ()
