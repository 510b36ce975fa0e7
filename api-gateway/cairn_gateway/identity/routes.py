"""All routes of the Identity API. Each module of this folder has its own; this is their sum."""

from __future__ import annotations

from cairn_gateway.http.routes import Route
from cairn_gateway.identity import (
    application_credentials,
    auth,
    credentials,
    domains,
    ec2,
    grants,
    groups,
    projects,
    role_assignments,
    roles,
    services,
    users,
    versions,
)

ROUTES: tuple[Route, ...] = (
    *versions.ROUTES,
    *auth.ROUTES,
    *users.ROUTES,
    *groups.ROUTES,
    *projects.ROUTES,
    *domains.ROUTES,
    *roles.ROUTES,
    *grants.ROUTES,
    *role_assignments.ROUTES,
    *services.ROUTES,
    *credentials.ROUTES,
    *ec2.ROUTES,
    *application_credentials.ROUTES,
)
