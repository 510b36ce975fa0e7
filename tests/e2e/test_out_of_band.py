"""Somebody uses the hypervisor's own tools: Cairn takes it as it is, says so, and can go on from there."""

from __future__ import annotations

import shutil
import time

import pytest

from e2e.machine_cloud import MachineCloud

pytestmark = pytest.mark.qemu
SECONDS = 10.0
"""Within which a change from outside shows."""


def test_a_machine_that_somebody_destroys_is_stopped(cloud: MachineCloud, web: str) -> None:
    cloud.virsh("destroy", web)
    began = time.monotonic()
    body = cloud.phase("web", "Stopped", SECONDS)
    print(f"seen after {time.monotonic() - began:.1f} s")
    assert body["status"]["powerState"] == "Shutdown"
    cloud.wait("the spec to follow", lambda: cloud.get("web")["spec"]["powerState"] == "Stopped", SECONDS)
    assert "changed from outside" in cloud.told("web", "PowerChangedOutside")
    # Nothing fights over the power button.
    time.sleep(6)
    assert cloud.phase("web", "Stopped")["spec"]["powerState"] == "Stopped"
    assert cloud.qemu_pid(web) is None

    boots = cloud.boots(web)
    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    cloud.wait_console(web, "cairn-demo: ready", boots + 1)


def test_a_machine_that_somebody_starts_is_active(cloud: MachineCloud, web: str) -> None:
    cloud.patch("web", powerState="Stopped")
    cloud.phase("web", "Stopped")
    boots = cloud.boots(web)
    cloud.virsh("start", web)
    cloud.phase("web", "Active", SECONDS)
    cloud.wait("the spec to follow", lambda: cloud.get("web")["spec"]["powerState"] == "Running", SECONDS)
    cloud.wait_console(web, "cairn-demo: ready", boots + 1)


def test_a_guest_that_shuts_itself_down_is_stopped(cloud: MachineCloud, web: str) -> None:
    cloud.cairn("ssh", "web", "--", "poweroff")
    cloud.phase("web", "Stopped", 60)
    cloud.wait("the spec to follow", lambda: cloud.get("web")["spec"]["powerState"] == "Stopped", SECONDS)


def test_a_machine_that_somebody_undefines_is_made_again_around_its_disk(
    cloud: MachineCloud, web: str
) -> None:
    disk_boots = cloud.boots(web)
    address = cloud.get("web")["status"]["addresses"]
    cloud.virsh("undefine", web)
    cloud.virsh("destroy", web)
    cloud.wait("the machine", lambda: web in cloud.virsh("list", "--all", "--uuid"), 60)
    body = cloud.wait(
        "a state that lasts",
        lambda: (
            (body := cloud.get("web"))["status"]["phase"] in ("Active", "Stopped")
            and not body["status"].get("taskState")
            and body
        ),
        60,
    )
    assert body
    assert (body["status"]["instanceId"], body["status"]["addresses"]) == (web, address)
    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    cloud.wait_console(web, f"cairn-demo: boot {disk_boots + 1} of disk")
    cloud.wait_console(web, "cairn-demo: ready", disk_boots + 1)


def test_a_machine_removed_with_its_disk_is_an_error_and_can_be_deleted(
    cloud: MachineCloud, web: str
) -> None:
    """The example instance goes here; the next test that wants it makes another."""
    cloud.virsh("destroy", web)
    cloud.phase("web", "Stopped", SECONDS)
    shutil.rmtree(cloud.home.instances / web)
    cloud.virsh("undefine", web)
    body = cloud.phase("web", "Error", 60)
    assert "somebody removed it" in body["status"]["fault"]["message"]
    cloud.told("web", "MachineVanished")
    cloud.delete("web")
    assert not cloud.exists("web")
