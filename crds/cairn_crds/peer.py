"""Peer: another host's agent, as somebody who may read from it sees it."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from cairn_crds.base import Model


class Peer(Model):
    """An agent's endpoint, and the right to use it."""

    url: Annotated[str, StringConstraints(max_length=1024)]
    certificate: Annotated[str, StringConstraints(max_length=16384)]
    """PEM: the one certificate that it shows."""
    token: Annotated[str, StringConstraints(max_length=256)]
