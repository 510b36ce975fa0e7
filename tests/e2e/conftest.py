"""End to end: `cairn up`, kubectl and the guests it boots. Nothing here is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cairn_local.stack import ROOT
from e2e.machine_cloud import BOOT_SECONDS, MachineCloud, machine_cloud, missing_programs

EXAMPLE = ROOT / "examples" / "instance.yaml"


@pytest.fixture(scope="package")
def cloud() -> Iterator[MachineCloud]:
    """A cloud that is up, with the example's guest; shared by the files that leave it as they found it."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with machine_cloud() as cloud:
        cloud.cairn("up")
        yield cloud


@pytest.fixture
def new_web(cloud: MachineCloud) -> str:
    """The id of an example instance that has just been made: nothing has happened to it but its boot."""
    cloud.settle()
    if cloud.exists("web"):
        cloud.delete("web")
    cloud.kubectl("apply", "-f", str(EXAMPLE))
    cloud.phase("web", "Active")
    return cloud.instance_id("web")


@pytest.fixture
def web(cloud: MachineCloud) -> str:
    """The id of the example instance `web`: Active, with its userspace up."""
    cloud.settle()
    boots = 0
    if not cloud.exists("web"):
        cloud.kubectl("apply", "-f", str(EXAMPLE))
    elif cloud.get("web")["status"]["phase"] == "Active":
        boots = max(1, cloud.boots(cloud.instance_id("web"))) - 1
    else:
        boots = cloud.boots(cloud.instance_id("web"))
        cloud.patch("web", powerState="Running")
    instance_id = str(cloud.phase("web", "Active", BOOT_SECONDS)["status"]["instanceId"])
    cloud.wait_console(instance_id, "cairn-demo: ready", boots + 1)
    return instance_id
