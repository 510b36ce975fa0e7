"""KeyPair: a public key that guests are given."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from cairn_crds.base import Column, Model, Resource, ResourceKind, Rule, Scope, Text
from cairn_crds.flavor import AGE_COLUMN, READY_COLUMN, MirrorStatus


class KeyPairType(enum.StrEnum):
    SSH = "ssh"
    X509 = "x509"


class KeyPairSpec(Model):
    """The key."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.publicKey == oldSelf.publicKey", "publicKey cannot change; make another KeyPair"),
    )

    display_name: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """The name in the Compute API, unique among its user's; the resource's name when left out."""
    user: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """The id of the user whose key it is, in whatever project; left out: everybody's in this project."""
    type: KeyPairType = KeyPairType.SSH
    """`ssh`, or `x509`: a certificate with which Windows guests let the user in."""

    public_key: Annotated[str, StringConstraints(min_length=1, max_length=16384)]
    """One line of OpenSSH's public key format; of type x509, a certificate in PEM."""


class KeyPairStatus(MirrorStatus):
    """What kind of key it is."""

    fingerprint: Text | None = None
    """Colon-separated, as Nova shows it: MD5 of an OpenSSH key, SHA-1 of a certificate."""
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
