"""What a person does to an instance with kubectl, done to a real guest."""

from __future__ import annotations

import re

import pytest

from e2e.machine_cloud import NAMESPACE, MachineCloud

pytestmark = pytest.mark.qemu


def _row(cloud: MachineCloud, name: str, *options: str) -> dict[str, str]:
    """What `kubectl get instances` shows, by column; columns may be empty, so they go by their place."""
    lines = cloud.kubectl("get", "instances", "-n", NAMESPACE, *options).splitlines()
    titles = [(match.group(), match.start()) for match in re.finditer(r"\S+", lines[0])]
    line = next(line for line in lines if line.split()[0] == name)
    ends = [start for _title, start in titles[1:]] + [None]
    return {title: line[start:end].strip() for (title, start), end in zip(titles, ends, strict=True)}


def _conditions(cloud: MachineCloud, name: str) -> dict[str, tuple[str, str]]:
    found = cloud.get(name)["status"]["conditions"]
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in found}


def _uptime(cloud: MachineCloud, name: str) -> float:
    return float(cloud.on_guest(name, "cat /proc/uptime").split()[0])


def test_its_columns_conditions_and_events_tell_its_story(cloud: MachineCloud, new_web: str) -> None:
    row = _row(cloud, "web")
    address = cloud.get("web")["status"]["addresses"][0]["address"]
    assert list(row) == ["NAME", "PHASE", "TASK", "POWER", "HOST", "ADDRESSES", "AGE"]
    assert (row["PHASE"], row["TASK"], row["POWER"]) == ("Active", "", "Running")
    assert (row["HOST"], row["ADDRESSES"]) == ("local", address)
    wide = _row(cloud, "web", "-o", "wide")
    assert (wide["FLAVOR"], wide["IMAGE"], wide["ID"], wide["REASON"]) == (
        "m1.nano",
        "demo",
        new_web,
        "Running",
    )
    assert _conditions(cloud, "web") == {
        "Accepted": ("True", "Registered"),
        "Scheduled": ("True", "Placed"),
        "Ready": ("True", "Running"),
    }
    description = cloud.kubectl("describe", "instance", "web", "-n", NAMESPACE)
    for line in (r"Normal +Scheduled .*Placed on host local", r"Normal +Launched .*with 10\.42\.0\."):
        assert re.search(line, description), description


def test_stopped_and_running(cloud: MachineCloud, web: str) -> None:
    boots = cloud.boots(web)
    cloud.patch("web", powerState="Stopped")
    assert cloud.phase("web", "Stopped")["status"]["powerState"] == "Shutdown"
    assert cloud.qemu_pid(web) is None
    # It was asked, with the power button, and shut down by itself.
    assert "cairn-demo: power button" in cloud.console(web)
    assert _conditions(cloud, "web")["Ready"] == ("False", "Stopped")
    assert _row(cloud, "web")["PHASE"] == "Stopped"

    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    cloud.wait_console(web, "cairn-demo: ready", boots + 1)
    assert "is stopped" in "".join(message for _reason, message in cloud.events("web"))


def test_paused_and_suspended_machines_go_on_where_they_were(cloud: MachineCloud, web: str) -> None:
    boots, pid = cloud.boots(web), cloud.qemu_pid(web)
    cloud.on_guest("web", "echo kept > /tmp/memory")
    cloud.patch("web", powerState="Paused")
    cloud.phase("web", "Paused")
    assert "paused" in cloud.virsh("domstate", web)
    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    assert cloud.qemu_pid(web) == pid

    cloud.patch("web", powerState="Suspended")
    assert cloud.phase("web", "Suspended")["status"]["powerState"] == "Suspended"
    assert cloud.qemu_pid(web) is None
    cloud.patch("web", powerState="Running")
    cloud.phase("web", "Active")
    assert cloud.on_guest("web", "cat /tmp/memory") == "kept"
    assert cloud.boots(web) == boots


@pytest.mark.parametrize("kind", ["Soft", "Hard"])
def test_a_reboot(cloud: MachineCloud, web: str, kind: str) -> None:
    boots, buttons = cloud.boots(web), cloud.console(web).count("cairn-demo: power button")
    wanted = cloud.get("web")["status"].get("rebootGeneration", 0) + 1
    cloud.patch("web", reboot={"generation": wanted, "type": kind})
    cloud.wait("the reboot", lambda: cloud.get("web")["status"].get("rebootGeneration") == wanted, 120)
    log = cloud.wait_console(web, "cairn-demo: ready", boots + 1)
    assert cloud.phase("web", "Active")["status"]["instanceId"] == web
    assert log.count("cairn-demo: power button") == buttons + (kind == "Soft")
    # Once, not over and over: the guest's clock runs on from this boot.
    before = _uptime(cloud, "web")
    assert _uptime(cloud, "web") > before
    assert cloud.boots(web) == boots + 1


def test_a_delete_takes_everything_along(cloud: MachineCloud, web: str) -> None:
    mac = cloud.get("web")["status"]["addresses"][0]["mac"]
    assert mac in cloud.dhcp_entries()
    cloud.delete("web")
    assert not cloud.exists("web")
    assert cloud.qemu_pid(web) is None
    assert web not in cloud.virsh("list", "--all", "--uuid")
    assert not (cloud.home.instances / web).exists()
    assert mac not in cloud.dhcp_entries()
    assert not list(cloud.home.guests.glob(f"{web}*"))
    assert web not in cloud.kubectl("get", "guests", "-A")
