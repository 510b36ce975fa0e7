"""Ports and security groups in a running cloud: what was made beforehand is used, and outlives instances."""

from __future__ import annotations

import uuid

from cairn_crds import SecurityGroup
from cairn_database.networking import groups, ports
from cairn_database.networking.interfaces import interfaces_of
from cairn_database.networking.ports import NewPort
from integration.cloud.cairn import Cairn, Tenant, condition


def test_an_instance_uses_the_port_that_was_made_for_it(cairn: Cairn, tenant: Tenant) -> None:
    port_id = str(uuid.uuid4())
    new = NewPort(
        id=port_id,
        network="blue",
        project=tenant.namespace,
        addresses=["10.20.77.7"],
        mac="fa:16:3e:77:77:77",
    )
    cairn.sql(ports.create(cairn.db, [new]))
    instance_id = tenant.boot(networks=[{"network": "blue", "port": port_id}, {"network": "blue"}])
    shown = tenant.get()["status"]["addresses"]
    assert shown[0] == {"network": "blue", "address": "10.20.77.7", "mac": "fa:16:3e:77:77:77"}
    guest = cairn.guest(instance_id)
    assert guest is not None
    assert guest["spec"]["networks"][0]["address"] == "10.20.77.7"
    found = cairn.sql(interfaces_of(cairn.db, [instance_id]))[instance_id]
    assert [item.port_id == port_id for item in found] == [True, False]
    tenant.create("second", networks=[{"network": "blue", "port": port_id}])
    fault = tenant.phase("Error", "second")["status"]["fault"]
    assert f"Port {port_id} is still in use" in fault["message"]
    tenant.delete("second")
    tenant.delete()
    tenant.gone()
    tenant.gone("second")
    kept = cairn.sql(ports.get(cairn.db, port_id))
    assert kept is not None
    assert (kept.instance_id, kept.addresses) == (None, ("10.20.77.7",))
    assert cairn.sql(ports.get(cairn.db, found[1].port_id)) is None
    cairn.sql(ports.delete(cairn.db, port_id))


def test_security_groups_applied_with_an_instance_are_its_interfaces(cairn: Cairn, tenant: Tenant) -> None:
    tenant.create(securityGroups=["web"])
    rule = {"direction": "ingress", "protocol": "tcp", "portMin": 80, "portMax": 80}
    body = {"metadata": {"name": "web", "namespace": tenant.namespace}, "spec": {"rules": [rule]}}
    made = tenant.api.create(SecurityGroup, body)
    instance_id = tenant.phase("Active")["status"]["instanceId"]
    [interface] = cairn.sql(interfaces_of(cairn.db, [instance_id]))[instance_id]
    assert [(group.id, group.name) for group in interface.security_groups] == [
        (made["metadata"]["uid"], "web")
    ]

    def taken_in() -> str:
        found = tenant.api.get(SecurityGroup, "web", tenant.namespace)
        return str(condition(found or {}, "Ready")["message"])

    assert "do not filter traffic" in cairn.wait("the group's condition", taken_in)
    tenant.api.delete(SecurityGroup, "web", tenant.namespace)
    cairn.wait(
        "the group's row to go", lambda: cairn.sql(groups.at(cairn.db, tenant.namespace, "web")) is None
    )
    [interface] = cairn.sql(interfaces_of(cairn.db, [instance_id]))[instance_id]
    assert interface.security_groups == ()
