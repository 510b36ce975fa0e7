"""Fingerprints of keys, and names of resources."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from cairn_crds.key_pair import KeyPairSpec, KeyPairType
from cairn_gateway.naming import resource_name, slug
from cairn_gateway.nova import key_making
from cairn_runtime import public_keys


@pytest.mark.parametrize("kind", ["rsa", "ed25519", "ecdsa"])
def test_fingerprints_are_those_of_ssh_keygen(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    spec = KeyPairSpec(public_key=path.with_suffix(".pub").read_text())
    key_making.check(spec)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-E", "md5", "-f", str(path)], check=True, capture_output=True, text=True
    ).stdout
    assert f"MD5:{public_keys.describe(spec)[1]} " in shown


def test_a_private_key_is_not_shown_by_accident() -> None:
    made = key_making.make(KeyPairType.SSH, "alice")
    assert "PRIVATE" in made.private_key
    assert "PRIVATE" not in repr(made) + str(made)


@pytest.mark.parametrize(
    "text", ["", "one", "ssh-rsa ====", "ssh-rsa AAAA", "ssh-ed25519 AAAAB3NzaC1yc2EAAAADAQAB"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the sentence differs, the kind does not
        public_keys.parse_public_key(text)
    with pytest.raises(ValueError, match="no -----BEGIN CERTIFICATE"):
        public_keys.parse_certificate(text)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("m1.small", "m1.small"),
        ("My Flavor", "my-flavor"),
        ("m1..small", "m1-small"),
        ("Größe №5", "groe-no5"),
        ("", "flavor"),
        ("日本", "flavor"),
        ("x" * 80, "x" * 57),
    ],
)
def test_a_resource_is_called_as_the_flavor_where_that_can_be(name: str, made: str) -> None:
    assert resource_name(name, "flavor") == made
    assert slug(made, "flavor") == made.replace(".", "-")
