"""Keys of a local control plane: made once, private, and only what the authority at hand signed."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509

from cairn_local.control_plane.pki import CertificateAuthority, Subject, signing_key

SERVER = Subject("server", hosts=("127.0.0.1", "localhost"), client=False)


def test_a_second_call_reads_what_the_first_one_made(tmp_path: Path) -> None:
    first = CertificateAuthority(tmp_path).issue("server", SERVER).certificate.read_bytes()
    assert CertificateAuthority(tmp_path).issue("server", SERVER).certificate.read_bytes() == first
    key = signing_key(tmp_path / "tokens").key.read_bytes()
    assert signing_key(tmp_path / "tokens").key.read_bytes() == key


def test_a_certificate_of_an_authority_that_is_gone_is_replaced(tmp_path: Path) -> None:
    first = CertificateAuthority(tmp_path).issue("server", SERVER).certificate.read_bytes()
    (tmp_path / "ca.key").unlink()
    assert CertificateAuthority(tmp_path).issue("server", SERVER).certificate.read_bytes() != first


def test_everything_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    CertificateAuthority(tmp_path / "pki").issue("server", SERVER)
    signing_key(tmp_path / "pki/tokens")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "pki").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "pki").stat().st_mode) == 0o700


def test_a_certificate_says_who_and_where(tmp_path: Path) -> None:
    authority = CertificateAuthority(tmp_path)
    admin = authority.issue("admin", Subject("root", ("system:masters",)))
    loaded = x509.load_pem_x509_certificate(admin.certificate.read_bytes())
    assert loaded.subject.rfc4514_string() == "CN=root,O=system:masters"
    server = x509.load_pem_x509_certificate(authority.issue("server", SERVER).certificate.read_bytes())
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]
    usages = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH not in usages
