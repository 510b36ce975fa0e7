"""Whatever dies, the guests run on; whatever is lost of them in Kubernetes comes back."""

from __future__ import annotations

import json

import pytest

from cairn_crds import Guest
from cairn_local.settings import NODE
from e2e.machine_cloud import CAIRN, KUBERNETES, NAMESPACE, MachineCloud, kill

pytestmark = pytest.mark.qemu
GUESTS = f"cairn-node-{NODE}"


def _uptime(cloud: MachineCloud) -> float:
    return float(cloud.on_guest("web", "cat /proc/uptime").split()[0])


@pytest.mark.parametrize("process", [*sorted(KUBERNETES | CAIRN), "hypervisor"])
def test_the_guest_runs_through_the_loss_of(cloud: MachineCloud, web: str, process: str) -> None:
    """The supervisor starts it again, and the guest has noticed nothing."""
    machine, uptime, boots = cloud.qemu_pid(web), _uptime(cloud), cloud.boots(web)
    killed = cloud.pids()[process]
    kill(killed)
    cloud.wait(f"another {process}", lambda: cloud.pids().get(process) not in (None, killed))
    cloud.settle()
    assert cloud.qemu_pid(web) == machine
    assert _uptime(cloud) > uptime
    assert cloud.boots(web) == boots
    assert cloud.phase("web", "Active")["status"]["instanceId"] == web


def test_the_guest_runs_through_the_loss_of_libvirtd(cloud: MachineCloud, web: str) -> None:
    machine, uptime = cloud.qemu_pid(web), _uptime(cloud)
    killed = cloud.libvirtd_pid()
    kill(killed)
    cloud.wait("another libvirtd", lambda: cloud.libvirtd_pid() not in (None, killed))
    cloud.settle()
    assert cloud.qemu_pid(web) == machine
    assert _uptime(cloud) > uptime


def test_the_guest_runs_through_the_loss_of_everything_else(cloud: MachineCloud, web: str) -> None:
    """Killed with its supervisor, the cloud is gone but for the guests' room; `cairn up` finds it again."""
    machine, uptime, boots = cloud.qemu_pid(web), _uptime(cloud), cloud.boots(web)
    before = cloud.pids()
    kill(cloud.supervisor.pid())
    cloud.wait("the end of the cloud", lambda: not cloud.pids())
    cloud.cairn("up")
    cloud.settle()
    after = cloud.pids()
    assert not set(after.values()) & set(before.values())
    assert cloud.qemu_pid(web) == machine
    assert _uptime(cloud) > uptime
    assert cloud.boots(web) == boots


def test_after_all_that_the_guest_still_does_as_it_is_told(cloud: MachineCloud, web: str) -> None:
    machine = cloud.qemu_pid(web)
    cloud.patch("web", powerState="Paused")
    cloud.phase("web", "Paused")
    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    assert cloud.qemu_pid(web) == machine


def test_instances_and_guests_deleted_by_force_come_back(cloud: MachineCloud, web: str) -> None:
    machine, uptime = cloud.qemu_pid(web), _uptime(cloud)
    before = cloud.get("web")
    guest = _guest_uid(cloud, web)
    strip = ["--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}})]
    cloud.kubectl("patch", "instance", "web", "-n", NAMESPACE, *strip)
    cloud.kubectl("delete", "instances", "--all", "-n", NAMESPACE, "--wait=false")
    cloud.kubectl("delete", "guests", "--all", "-n", GUESTS, "--wait=false")

    cloud.wait(
        "another Instance",
        lambda: cloud.exists("web") and cloud.get("web")["metadata"]["uid"] != before["metadata"]["uid"],
    )
    cloud.wait("another Guest", lambda: _guest_uid(cloud, web) not in ("", guest))
    after = cloud.phase("web", "Active")
    assert after["spec"] == before["spec"]
    for field in ("instanceId", "addresses", "host", "launchedAt", "powerState"):
        assert after["status"][field] == before["status"][field]
    assert after["metadata"]["finalizers"] == before["metadata"]["finalizers"]
    assert cloud.qemu_pid(web) == machine
    assert _uptime(cloud) > uptime
    cloud.told("web", "Restored")


def _guest_uid(cloud: MachineCloud, instance_id: str) -> str:
    guest = cloud.api.get(Guest, instance_id, GUESTS)
    return str(guest["metadata"]["uid"]) if guest else ""
