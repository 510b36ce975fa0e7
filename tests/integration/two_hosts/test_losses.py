"""Real guests of a whole Cairn that are deleted in the middle of something, or whose host goes down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cairn_crds import Instance
from cairn_database import removal
from integration.cloud.cairn import Tenant
from integration.two_hosts.cloud import TwoHosts
from integration.two_hosts.guests import boot, migrate

pytestmark = pytest.mark.qemu
Begin = Callable[[TwoHosts, Tenant], str]


def test_after_its_host_was_rebooted_a_guest_is_as_it_was(cloud: TwoHosts, tenant: Tenant) -> None:
    running, stopped = boot(cloud, tenant), boot(cloud, tenant, "off")
    tenant.patch("off", powerState="Stopped")
    tenant.phase("Stopped", "off")
    cloud.reboot("h1")
    cloud.cairn.wait("it to run again", lambda: cloud.domain_state("h1", running) == "running")
    cloud.counting("h1", running, 3)
    tenant.phase("Active")
    tenant.phase("Stopped", "off")
    assert cloud.domain_state("h1", stopped) == "shut off"


@pytest.mark.parametrize("node", ["h1", "h2"])
def test_a_host_that_goes_down_amid_a_live_migration(cloud: TwoHosts, tenant: Tenant, node: str) -> None:
    """Whichever host has it then: it runs there, and there alone."""
    instance_id = _migrating(cloud, tenant)
    cloud.reboot(node)
    cloud.cairn.wait("the end of the migration", lambda: cloud.cairn.row(instance_id).task_state is None)
    home = cloud.cairn.row(instance_id).host
    assert home is not None
    cloud.counting(home, instance_id, 3)
    other = "h1" if home == "h2" else "h2"
    cloud.cairn.wait(f"{other} to be clean", lambda: not cloud.leftovers(other, instance_id))
    assert cloud.domain_state(home, instance_id) == "running"
    tenant.until(lambda body: (body["status"]["phase"], body["status"]["host"]) == ("Active", home), "Active")


def _building(cloud: TwoHosts, tenant: Tenant) -> str:
    """It has files, and no machine."""
    instance_id = tenant.create(host="h1")
    cloud.cairn.wait("its build", cloud.files("h1", instance_id).exists)
    return instance_id


def _migrating(cloud: TwoHosts, tenant: Tenant) -> str:
    """Its machine is on both hosts."""
    instance_id = boot(cloud, tenant)
    migrate(cloud, tenant, "Live", host="h2")
    cloud.cairn.wait("its machine there", lambda: cloud.domain_state("h2", instance_id))
    return instance_id


def _moving(cloud: TwoHosts, tenant: Tenant) -> str:
    """Its disks are on both hosts."""
    instance_id = boot(cloud, tenant)
    migrate(cloud, tenant, "Cold", host="h2")
    cloud.cairn.wait("its files there", cloud.files("h2", instance_id).exists)
    return instance_id


def _being_rescued(cloud: TwoHosts, tenant: Tenant) -> str:
    instance_id = boot(cloud, tenant)
    tenant.patch(rescue={"image": "demo"})
    cloud.cairn.wait("its rescue", lambda: cloud.cairn.row(instance_id).task_state)
    return instance_id


def _being_deleted(cloud: TwoHosts, tenant: Tenant) -> str:
    """Through the Compute API, and now with kubectl too."""
    instance_id = boot(cloud, tenant)
    cloud.cairn.sql(removal.begin_delete(cloud.cairn.db, instance_id))
    return instance_id


def _left_alone(cloud: TwoHosts, tenant: Tenant) -> str:
    """Nobody is on its host who could delete it."""
    instance_id = boot(cloud, tenant)
    cloud.cairn.kill("agent-h1")
    return instance_id


@pytest.mark.parametrize(
    "begin", [_building, _migrating, _moving, _being_rescued, _being_deleted, _left_alone]
)
def test_deleted_in_the_middle_of_it_nothing_is_left(cloud: TwoHosts, tenant: Tenant, begin: Begin) -> None:
    cairn = cloud.cairn
    instance_id = begin(cloud, tenant)
    cairn.api.delete(Instance, "vm", tenant.namespace)
    if begin is _left_alone:
        assert tenant.phase("Deleting")["status"]["host"] == "h1"
        assert cloud.domain_state("h1", instance_id) == "running"
        cairn.start("agent-h1")
    tenant.gone()
    for node in ("h1", "h2"):
        cairn.wait(f"{node} to be clean", lambda node=node: not cloud.leftovers(node, instance_id))
