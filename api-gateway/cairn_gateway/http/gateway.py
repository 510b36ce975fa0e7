"""The ASGI application: from a connection's request to the API that answers it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from cairn_gateway.http.access import global_request_id
from cairn_gateway.http.api import Api, Send
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import MethodNotAllowed, ServiceUnavailable

if TYPE_CHECKING:
    from cairn_gateway.services import Services

MAX_BODY = 256 * 1024
"""Bytes of a body, unless the route says otherwise. Nova's own limit is 112 KiB; user data is 64 KiB as
base64, and personality files come on top of that."""
UNSERVED = frozenset({"TRACE", "CONNECT"})
"""A proxy's methods. TRACE would show a page its reader's credentials."""


class Gateway:
    """All APIs of one process. `fallback` answers what no prefix matches (health, versions, 404)."""

    def __init__(self, services: Services, apis: Sequence[Api], fallback: Api) -> None:
        self._services = services
        self._apis = sorted(((api.prefix, api) for api in apis), key=lambda pair: -len(pair[0]))
        self._fallback = fallback
        self._under_way = 0

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Any], send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        request_id = f"req-{uuid.uuid4()}"
        scheme, host = scope.get("scheme", "http"), headers.get("host", "localhost")
        client = scope.get("client")
        call = Call(
            services=self._services,
            method=scope["method"],
            path=path,
            headers=headers,
            query_string=scope["query_string"].decode("latin-1"),
            receive=receive,
            request_id=request_id,
            max_body=MAX_BODY,
            body_timeout=self._services.settings.gateway.body_timeout_seconds,
            base_url=self._services.settings.gateway.public_url or f"{scheme}://{host}",
            remote=client[0] if client else "",
        )
        ids = {"request_id": request_id}
        if (sent := global_request_id(headers)) is not None:
            ids["global_request_id"] = sent
        with structlog.contextvars.bound_contextvars(**ids):
            await self._answer(call, send)

    async def _answer(self, call: Call, send: Send) -> None:
        api = self._find(call.path)
        if call.method in UNSERVED:
            await api.refuse(call, send, MethodNotAllowed(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]))
            return
        limit = self._services.settings.gateway.max_requests
        if self._under_way >= limit:
            busy = ServiceUnavailable(f"Cairn is answering {limit} other requests; try again soon.", 1)
            await api.refuse(call, send, busy)
            return
        self._under_way += 1
        try:
            await api.handle(call, send)
        finally:
            self._under_way -= 1

    def _find(self, path: str) -> Api:
        for prefix, api in self._apis:
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
                return api
        return self._fallback
