"""Free ports for servers that tests start."""

from __future__ import annotations

import random
import socket

from cairn_local.stack import LOOPBACK, PORT_RANGE

__all__ = ["LOOPBACK", "free_port"]


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, below those that the kernel gives to clients."""
    for port in random.SystemRandom().sample(PORT_RANGE, len(PORT_RANGE)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port
    raise OSError(f"no free TCP port between {PORT_RANGE.start} and {PORT_RANGE.stop}")
