"""In the place of what the agents listen on: there are no sockets here, and nobody who would connect."""

from __future__ import annotations

from typing import Any

from cairn_crds.peer import Peer


class NoEndpoint:
    """`cairn_agent.endpoint.service.Endpoint`."""

    def __init__(self, *_arguments: Any) -> None:
        self.peers: dict[str, Peer] = {}

    async def start(self) -> None:
        """Nothing to listen on."""

    async def stop(self) -> None:
        """Nothing to close."""
