"""KeyPair: a public key that guests are given."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from cairn_crds.base import Column, Model, Resource, ResourceKind, Rule, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus


class KeyPairSpec(Model):
    """The key."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.publicKey == oldSelf.publicKey", "publicKey cannot change; make another KeyPair"),
    )

    public_key: Annotated[str, StringConstraints(min_length=1, max_length=16384)]
    """One line of OpenSSH's public key format."""


class KeyPairStatus(MirrorStatus):
    """What kind of key it is."""

    fingerprint: Text | None = None
    """MD5, colon-separated, as Nova shows it."""
    key_type: Text | None = None


class KeyPair(Resource):
    """A public key for guests (Nova's keypair)."""

    kind_info: ClassVar[ResourceKind] = ResourceKind(
        kind="KeyPair",
        plural="keypairs",
        scope=Scope.NAMESPACED,
        short_names=("kp",),
        columns=(
            Column("Type", ".status.keyType"),
            Column("Fingerprint", ".status.fingerprint"),
            READY_COLUMN,
            AGE_COLUMN,
        ),
    )

    spec: KeyPairSpec
    status: KeyPairStatus = KeyPairStatus()
