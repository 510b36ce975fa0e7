"""What PUT and a rebuild answered before 2.75."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from cairn_gateway.http.call import Call
from cairn_gateway.nova.microversions import Microversion
from cairn_gateway.nova.servers.labels import brief

ADDRESS = {"version": 4, "addr": "10.0.0.2", "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "…"}
SERVER: dict[str, Any] = {
    "id": "1",
    "addresses": {"net": [ADDRESS]},
    "key_name": "k",
    "locked": False,
    "tags": [],
    "OS-EXT-STS:vm_state": "active",
}


@pytest.mark.parametrize(
    ("version", "more", "fields"),
    [("2.1", (), set()), ("2.9", (), {"locked"}), ("2.54", ("key_name",), {"locked", "tags", "key_name"})],
)
def test_only_what_the_version_had_is_shown(version: str, more: tuple[str, ...], fields: set[str]) -> None:
    call = cast(Call, SimpleNamespace(version=Microversion.parse(version)))
    shown = brief(call, SERVER, *more)
    assert shown.keys() == {"id", "addresses"} | fields
    assert shown["addresses"] == {"net": [{"version": 4, "addr": "10.0.0.2"}]}
