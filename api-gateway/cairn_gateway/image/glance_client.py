"""Requests to an external Glance: with the caller's own token, or with the gateway's for what hosts fetch and
put there."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

import aiohttp
import orjson

from cairn_gateway.http.faults import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    Fault,
    Forbidden,
    Gone,
    NotFound,
    ServiceUnavailable,
)
from cairn_gateway.image.settings import GlanceSettings

BLOCK_BYTES = 256 * 1024
LARGEST_ANSWER = 32 * 1024**2
RENEW_BEFORE = 120.0
"""Seconds before its end that the gateway's own token is replaced."""
PATCH = "application/openstack-images-v2.1-json-patch"
OCTETS = "application/octet-stream"
TAKING_IN = 600.0
"""Seconds that Glance may take for its answer once it has all of an image's data."""
FAULTS: Mapping[int, type[Fault]] = {
    400: BadRequest,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: BodyTooLarge,
    415: BadRequest,
}
"""415: Glance looks into the data, and it is not of the format that the image is said to have."""


class TokenRefused(ServiceUnavailable):
    """Glance answered 401."""


class GlanceClient:
    """One Glance. Raises ServiceUnavailable where it does not answer, else the Fault that it answered."""

    def __init__(self, settings: GlanceSettings) -> None:
        self._settings = settings
        self._url = (settings.url or "").rstrip("/").removesuffix("/v2")
        self._session: aiohttp.ClientSession | None = None
        self._token = ""
        self._renew_at = 0.0

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            seconds = self._settings.timeout_seconds
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=seconds, sock_read=seconds),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "cairn-gateway", "Accept-Encoding": "identity"},
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        token: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        form: str = "application/json",
    ) -> Any:
        """The JSON answer to `path` (as in `/v2/images`); None for an empty one."""
        headers = {"X-Auth-Token": token, "Content-Type": form}
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._open().request(
                method, self._url + path, headers=headers, data=data, params=query
            ) as response:
                raw = await response.content.read(LARGEST_ANSWER)
                while not response.content.at_eof() and len(raw) < LARGEST_ANSWER:
                    raw += await response.content.read(LARGEST_ANSWER - len(raw))
                if response.status >= 400:
                    raise _fault(response.status, raw)
                return orjson.loads(raw) if raw.strip() else None
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise ServiceUnavailable(f"Glance does not answer ({type(error).__name__}).") from error

    async def image(self, image_id: str, token: str) -> dict[str, Any] | None:
        """The image; None where that token may not see it."""
        try:
            found: dict[str, Any] = await self.request("GET", f"/v2/images/{image_id}", token)
        except NotFound:
            return None
        return found

    async def as_itself(
        self, method: str, path: str, body: Any = None, *, form: str = "application/json"
    ) -> Any:
        """As `request`, with the gateway's own token, which is replaced where Glance no longer takes it."""
        try:
            return await self.request(method, path, await self.own_token(), body, form=form)
        except TokenRefused:
            return await self.request(method, path, await self.own_token(renew=True), body, form=form)

    async def own_view(self, image_id: str) -> dict[str, Any] | None:
        """The image, with the gateway's own token; None where there is none."""
        try:
            found: dict[str, Any] = await self.as_itself("GET", f"/v2/images/{image_id}")
        except NotFound:
            return None
        return found

    async def put_data(self, image_id: str, blocks: AsyncIterator[bytes], size: int | None) -> None:
        """The data of a queued image, with the gateway's own token. `size`: bytes, where they are known: then
        Glance notices when some are missing.

        Raises Conflict (it is not queued), Gone, NotFound, BodyTooLarge, ServiceUnavailable.

        What `blocks` raises ends the connection, and comes as ServiceUnavailable.
        """
        headers = {"X-Auth-Token": await self.own_token(), "Content-Type": OCTETS}
        if size is not None:
            headers["Content-Length"] = str(size)
        waiting = aiohttp.ClientTimeout(
            total=None, connect=self._settings.timeout_seconds, sock_read=TAKING_IN
        )
        url = f"{self._url}/v2/images/{image_id}/file"
        try:
            async with self._open().put(url, data=blocks, headers=headers, timeout=waiting) as response:
                raw = await response.content.read(64 * 1024)
                if response.status >= 400:
                    raise _fault(response.status, raw)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ServiceUnavailable(f"Glance does not take the data ({type(error).__name__}).") from error

    async def data(self, image_id: str) -> tuple[int | None, AsyncIterator[bytes]]:
        """Size and bytes of an image, with the gateway's own token. Raises NotFound."""
        for attempt in (1, 2):
            headers = {"X-Auth-Token": await self.own_token(renew=attempt == 2)}
            try:
                response = await self._open().get(f"{self._url}/v2/images/{image_id}/file", headers=headers)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ServiceUnavailable(f"Glance does not answer ({type(error).__name__}).") from error
            if response.status == 200:
                return response.content_length, _blocks(response)
            raw = await response.content.read(64 * 1024)
            response.release()
            if response.status == 401 and attempt == 1:
                continue
            raise NotFound("It has no data.") if response.status == 204 else _fault(response.status, raw)
        raise AssertionError("unreachable")

    async def own_token(self, *, renew: bool = False) -> str:
        """The gateway's own token. Raises ServiceUnavailable."""
        if renew or time.time() > self._renew_at:
            await self._sign_in()
        return self._token

    async def _sign_in(self) -> None:
        own = self._settings
        user = {
            "name": own.username,
            "domain": {"name": own.user_domain},
            "password": own.password.get_secret_value() if own.password else "",
        }
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": own.project, "domain": {"name": own.project_domain}}},
            }
        }
        try:
            async with self._open().post(f"{own.keystone_url}/auth/tokens", json=body) as response:
                if response.status != 201:
                    raise ServiceUnavailable(
                        f"Keystone does not let the gateway sign in ({response.status}): see images.glance."
                    )
                answer = orjson.loads(await response.content.read(LARGEST_ANSWER))
                self._token = response.headers["X-Subject-Token"]
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError, KeyError) as error:
            raise ServiceUnavailable(f"Keystone does not answer ({type(error).__name__}).") from error
        ends = datetime.fromisoformat(answer["token"]["expires_at"])
        self._renew_at = ends.timestamp() - RENEW_BEFORE


async def _blocks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with response:
        async for block in response.content.iter_chunked(BLOCK_BYTES):
            yield block


def _fault(status: int, raw: bytes) -> Fault:
    """What Glance answered, as one of ours."""
    try:
        answer = orjson.loads(raw)
        message = str(answer.get("message") or answer)
    except (orjson.JSONDecodeError, AttributeError):
        message = raw[:300].decode(errors="replace")
    if status == 401:
        return TokenRefused("Glance answered 401.")
    kind = FAULTS.get(status)
    if kind is not None:
        return kind(message)
    return ServiceUnavailable(f"Glance answered {status}.")
