"""An external Keystone as this cloud's identity.

Its answer about a token is used again for `identity.cache_seconds`, so long can a token that was revoked
there still count here. A project that is not known here gets a Project resource when somebody first comes
with it."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import structlog

from cairn_crds.project import ProjectSpec
from cairn_database import Database, ProjectTaken, tenants
from cairn_database.identity.records import DEFAULT_DOMAIN
from cairn_database.tenants import ProjectRecord
from cairn_gateway.cluster import Cluster
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import ServiceUnavailable, Unauthorized
from cairn_gateway.identity import tenancy
from cairn_gateway.identity.keystone_client import KeystoneClient
from cairn_gateway.identity.settings import IdentitySettings
from cairn_runtime.kubernetes import KubernetesError

log = structlog.get_logger()
LONGEST: Final = 8192
"""Characters of a token."""
MOST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Keystone has said of a token: `caller`, or nothing for one that does not count."""

    caller: Caller | None
    until: float
    """On the monotonic clock."""


class KeystoneIdentity:
    """`services.Identity` that asks a Keystone."""

    def __init__(self, settings: IdentitySettings, db: Database, cluster: Cluster) -> None:
        if not settings.keystone_url:
            raise ValueError("identity.backend is keystone: say where it is (identity.keystone_url)")
        self._settings = settings
        self._db = db
        self._cluster = cluster
        self._client = KeystoneClient(settings)
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Answer]] = {}

    async def authenticate(self, call: Call) -> None:
        """As `services.Identity` says."""
        token = call.headers.get("x-auth-token", "")
        if not token or len(token) > LONGEST or not token.isascii():
            raise self._challenge()
        caller = (await self._answer(token)).caller
        if caller is None:
            raise self._challenge()
        call.caller_or_none = caller

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _challenge(self) -> Unauthorized:
        fault = Unauthorized()
        fault.headers["WWW-Authenticate"] = f'Keystone uri="{self._settings.keystone_url}"'
        return fault

    async def _answer(self, token: str) -> _Answer:
        key = blake2b(token.encode(), digest_size=16).digest()
        known = self._answers.get(key)
        if known is not None and time.monotonic() < known.until:
            return known
        # Whoever comes with the same token meanwhile waits for the same answer.
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(token))
            task.add_done_callback(lambda _done: self._asking.pop(key, None))
        answer = await asyncio.shield(task)
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > MOST_REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    async def _ask(self, token: str) -> _Answer:
        asked_at = time.monotonic()
        until = asked_at + self._settings.cache_seconds
        found = await self._client.validate(token)
        if found is None:
            return _Answer(None, until)
        expires_at = datetime.fromisoformat(found["expires_at"])
        left = expires_at.timestamp() - time.time()
        caller = await self._caller(found, expires_at)
        return _Answer(caller, min(until, asked_at + left))

    async def _caller(self, found: dict[str, Any], expires_at: datetime) -> Caller:
        user, project = found["user"], found.get("project")
        record = None if project is None else await self._project(project)
        return Caller(
            user_id=user["id"],
            user_name=user["name"],
            user_domain_id=user["domain"]["id"],
            project_id=project["id"] if project else None,
            project_name=project["name"] if project else None,
            project_domain_id=project["domain"]["id"] if project else None,
            roles=frozenset(role["name"].lower() for role in found.get("roles", ())),
            system_scope="all" if found.get("system", {}).get("all") else None,
            domain_id=found["domain"]["id"] if "domain" in found else None,
            project=record.name if record else None,
            namespace=record.namespace if record else None,
            expires_at=expires_at,
            token_id=next(iter(found.get("audit_ids", ())), None),
        )

    async def _project(self, said: dict[str, Any]) -> ProjectRecord:
        """The project as it is here: made, or given its new name, where Keystone knows better."""
        key, name, domain = said["id"], said["name"], said["domain"]["id"]
        record = await tenants.get_project_by_id(self._db, key)
        if record is None:
            return await self._make(key, name, domain)
        if record.display_name != name:
            try:
                return await tenancy.update_project(
                    self._db, self._cluster.kubernetes, record, {"display_name": name}
                )
            except (ProjectTaken, KubernetesError) as error:
                log.warning("keystone.project_not_renamed", project_id=key, error=str(error))
        return record

    async def _make(self, key: str, name: str, domain: str) -> ProjectRecord:
        spec = ProjectSpec(id=key, display_name=name, domain=None if domain == DEFAULT_DOMAIN else domain)
        # The name may still be that of a project which Keystone has deleted or renamed: then its id tells
        # them apart here. Clients read names from Keystone anyway.
        for display_name in (name, f"{name[:50]} {key[:12]}"):
            renamed = spec.model_copy(update={"display_name": display_name})
            try:
                made = await tenancy.create_project(self._db, self._cluster.kubernetes, renamed)
            except ProjectTaken:
                record = await tenants.get_project_by_id(self._db, key)
                if record is not None:
                    return record  # another gateway was faster
            else:
                log.info("keystone.project_made", project_id=key, project=made.name)
                return made
        raise ServiceUnavailable(f"No name for the project {key} is free in this cloud.")
