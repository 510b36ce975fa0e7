"""Who may ask an agent's endpoint for what. Pure.

A node's own token, which the control plane reads from the cluster, opens all of that node's machines. What is
handed to another host is derived from it for one machine and one operation: it opens that machine's disks for
that operation and nothing else, and nobody can work the node's own out from it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

TOKEN_BYTES = 32


def new_token() -> str:
    """A node's own token: hexadecimal, 32 random bytes."""
    return secrets.token_hex(TOKEN_BYTES)


def disks_token(node_token: str, instance_id: str, operation_id: str) -> str:
    """The token for one machine's disks in one operation: HMAC-SHA256 under the node's own, hexadecimal."""
    text = f"disks {instance_id} {operation_id}"
    return hmac.new(node_token.encode(), text.encode(), hashlib.sha256).hexdigest()


def opens_all(node_token: str, offered: str) -> bool:
    """Whether `offered` is the node's own token. Takes the same time whatever is wrong with it."""
    return hmac.compare_digest(node_token.encode(), offered.encode())


def opens_disks(node_token: str, offered: str, instance_id: str, operation_id: str) -> bool:
    """Whether `offered` opens that machine's disks for that operation; the node's own token does, too."""
    derived = disks_token(node_token, instance_id, operation_id)
    # Both are always compared.
    return hmac.compare_digest(derived.encode(), offered.encode()) | opens_all(node_token, offered)
