"""Public keys as people hand them in: what kind they are, and the fingerprint that Nova shows."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

from cairn_crds.key_pair import KeyPairSpec, KeyPairType

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")


def describe(spec: KeyPairSpec) -> tuple[str, str]:
    """The key's type (`ssh-ed25519`, `x509` …) and its fingerprint. Raises ValueError, which says what is
    wrong with it."""
    if spec.type is KeyPairType.X509:
        return "x509", _colons(hashlib.sha1(parse_certificate(spec.public_key), usedforsecurity=False))
    key_type, blob = parse_public_key(spec.public_key)
    return key_type, _colons(hashlib.md5(blob, usedforsecurity=False))


def parse_public_key(text: str) -> tuple[str, bytes]:
    """The key's type and its binary form (RFC 4253, 6.6). Raises ValueError, which says what is wrong."""
    words = text.split()
    if len(words) < 2:
        raise ValueError("it has one word only")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error as error:
        raise ValueError(f"its second word is not base64 ({error})") from error
    length = int.from_bytes(blob[:4], "big")
    if blob[4 : 4 + length].decode("ascii", "replace") != words[0]:
        raise ValueError("the key is of another type than it says")
    return words[0], blob


def parse_certificate(text: str) -> bytes:
    """The first certificate of a PEM text, in DER. Raises ValueError."""
    found = CERTIFICATE.search(text)
    if found is None:
        raise ValueError("it has no -----BEGIN CERTIFICATE----- block")
    try:
        return base64.b64decode("".join(found[1].split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"its certificate is not base64 ({error})") from error


def _colons(digest: hashlib._Hash) -> str:
    text = digest.hexdigest()
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))
