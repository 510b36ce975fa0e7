"""https, served by the gateway itself."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from cairn_gateway.settings import GatewaySettings
from integration.gateway.hardening.listening import Served, head, listening


class Pair:
    """A certificate for `localhost` and its key, in files."""

    def __init__(self, directory: Path) -> None:
        self.certificate = directory / "tls.crt"
        self.key = directory / "tls.key"

    def issue(self) -> None:
        """A new pair in the same files."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )

    def trust(self) -> ssl.SSLContext:
        """A client that trusts exactly this certificate."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @property
    def settings(self) -> dict[str, str]:
        return {"tls_certificate": str(self.certificate), "tls_key": str(self.key)}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    made = Pair(tmp_path)
    made.issue()
    return made


async def test_https_is_served_with_the_files_of_the_settings(pair: Pair) -> None:
    async with listening(**pair.settings) as served:
        wire = await served.connect(pair.trust())
        assert (await wire.get()).json == {"hello": "world"}
        assert (await wire.get("/big", "Connection: close")).status == 200
        await wire.closed()


async def test_limits_hold_over_https(pair: Pair) -> None:
    async with listening(**pair.settings) as served:
        wire = await served.connect(pair.trust())
        await wire.send(head("/hello", *[f"X-{n}: a" for n in range(101)]))
        assert (await wire.reply()).status == 431
        await wire.closed()
        wire = await served.connect(pair.trust())
        await wire.send(head("/echo", "Content-Length: 1000000000", method="POST"))
        assert (await wire.reply()).status == 413
        await wire.closed()


async def test_who_speaks_plain_http_gets_no_answer_and_holds_nothing(pair: Pair) -> None:
    async with listening(**pair.settings) as served:
        wire = await served.connect()
        await wire.send(head("/hello"))
        assert b"200" not in await wire.closed()
        assert served.open == 0
        assert (await (await served.connect(pair.trust())).get()).status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_tls_is_refused(pair: Pair) -> None:
    async with listening(**pair.settings) as served:
        old = pair.trust()
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await served.connect(old)


async def test_a_renewed_certificate_is_taken_without_a_restart(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cairn_gateway.http.server.CERTIFICATE_SECONDS", 0.1)
    async with listening(**pair.settings) as served:
        kept = await served.connect(pair.trust())
        pair.key.write_text("half of a pair")
        _touch(pair)
        await asyncio.sleep(1.2)
        assert (await (await served.connect(pair.trust())).get()).status == 200
        pair.issue()
        _touch(pair)
        assert await _is_shown(served, pair)
        assert (await kept.get()).status == 200


async def _is_shown(served: Served, pair: Pair) -> bool:
    for _ in range(30):
        try:
            return (await (await served.connect(pair.trust())).get()).status == 200
        except ssl.SSLError:
            await asyncio.sleep(0.1)
    return False


def _touch(pair: Pair) -> None:
    """Another time of change, also where the clock of the file system is coarse."""
    for file in (pair.certificate, pair.key):
        seen = file.stat().st_mtime_ns
        os.utime(file, ns=(seen + 10**9, seen + 10**9))


def test_a_certificate_without_its_key_is_a_wrong_setting(pair: Pair) -> None:
    with pytest.raises(ValidationError, match="go together"):
        GatewaySettings(tls_certificate=pair.certificate)
