"""The security groups of an instance: its spec and its interfaces agree, whoever changes them."""

from __future__ import annotations

from typing import Any

from cairn_crds import SecurityGroup
from cairn_database.networking import groups, of_instance
from cairn_database.networking.interfaces import interfaces_of
from integration.cloud.cairn import Cairn, Tenant


def new_group(cairn: Cairn, tenant: Tenant, name: str) -> groups.GroupRecord:
    body: dict[str, Any] = {"metadata": {"name": name, "namespace": tenant.namespace}, "spec": {}}
    tenant.api.create(SecurityGroup, body)
    found = cairn.wait(f"group {name} in SQL", lambda: cairn.sql(groups.at(cairn.db, tenant.namespace, name)))
    assert found is not None
    return found


def groups_in_sql(cairn: Cairn, instance_id: str) -> list[list[str]]:
    """The groups' names, by interface."""
    found = cairn.sql(interfaces_of(cairn.db, [instance_id]))[instance_id]
    return [sorted(group.name for group in interface.security_groups) for interface in found]


def until(cairn: Cairn, instance_id: str, *names: str) -> None:
    wanted = [sorted(names)]
    cairn.wait(f"the interface in {wanted}", lambda: groups_in_sql(cairn, instance_id) == wanted)


def test_an_edit_of_the_spec_moves_the_interfaces(cairn: Cairn, tenant: Tenant) -> None:
    for name in ("web", "db"):
        new_group(cairn, tenant, name)
    instance_id = tenant.boot(securityGroups=["web"])
    tenant.patch(securityGroups=["db", "default"])
    until(cairn, instance_id, "db", "default")
    tenant.patch(securityGroups=[])
    until(cairn, instance_id)
    tenant.patch(securityGroups=None)
    until(cairn, instance_id, "default")
    assert "securityGroups" not in cairn.row(instance_id).spec


def test_a_group_that_is_not_there_is_waited_for(cairn: Cairn, tenant: Tenant) -> None:
    instance_id = tenant.boot()
    tenant.patch(securityGroups=["late"], powerState="Paused")
    assert "'late' does not exist" in tenant.refused("SpecApplied", "SecurityGroupNotFound")
    tenant.phase("Paused")
    assert groups_in_sql(cairn, instance_id) == [["default"]]
    new_group(cairn, tenant, "late")
    until(cairn, instance_id, "late")


def test_a_change_of_the_row_shows_in_the_spec(cairn: Cairn, tenant: Tenant) -> None:
    group = new_group(cairn, tenant, "web")
    instance_id = tenant.boot()
    cairn.sql(of_instance.add_group(cairn.db, instance_id, group.id, group.name))
    tenant.until(lambda body: body["spec"].get("securityGroups") == ["default", "web"], "both in the spec")
    until(cairn, instance_id, "default", "web")
    default = groups.default_id(tenant.namespace)
    cairn.sql(of_instance.remove_group(cairn.db, instance_id, default, "default"))
    tenant.until(lambda body: body["spec"].get("securityGroups") == ["web"], "the other one alone")
    until(cairn, instance_id, "web")
    tenant.patch(securityGroups=["default"])
    until(cairn, instance_id, "default")
