"""The certificate of an agent's endpoint. Whoever asks is told this very one; nobody else has signed it."""

from __future__ import annotations

import datetime
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=3650)
"""It is made anew at each start, and its readers look at nothing but its fingerprint."""
BACKDATED = datetime.timedelta(days=1)
"""For clocks that differ."""


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.2 and later, as this certificate's owner. Its key is on disk for a moment only."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        with tempfile.TemporaryDirectory(prefix="cairn-") as directory:  # its mode is 0700
            chain, key = Path(directory) / "certificate.pem", Path(directory) / "key.pem"
            chain.write_text(self.certificate)
            key.write_text(self.key)
            context.load_cert_chain(chain, key)
        return context


def make_certificate(name: str) -> Certificate:
    """A new one, signed by itself. `name` is for people who look at it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Certificate(certificate.public_bytes(serialization.Encoding.PEM).decode(), encoded_key.decode())
