"""Resize, rebuild and rescue, of a real guest on its one host: what is on its disk is there, or gone, as it
should be."""

from __future__ import annotations

import pytest

from e2e.machine_cloud import NAMESPACE, MachineCloud

pytestmark = pytest.mark.qemu
LARGER = {"vcpus": 2, "memoryMiB": 192, "diskGiB": 1}


def _write(cloud: MachineCloud, text: str, disk: str = "vda") -> None:
    """Into the last sector of the disk, which no file system uses."""
    command = (
        f"printf {text} | dd of=/dev/{disk} bs=512 seek=$(($(cat /sys/block/{disk}/size) - 1)) conv=sync"
    )
    cloud.on_guest("web", f"{command} 2>/dev/null && sync")


def _read(cloud: MachineCloud, disk: str, sectors: str) -> str:
    """The text in that sector."""
    return cloud.on_guest("web", f"dd if=/dev/{disk} bs=512 count=1 skip={sectors} 2>/dev/null | tr -d '\\0'")


def _sectors(cloud: MachineCloud, disk: str = "vda") -> int:
    return int(cloud.on_guest("web", f"cat /sys/block/{disk}/size"))


def _memory_kib(cloud: MachineCloud) -> int:
    return int(cloud.on_guest("web", "grep MemTotal /proc/meminfo").split()[1])


def test_a_resize_makes_the_guest_larger_and_a_revert_makes_it_what_it_was(
    cloud: MachineCloud, new_web: str
) -> None:
    cloud.wait_console(new_web, "cairn-demo: ready")
    cloud.apply(cloud.resource("Flavor", "larger", **LARGER))
    last, memory = _sectors(cloud) - 1, _memory_kib(cloud)
    _write(cloud, "before")
    flavor = cloud.get("web")["spec"]["flavor"]
    boots = cloud.boots(new_web)

    cloud.patch("web", flavor="larger")
    assert cloud.phase("web", "Resized")["status"]["powerState"] == "Running"
    cloud.wait_console(new_web, "cairn-demo: ready", boots + 1)
    assert _memory_kib(cloud) > memory
    assert _sectors(cloud) == 2 * 1024**2
    assert _read(cloud, "vda", str(last)) == "before"
    _write(cloud, "after")

    cloud.patch("web", flavor=flavor)
    cloud.phase("web", "Active")
    cloud.wait_console(new_web, "cairn-demo: ready", boots + 2)
    assert (_sectors(cloud) - 1, _read(cloud, "vda", str(last))) == (last, "before")
    assert abs(_memory_kib(cloud) - memory) < 1024


def test_a_rebuild_makes_the_disk_anew(cloud: MachineCloud, web: str) -> None:
    _write(cloud, "old")
    address = cloud.get("web")["status"]["addressList"]
    boots = cloud.boots(web)
    cloud.patch("web", rebuild={"generation": 1})
    cloud.told("web", "TaskDone")
    cloud.wait_console(web, "cairn-demo: ready", boots + 1)
    body = cloud.phase("web", "Active")
    assert (body["status"]["instanceId"], body["status"]["addressList"]) == (web, address)
    assert _read(cloud, "vda", str(_sectors(cloud) - 1)) == ""


def test_a_rescued_guest_has_its_own_disk_as_the_second_one(cloud: MachineCloud, web: str) -> None:
    _write(cloud, "mine")
    boots = cloud.boots(web)
    cloud.patch("web", rescue={})
    cloud.phase("web", "Rescued")
    cloud.wait_console(web, "cairn-demo: ready", boots + 1)
    assert _read(cloud, "vdb", str(_sectors(cloud, "vdb") - 1)) == "mine"
    cloud.patch("web", rescue=None)
    cloud.phase("web", "Active")
    cloud.wait_console(web, "cairn-demo: ready", boots + 2)
    assert _read(cloud, "vda", str(_sectors(cloud) - 1)) == "mine"
    assert NAMESPACE in cloud.kubectl("get", "instances", "-A")
