"""What of the catalog a single test needs."""

from __future__ import annotations

from typing import Any

from integration.cloud.cairn import Cairn


class Catalog:
    """Cluster-wide things that one test needs; removed after it."""

    def __init__(self, cairn: Cairn) -> None:
        self._cairn = cairn
        self._made: list[tuple[Any, str]] = []

    def add(self, kind: Any, name: str, **spec: Any) -> None:
        self._cairn.api.create(kind, {"metadata": {"name": name}, "spec": spec})
        self._made.append((kind, name))

    def edit(self, kind: Any, name: str, **spec: Any) -> None:
        self._cairn.api.patch(kind, name, "", {"spec": spec})

    def clear(self) -> None:
        for kind, name in self._made:
            self._cairn.api.delete(kind, name)
