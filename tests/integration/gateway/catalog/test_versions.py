"""What clients ask first: versions and extensions."""

from __future__ import annotations

import httpx

from integration.gateway.catalog.conftest import Town


async def test_the_versions_are_told_to_everybody(town: Town) -> None:
    nobody = town.gateway.client(None)
    root = (await nobody.get("/")).json()
    listed = (await nobody.get("/compute/")).json()
    assert listed == root == (await nobody.get("/compute")).json()
    assert [(item["id"], item["status"], item["version"]) for item in listed["versions"]] == [
        ("v2.0", "DEPRECATED", ""),
        ("v2.1", "CURRENT", "2.104"),
    ]
    for version in listed["versions"]:
        answer = await nobody.get(version["links"][0]["href"])
        shown = answer.json()["version"]
        assert answer.status_code == 200
        assert [link for link in shown["links"] if link["rel"] == "self"] == version["links"]
        assert shown["media-types"][0]["base"] == "application/json"
    answer = await nobody.get("/compute/v3")
    assert (answer.status_code, [item["id"] for item in answer.json()["choices"]]) == (300, ["v2.0", "v2.1"])


async def test_the_old_version_has_no_microversions(town: Town) -> None:
    client = await town.client("admin", version="2.55")
    client.base_url = httpx.URL("http://cloud.test/compute/v2")
    answer = await client.get("/flavors")
    assert answer.status_code == 200
    assert "OpenStack-API-Version" not in answer.headers
    assert (await client.get("http://cloud.test/compute/v2.1/flavors")).headers[
        "OpenStack-API-Version"
    ] == "compute 2.55"


async def test_extensions_are_listed(town: Town) -> None:
    client = await town.client()
    extensions = (await client.get("/extensions")).json()["extensions"]
    assert len(extensions) == 99
    assert "Hosts" in {item["name"] for item in extensions}
    shown = (await client.get("/extensions/os-consoles")).json()["extension"]
    assert shown in extensions
    assert (await client.get("/extensions/os-nothing")).status_code == 404
