"""What a guest is called when nobody says."""

from __future__ import annotations

import pytest

from cairn_crds import InstanceSpec
from cairn_gateway.nova.servers.hostnames import from_name


@pytest.mark.parametrize(
    ("name", "number", "hostname"),
    [
        ("web", None, "web"),
        ("Web Server_1.example.org", None, "web-server-1-example-org"),
        ("web", 2, "web-2"),
        ("  -.Zoë's №1!-", None, "zoes-no1"),
        ("x" * 255, None, "x" * 63),
        ("x" * 60 + "-" * 60, 10, "x" * 60 + "-10"),
        ("网络", 3, "server-77"),
        ("...", None, "server-77"),
    ],
)
def test_a_hostname_is_made_from_the_name(name: str, number: int | None, hostname: str) -> None:
    made = from_name(name, "77", number)
    assert made == hostname
    assert InstanceSpec(flavor="f", image="i", hostname=made).hostname == made
