"""Whose machines a request's token opens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web
from aiohttp.typedefs import Middleware

from cairn_runtime import peer_tokens

NODE = web.RequestKey("node", str)
"""The node that the token belongs to: nothing of the agent's other nodes is shown."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(tokens: Mapping[str, str]) -> Middleware:
    """The middleware that lets nobody in without a good token. `tokens`: each node's own."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, offered = request.headers.get("Authorization", "").partition(" ")
        node = node_of(tokens, request.match_info, offered) if scheme == "Bearer" else None
        if node is None:
            # Before anything else is looked at: whoever has no token learns of no machine and no route.
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        request[NODE] = node
        return await handler(request)

    return check


def node_of(tokens: Mapping[str, str], asked: Mapping[str, str], offered: str) -> str | None:
    """The node whose machine `asked` (a route's parameters) is, if `offered` opens it; else None.

    All of the tokens are compared, so the time tells nothing.
    """
    found = None
    for node, token in tokens.items():
        if "operation_id" in asked:
            opens = peer_tokens.opens_disks(token, offered, asked["instance_id"], asked["operation_id"])
        else:
            opens = peer_tokens.opens_all(token, offered)
        if opens:
            found = node
    return found
