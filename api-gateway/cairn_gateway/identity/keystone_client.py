"""What Cairn asks a Keystone: what a token stands for (Keystone API: `GET /v3/auth/tokens`)."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aiohttp
import orjson
import structlog

from cairn_gateway.http.faults import ServiceUnavailable
from cairn_gateway.identity.settings import IdentitySettings

log = structlog.get_logger()
RENEW_BEFORE: Final = timedelta(minutes=2)
"""Cairn's own token is replaced that long before it ends."""
LONGEST_ANSWER: Final = 2**20
CREATED: Final = 201
OK: Final = 200


class KeystoneClient:
    """A Keystone, asked as the service user of the settings."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._url = settings.keystone_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._own_token = ""
        self._own_ends = datetime.min.replace(tzinfo=UTC)
        self._signing_in = asyncio.Lock()

    async def validate(self, token: str) -> dict[str, Any] | None:
        """The `token` document; None for one that does not count. Raises ServiceUnavailable when Keystone
        does not answer, or does not trust Cairn."""
        status, body = await self._validate(token, await self._own())
        if status == 401:  # Cairn's own token was revoked, or Keystone's keys are other ones
            status, body = await self._validate(token, await self._own(instead_of=self._own_token))
        if status == OK and isinstance(body.get("token"), dict):
            found: dict[str, Any] = body["token"]
            return found
        if status in (400, 404):
            return None
        log.error("keystone.refuses_cairn", status=status)
        raise ServiceUnavailable(
            f"The identity service does not let Cairn check tokens (it answers {status})."
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _validate(self, token: str, own: str) -> tuple[int, dict[str, Any]]:
        headers = {"X-Auth-Token": own, "X-Subject-Token": token}
        status, body, _headers = await self._ask("GET", "/auth/tokens?nocatalog", headers=headers)
        return status, body

    async def _own(self, instead_of: str = "") -> str:
        """Cairn's own token; a new one where it soon ends, or is the one that was refused."""
        async with self._signing_in:
            soon = datetime.now(UTC) + RENEW_BEFORE >= self._own_ends
            if not self._own_token or soon or self._own_token == instead_of:
                await self._sign_in()
            return self._own_token

    async def _sign_in(self) -> None:
        own = self._settings
        domain = {"name": own.service_domain}
        user = {
            "name": own.service_user,
            "domain": domain,
            "password": own.service_password.get_secret_value(),
        }
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": own.service_project, "domain": domain}},
        }
        status, body, headers = await self._ask("POST", "/auth/tokens?nocatalog", {"auth": auth})
        if status != CREATED or "X-Subject-Token" not in headers:
            log.error("keystone.refuses_cairn", status=status, user=own.service_user)
            raise ServiceUnavailable(
                f"The identity service does not let Cairn sign in (it answers {status})."
            )
        self._own_token = headers["X-Subject-Token"]
        self._own_ends = datetime.fromisoformat(body["token"]["expires_at"])

    async def _ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], Any]:
        sent = {"Accept": "application/json", **(headers or {})}
        data = None
        if body is not None:
            data = orjson.dumps(body)
            sent["Content-Type"] = "application/json"
        try:
            async with self._open().request(method, self._url + path, data=data, headers=sent) as response:
                raw = await response.content.read(LONGEST_ANSWER)
                if response.status >= 500:
                    log.warning("keystone.failed", status=response.status)
                    raise ServiceUnavailable(f"The identity service fails: it answers {response.status}.")
                answer = orjson.loads(raw) if raw else {}
                return response.status, answer if isinstance(answer, dict) else {}, response.headers
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            log.warning("keystone.no_answer", error=str(error) or type(error).__name__)
            raise ServiceUnavailable("The identity service does not answer.") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            file = self._settings.keystone_ca_file
            trust = ssl.create_default_context(cafile=file) if file else True
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.keystone_timeout_seconds),
                connector=aiohttp.TCPConnector(ssl=trust, limit=32),
            )
        return self._session
