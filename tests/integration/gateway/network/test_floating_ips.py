"""Floating IPs: taken from an external network, led to a port, given back."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest_asyncio

from integration.gateway.network.conftest import City, Person


@pytest_asyncio.fixture
async def outside(city: City, admin: Person) -> dict[str, Any]:
    """An external network."""
    return await admin.network("public", "192.0.2.0/28", **{"router:external": True})


async def _take(person: Person, outside: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"floatingip": {"floating_network_id": outside["id"], **more}}
    return dict((await person.post("/floatingips", body))["floatingip"])


async def test_a_floating_ip_is_taken_led_and_given_back(
    city: City, me: Person, admin: Person, outside: dict[str, Any]
) -> None:
    [seen] = (await me.get("/networks", **{"router:external": "True"}))["networks"]
    assert seen["id"] == outside["id"]
    floating = await _take(me, outside, description="web")
    assert (floating["floating_ip_address"], floating["status"]) == ("192.0.2.2", "DOWN")
    assert (floating["port_id"], floating["fixed_ip_address"], floating["description"]) == (None, None, "web")
    network = await me.network()
    port = await me.port(network)
    path = f"/floatingips/{floating['id']}"
    led = (await me.put(path, {"floatingip": {"port_id": port["id"]}}))["floatingip"]
    assert (led["port_id"], led["fixed_ip_address"]) == (port["id"], "10.5.0.2")
    assert (await me.get("/floatingips", port_id=port["id"]))["floatingips"] == [led]
    other = await _take(me, outside)
    error = await me.put(f"/floatingips/{other['id']}", {"floatingip": {"port_id": port["id"]}}, 409)
    assert error["NeutronError"]["type"] == "FloatingIPPortAlreadyAssociated"
    loose = (await me.put(path, {"floatingip": {"port_id": None}}))["floatingip"]
    assert loose["port_id"] is None
    await me.put(path, {"floatingip": {"port_id": port["id"]}})
    await me.delete(f"/ports/{port['id']}")
    assert (await me.get(path))["floatingip"]["port_id"] is None
    own = (await admin.get("/ports", device_owner="network:floatingip"))["ports"]
    assert {item["device_id"] for item in own} == {floating["id"], other["id"]}
    await admin.delete(f"/ports/{own[0]['id']}", 409)
    await me.delete(path)
    await me.get(path, 404)


async def test_only_external_networks_have_them(me: Person, admin: Person, outside: dict[str, Any]) -> None:
    network = await me.network()
    await me.post("/floatingips", {"floatingip": {"floating_network_id": network["id"]}}, 400)
    await me.post("/floatingips", {"floatingip": {"floating_network_id": str(uuid.uuid4())}}, 404)
    chosen = {"floatingip": {"floating_network_id": outside["id"], "floating_ip_address": "192.0.2.9"}}
    await me.post("/floatingips", chosen, 403)
    assert (await admin.post("/floatingips", chosen))["floatingip"]["floating_ip_address"] == "192.0.2.9"
    await me.post("/ports", {"port": {"network_id": outside["id"]}}, 403)


async def test_what_is_anothers_is_not_there(me: Person, stranger: Person, outside: dict[str, Any]) -> None:
    floating = await _take(me, outside)
    await stranger.get(f"/floatingips/{floating['id']}", 404)
    await stranger.delete(f"/floatingips/{floating['id']}", 404)
    assert (await stranger.get("/floatingips"))["floatingips"] == []
    network = await me.network()
    port = await me.port(network)
    theirs = await _take(stranger, outside)
    await stranger.put(f"/floatingips/{theirs['id']}", {"floatingip": {"port_id": port["id"]}}, 404)


async def test_the_quota_holds_against_all_at_once(
    city: City, admin: Person, me: Person, outside: dict[str, Any]
) -> None:
    project_id = await city.project_id(city.project)
    await admin.put(f"/quotas/{project_id}", {"quota": {"floatingip": 3}})
    body = {"floatingip": {"floating_network_id": outside["id"]}}
    answers = await asyncio.gather(*(me.client.post("/v2.0/floatingips", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 3
    taken = {answer.json()["floatingip"]["floating_ip_address"] for answer in answers if answer.is_success}
    assert len(taken) == 3
