"""Keys and certificates of a local control plane.

One folder, everything in it readable by its owner alone. Made on the first call and only read afterwards, so
a control plane started again from the same folder is the same cluster to everybody who has a kubeconfig.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=3650)
"""A local cluster's certificates outlive it; nobody rotates them."""

BACKDATED = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class KeyPair:
    """Files of a certificate and its private key, PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Subject:
    """Who a certificate is for. Kubernetes reads a client's name and its groups from it."""

    name: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """DNS names and addresses of a server; empty for a client."""
    client: bool = True
    """Whether it may also be presented by the connecting side."""


class CertificateAuthority:
    """A certificate authority in a folder of its own."""

    def __init__(self, directory: Path, name: str = "cairn-local") -> None:
        """Read the authority in `directory`, or make it."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        directory.chmod(0o700)
        self._directory = directory
        self.pair = KeyPair(directory / "ca.crt", directory / "ca.key")
        if not self._complete(self.pair):
            self._make(name)
        self._certificate = x509.load_pem_x509_certificate(self.pair.certificate.read_bytes())
        self._key = _read_key(self.pair.key)

    @staticmethod
    def _complete(pair: KeyPair) -> bool:
        return pair.certificate.exists() and pair.key.exists()

    def _make(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(authority=True), critical=True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        _write_private(self.pair.key, _key_bytes(key))
        _write_private(
            self.pair.certificate, builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def issue(self, file_name: str, subject: Subject) -> KeyPair:
        """The pair `file_name`.crt/.key for `subject`, made unless this authority already issued it."""
        pair = KeyPair(self._directory / f"{file_name}.crt", self._directory / f"{file_name}.key")
        if self._complete(pair) and self._issued(pair.certificate):
            return pair
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.groups),
                x509.NameAttribute(NameOID.COMMON_NAME, subject.name),
            ]
        )
        usages = [ExtendedKeyUsageOID.SERVER_AUTH] if subject.hosts else []
        usages += [ExtendedKeyUsageOID.CLIENT_AUTH] if subject.client else []
        builder = _builder(name, self._certificate.subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        if subject.hosts:
            builder = builder.add_extension(_alternative_names(subject.hosts), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        _write_private(pair.key, _key_bytes(key))
        _write_private(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return pair

    def _issued(self, certificate: Path) -> bool:
        """False for a leftover of another authority (the CA files were deleted and made anew)."""
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        wanted = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        found = loaded.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        return found.key_identifier == wanted.key_identifier


def signing_key(path: Path) -> KeyPair:
    """The key pair that signs service account tokens: `path`.key and its public half `path`.pub."""
    pair = KeyPair(path.with_suffix(".pub"), path.with_suffix(".key"))
    if not pair.key.exists():
        _write_private(pair.key, _key_bytes(ec.generate_private_key(ec.SECP256R1())))
    public = _read_key(pair.key).public_key()
    encoded = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    if not pair.certificate.exists() or pair.certificate.read_bytes() != encoded:
        _write_private(pair.certificate, encoded)
    return pair


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds no elliptic curve key")
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return x509.SubjectAlternativeName(names)


def _key_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        # The form Kubernetes' own certificate loader has read since its first release.
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _write_private(path: Path, content: bytes) -> None:
    """Write so that a crash leaves the old file or the new one, and never one that others can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
