"""Resource names made from what people call things."""

from __future__ import annotations

import re
import secrets
import unicodedata

LONGEST = 63
SUFFIX = 6
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""As Kubernetes makes its suffixes: nothing that reads as a word."""
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def slug(name: str, fallback: str) -> str:
    """`name` as a DNS label: what is not a letter or digit becomes a dash; `fallback` when nothing is left.

    >>> slug("Web Server №1", "server")
    'web-server-no1'
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    made = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[: LONGEST - SUFFIX].strip("-")
    return made or fallback


def with_suffix(base: str) -> str:
    """`base` with a random end: `web-x7k2p`."""
    return f"{base}-{''.join(secrets.choice(ALPHABET) for _ in range(SUFFIX - 1))}"


def resource_name(name: str, fallback: str) -> str:
    """`name` itself where Kubernetes takes it as the name of a resource (`m1.small`), else its slug."""
    if len(name) <= LONGEST - SUFFIX and SUBDOMAIN.fullmatch(name):
        return name
    return slug(name, fallback)
