"""`cairn up`, `status`, `down`, `clean`: what a person types, from nothing to nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from e2e.machine_cloud import (
    NAMESPACE,
    PROCESSES,
    MachineCloud,
    machine_cloud,
    missing_programs,
    network_namespaces,
)

pytestmark = pytest.mark.qemu


@pytest.fixture(scope="module")
def fresh() -> Iterator[MachineCloud]:
    """A folder in which nothing has been started; the tests below go on from one another."""
    if missing := missing_programs():
        pytest.skip(f"not installed: {', '.join(missing)}")
    with machine_cloud() as cloud:
        yield cloud


def _say(output: str) -> list[str]:
    """The progress lines, without their times."""
    return re.findall(r"^ *[\d.]+s  (.*)$", output, re.MULTILINE)


def test_before_up_nothing_runs(fresh: MachineCloud) -> None:
    assert "make up" in fresh.cairn("status", status=3)
    fresh.cairn("down")
    assert not fresh.owned_pids()


def test_up_boots_the_example_and_says_what_next(fresh: MachineCloud) -> None:
    output = fresh.cairn("up")
    lines = _say(output)
    for process in PROCESSES:
        assert f"starting {process}" in lines, output
    assert any(re.fullmatch(r"instance demo/web: Active, .*host local, at 10\.42\.0\.\d+", x) for x in lines)
    assert lines[-1] == "Cairn is up"
    for advice in (
        f"KUBECONFIG={fresh.home.kubeconfig}",
        "kubectl get instances",
        "console web",
        "make down",
    ):
        assert advice in output
    fresh.wait_console(fresh.instance_id("web"), "cairn-demo: ready")


def test_the_kubectl_that_up_names_works(fresh: MachineCloud) -> None:
    assert (fresh.home.programs / "kubectl").exists()
    assert "web" in fresh.kubectl("get", "instances", "-A")


def test_a_second_up_changes_nothing(fresh: MachineCloud) -> None:
    instance_id = fresh.instance_id("web")
    before = fresh.pids(), fresh.qemu_pid(instance_id), fresh.get("web"), fresh.boots(instance_id)
    output = fresh.cairn("up")
    assert "nothing changed" in output
    assert "starting" not in output
    after = fresh.pids(), fresh.qemu_pid(instance_id), fresh.get("web"), fresh.boots(instance_id)
    assert after == before


def test_status_shows_every_process_ready(fresh: MachineCloud) -> None:
    output = fresh.cairn("status")
    for process in PROCESSES:
        assert re.search(rf"^{process} +RUNNING +\d+ +\S+ +yes", output, re.MULTILINE), output
    assert f"{fresh.home.supervisor}/logs" in output


def test_down_stops_everything_and_up_brings_the_instance_back(fresh: MachineCloud) -> None:
    before = fresh.get("web")
    instance_id = before["status"]["instanceId"]
    assert "instances" in fresh.cairn("down")
    assert not fresh.owned_pids()
    assert fresh.room.name not in network_namespaces()
    assert (fresh.home.instances / instance_id / "disk").exists()
    fresh.cairn("status", status=3)
    # The guest heard of it: it was shut down, its plug was not pulled.
    assert "cairn-demo: shutting down" in fresh.console(instance_id)

    fresh.cairn("up")
    fresh.wait_console(instance_id, "boot 2 of disk")
    after = fresh.phase("web", "Active")
    for field in ("instanceId", "addresses", "host", "launchedAt"):
        assert after["status"][field] == before["status"][field]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"]


def test_clean_leaves_nothing(fresh: MachineCloud) -> None:
    fresh.kubectl("get", "instance", "web", "-n", NAMESPACE)  # it cleans up under a running guest
    fresh.cairn("clean")
    assert not fresh.owned_pids()
    assert fresh.room.name not in network_namespaces()
    assert not fresh.home.root.exists()
    fresh.cairn("clean")
