"""Interfaces that are attached and detached while the machine runs."""

from __future__ import annotations

from typing import Any

from cairn_agent.drivers.api_operations import OperationFailed
from cairn_database import history
from cairn_database.asking import Asked
from cairn_database.networking import plugging
from integration.cloud.cairn import Cairn, Tenant
from integration.cloud.laboratory import Laboratory


def macs(cairn: Cairn, instance_id: str) -> list[str]:
    """Of the machine's cards."""
    found: list[str] = (cairn.machine(instance_id) or {})["shape"]["macs"]
    return found


def has(count: int) -> Any:
    return lambda body: len(body["status"].get("addresses", [])) == count


def test_an_edit_of_the_networks_plugs_and_unplugs(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot(networks=[{"network": "blue"}])
    [first] = macs(cairn, instance_id)
    tenant.patch(networks=[{"network": "blue"}, {"network": "blue"}])
    tenant.told("InterfaceAttached")
    body = tenant.until(has(2), "two addresses")
    assert macs(cairn, instance_id) == [address["mac"] for address in body["status"]["addresses"]]
    second = body["status"]["addresses"][1]
    tenant.patch(networks=[{"network": "blue", "address": second["address"]}])
    tenant.until(has(1), "one address")
    tenant.told("InterfaceDetached")
    assert macs(cairn, instance_id) == [second["mac"]]
    assert first != second["mac"]
    assert (cairn.machine(instance_id) or {})["boots"] == 1
    assert cairn.findings() == []


def test_the_resource_follows_what_the_api_attaches(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    record = cairn.row(instance_id)
    snapshot = record.request["networks"][0]
    plug = plugging.Plug({"network": snapshot["name"]}, snapshot)
    cairn.sql(plugging.attach(cairn.db, instance_id, Asked(request_id="req-1"), plug))
    body = tenant.until(lambda body: len(body["spec"].get("networks") or []) == 2, "the spec to follow")
    tenant.until(has(2), "two addresses")
    cairn.wait("the host", lambda: all(one.change is None for one in cairn.row(instance_id).interfaces))
    assert len(macs(cairn, instance_id)) == 2
    port = cairn.row(instance_id).interfaces[0].port_id or ""
    cairn.sql(plugging.detach(cairn.db, instance_id, Asked(request_id="req-2"), port))
    cairn.wait("one interface", lambda: len(cairn.row(instance_id).interfaces) == 1)
    tenant.until(lambda body: len(body["spec"]["networks"]) == 1, "the spec to follow")
    assert len(macs(cairn, instance_id)) == 1
    assert body["spec"]["networks"][0] == {"network": "blue"}


def test_a_host_that_cannot_do_it_leaves_all_as_it_was(cairn: Cairn, tenant: Tenant, lab: Laboratory) -> None:
    instance_id = tenant.boot(networks=[{"network": "blue"}], availabilityZone="lab")
    before = macs(cairn, instance_id)
    lab.fails("reconfigure", OperationFailed("no slot is free"), times=1)
    tenant.patch(networks=[{"network": "blue"}, {"network": "blue"}])
    assert "no slot is free" in tenant.told("InterfaceFailed")["message"]
    cairn.wait("one interface again", lambda: len(cairn.row(instance_id).interfaces) == 1)
    tenant.until(lambda body: len(body["spec"]["networks"]) == 1, "the spec as it was")
    assert macs(cairn, instance_id) == before
    [newest, *_] = cairn.sql(history.list_actions(cairn.db, instance_id))
    assert (newest.action, newest.result, newest.message) == ("attach_interface", "Error", "no slot is free")
    assert cairn.findings() == []
