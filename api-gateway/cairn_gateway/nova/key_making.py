"""Checking the public keys that people bring, and making key pairs for clients that still ask for one.

A private key is made, answered and forgotten: it is stored nowhere and written to no log. `cryptography` is
large and these calls are rare, so it is imported when they come.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cairn_crds.key_pair import KeyPairSpec, KeyPairType
from cairn_runtime import public_keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

BITS = 2048
COMMENT = "Generated-by-Nova"
"""What clients have always seen behind a key that was made for them."""
CERTIFICATE_DAYS = 3650
UPN = "1.3.6.1.4.1.311.20.2.3"
"""The name by which Windows finds the account that a client certificate lets in."""
UTF8_STRING = 0x0C


@dataclass(frozen=True, repr=False)
class Made:
    """A new key pair."""

    public_key: str
    private_key: str
    """Of type ssh: PEM. Of type x509: the certificate and its key as PKCS #12, base64."""


def make(kind: KeyPairType, user_id: str) -> Made:
    """A new key pair. Takes the better part of a second of CPU: not for the event loop."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    return _certificate(key, user_id) if kind is KeyPairType.X509 else _openssh(key)


def _openssh(key: RSAPrivateKey) -> Made:
    from cryptography.hazmat.primitives import serialization

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return Made(f"{public.decode()} {COMMENT}", private.decode())


def _certificate(key: RSAPrivateKey, user_id: str) -> Made:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.serialization import pkcs12
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    account = x509.OtherName(x509.ObjectIdentifier(UPN), _utf8_string(f"{user_id}@localhost"))
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([account]), critical=False)
        .sign(key, hashes.SHA256())
    )
    bundle = pkcs12.serialize_key_and_certificates(None, key, certificate, None, serialization.NoEncryption())
    return Made(
        certificate.public_bytes(serialization.Encoding.PEM).decode(), base64.b64encode(bundle).decode()
    )


def _utf8_string(text: str) -> bytes:
    """DER; texts of user ids are shorter than 128 bytes."""
    raw = text.encode()[:127]
    return bytes([UTF8_STRING, len(raw)]) + raw


def check(spec: KeyPairSpec) -> None:
    """Raises ValueError with Nova's words unless the public key is a whole one of a kind that is known."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    if spec.type is KeyPairType.X509:
        try:
            x509.load_pem_x509_certificate(spec.public_key.encode())
        except ValueError as error:
            raise ValueError(
                f"Keypair data is invalid: failed to generate X509 fingerprint. Error message: {error}"
            ) from error
        return
    try:
        load_ssh_public_key(spec.public_key.strip().encode())
        public_keys.describe(spec)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("Keypair data is invalid: failed to generate fingerprint") from error
