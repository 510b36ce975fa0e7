"""Calls without a server: an Api is asked, and its answer is taken apart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from cairn_gateway.http.api import Api
from cairn_gateway.http.call import Call
from cairn_gateway.http.caller import Caller
from cairn_gateway.http.faults import Unauthorized, nova_style
from cairn_gateway.http.routes import Route, RouteTable

SOMEBODY = Caller(
    user_id="u1",
    user_name="ann",
    user_domain_id="default",
    project_id="p1",
    project_name="green",
    project_domain_id="default",
    roles=frozenset({"member", "reader"}),
)


class Rules:
    """A policy that allows the rules it is given."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[tuple[str, Mapping[str, str | None]]] = []

    def allows(self, rule: str, _credentials: Caller, target: Mapping[str, str | None]) -> bool:
        self.asked.append((rule, target))
        return rule in self.allowed


@dataclass
class World:
    """What stands for `Services`."""

    policy: Rules


@dataclass
class Got:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        return str(next(iter(self.json.values()))["message"])


async def badge(call: Call) -> None:
    """Whoever has any token is SOMEBODY."""
    if "x-auth-token" not in call.headers:
        raise Unauthorized
    call.caller_or_none = SOMEBODY


def api_of(*routes: Route, **options: Any) -> Api:
    """An API at /api of those routes."""
    return Api("test", "/api", RouteTable(routes), style=nova_style, authenticate=badge, **options)


def make_call(
    method: str = "GET",
    path: str = "/api",
    *,
    pieces: Iterable[bytes] = (),
    query: str = "",
    policy: Rules | None = None,
    token: bool = True,
    max_body: int = 10_000,
    body_timeout: float = 5.0,
    stall: bool = False,
    **headers: str,
) -> Call:
    """A request whose body comes in `pieces`, and then ends or (`stall`) stops coming."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if not stall:
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    coming = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(coming, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        fields["x-auth-token"] = "t"
    services: Any = World(policy or Rules("yes"))
    return Call(
        services=services,
        method=method,
        path=path,
        headers=fields,
        query_string=query,
        receive=receive,
        request_id="req-1",
        max_body=max_body,
        body_timeout=body_timeout,
        base_url="http://cloud.test",
    )


async def ask(api: Api, call: Call) -> Got:
    """What `api` answers."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await api.handle(call, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Got(sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:]))
