"""Which identity this cloud has, by its settings."""

from __future__ import annotations

from cairn_database import Database
from cairn_gateway.cluster import Cluster
from cairn_gateway.identity.settings import IdentityBackend, IdentitySettings
from cairn_gateway.services import Identity


def make_identity(settings: IdentitySettings, db: Database, cluster: Cluster) -> Identity:
    """The back end; `db` and the cluster may still be closed."""
    if settings.backend is IdentityBackend.KEYSTONE:
        from cairn_gateway.identity.keystone import KeystoneIdentity

        return KeystoneIdentity(settings, db, cluster)
    from cairn_gateway.identity.builtin import BuiltInIdentity

    return BuiltInIdentity(settings, db)
