"""The resources that instances refer to, as the watches have them: flavors, images, networks, projects …"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from cairn_crds import Flavor, Image, KeyPair, Network, Project, Resource, SecurityGroup, ServerGroup
from cairn_runtime.store import Store

Kind = TypeVar("Kind", bound=Resource)


class Catalog:
    """Look-ups by name; what breaks its model counts as absent (its own controller reports it)."""

    def __init__(self) -> None:
        self.flavors = Store(Flavor)
        self.images = Store(Image)
        self.networks = Store(Network)
        self.projects = Store(Project)
        self.key_pairs = Store(KeyPair)
        self.server_groups = Store(ServerGroup)
        self.security_groups = Store(SecurityGroup)

    @property
    def stores(self) -> tuple[Store[Any], ...]:
        """All of them, for the watches."""
        return (
            self.flavors,
            self.images,
            self.networks,
            self.projects,
            self.key_pairs,
            self.server_groups,
            self.security_groups,
        )

    def project_of(self, namespace: str) -> Project | None:
        """The project whose namespace it is."""
        for project in self._all(self.projects):
            if project.namespace == namespace:
                return project
        return None

    def default_network(self, project: str) -> Network | None:
        """The network of instances that name none: the first default one that the project may use."""
        usable = [
            network
            for network in self._all(self.networks)
            if network.spec.default and (not network.spec.projects or project in network.spec.projects)
        ]
        return min(usable, key=lambda network: network.metadata.name, default=None)

    @staticmethod
    def find(store: Store[Kind], name: str, namespace: str = "") -> Kind | None:
        """The object, or None where it is absent, being deleted, or malformed."""
        try:
            found = store.get(namespace, name)
        except ValidationError:
            return None
        return None if found is None or found.metadata.deletion_timestamp else found

    def _all(self, store: Store[Kind]) -> Iterator[Kind]:
        for namespace, name in store:
            if found := self.find(store, name, namespace):
                yield found
