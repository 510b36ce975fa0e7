"""URL paths of the Kubernetes API, taken apart."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple


class Address(NamedTuple):
    """What a path points at."""

    plural: str
    namespace: str
    """Empty for what is cluster-wide."""
    name: str
    """Empty for a collection."""
    subresource: str

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


@lru_cache(4096)
def parse(path: str) -> Address:
    """`/api/v1/…` or `/apis/GROUP/VERSION/…`. Raises ValueError for any other path."""
    parts = path.strip("/").split("/")
    if parts[0] == "api":
        rest = parts[2:]
    elif parts[0] == "apis":
        rest = parts[3:]
    else:
        raise ValueError(f"not a path of the API: {path}")
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = [*rest, "", ""][:3]
    return Address(plural, namespace, name, subresource)
