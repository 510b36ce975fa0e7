"""Where the agents' endpoints are written down: one Secret for each node, in a namespace of its own.

That namespace holds nothing else and no account with any rights. Whoever may make Secrets in a namespace can
get the token of every account in it, so the right to make these may not reach any further: the conductor has
it there alone (and passes it on for one name to each agent), the gateway reads there and nowhere else.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from cairn_crds.peer import Peer
from cairn_runtime.agent_errors import AgentUnreachable, TokenRefused
from cairn_runtime.kubernetes import Kubernetes, NotFound
from cairn_runtime.peer_tokens import disks_token

T = TypeVar("T")
ENDPOINTS_NAMESPACE = "cairn-endpoints"
SECRETS = f"/api/v1/namespaces/{ENDPOINTS_NAMESPACE}/secrets"
ENDPOINT_URL = re.compile(r"https://[0-9A-Za-z.:\[\]-]+")
"""Address and port, and nothing that would lead requests elsewhere."""
FRESH_SECONDS = 60.0
"""How long an answer of the API server is used; one that turns out to be out of date is dropped before."""


def secret_path(node: str) -> str:
    """The URL path of the node's Secret."""
    return f"{SECRETS}/{node}"


def secret_of(node: str, peer: Peer) -> dict[str, Any]:
    """The Secret that tells of a node's endpoint."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": node, "labels": {"app.kubernetes.io/managed-by": "cairn"}},
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in peer.to_api().items()},
    }


def peer_in(node: str, secret: dict[str, Any]) -> Peer:
    """The endpoint that a Secret tells of. Raises AgentUnreachable where it makes no sense."""
    try:
        data = {name: base64.b64decode(value).decode() for name, value in (secret.get("data") or {}).items()}
        peer = Peer.model_validate(data)
    except (binascii.Error, UnicodeDecodeError, ValidationError) as error:
        raise AgentUnreachable(f"the Secret {ENDPOINTS_NAMESPACE}/{node} holds no endpoint") from error
    if not ENDPOINT_URL.fullmatch(peer.url):
        # Written by the host, which may be somebody else's by now.
        raise AgentUnreachable(f"the Secret {ENDPOINTS_NAMESPACE}/{node} names {peer.url!r}")
    return peer


async def read_peer(kubernetes: Kubernetes, node: str) -> Peer:
    """The node's endpoint. Raises AgentUnreachable where there is none yet, and KubernetesError."""
    try:
        return peer_in(node, await kubernetes.request("GET", secret_path(node)))
    except NotFound as error:
        raise AgentUnreachable(f"the agent of {node} has told of no endpoint") from error


def for_disks(peer: Peer, instance_id: str, operation_id: str) -> Peer:
    """The same endpoint for another host, which may fetch that machine's disks for that operation only."""
    return peer.model_copy(update={"token": disks_token(peer.token, instance_id, operation_id)})


class Peers:
    """The endpoints that one process asks, remembered for a moment."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self._kubernetes = kubernetes
        self._known: dict[str, tuple[float, Peer]] = {}

    async def get(self, node: str) -> Peer:
        """The node's endpoint. Raises AgentUnreachable, KubernetesError."""
        known = self._known.get(node)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        peer = await read_peer(self._kubernetes, node)
        self._known[node] = (time.monotonic(), peer)
        return peer

    async def ask(self, node: str, question: Callable[[Peer], Awaitable[T]]) -> T:
        """What `question` returns, given the node's endpoint.

        An agent that has been started anew has another address, certificate and token: where it does not
        answer, or refuses the token, what is known of it is read again and, if it differs, tried once more.
        Raises AgentError, KubernetesError.
        """
        peer = await self.get(node)
        try:
            return await question(peer)
        except (AgentUnreachable, TokenRefused):
            self._known.pop(node, None)
            now = await self.get(node)
            if now == peer:
                raise
            return await question(now)
