"""Cairn is taken out of a cluster while guests run, and put in again: they never notice.

One story, in the order in which it happens: each step costs seconds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cairn_crds import GROUP, KINDS, Guest, Instance
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.install import install_manifests
from cairn_local.stack import CRDS, RBAC
from cairn_local.uninstall import removal
from cairn_local.uninstall.command import REFUSED, uninstall
from integration.conftest import control_plane, control_plane_binaries
from support.cloud import Cloud, running_cloud

__all__ = ["control_plane", "control_plane_binaries"]
PROJECT, NODE = "red", "node-0"
HELD = "example.com/somebody-elses"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0rI1tVQz0B7cHi4PMqyHkyKWVGQX9eyvBEIzuJnBYU ann"
STATES = {"web": "Active", "db": "Stopped"}


@pytest.fixture
def machines(tmp_path: Path) -> Path:
    return tmp_path / "machines"


@pytest.fixture
def cloud(control_plane: RunningControlPlane, tmp_path: Path, machines: Path) -> Iterator[Cloud]:
    settings: dict[str, dict[str, object]] = {
        "agent": {"fake__directory": machines, "agent__sweep_seconds": 1, "agent__heartbeat_seconds": 2},
        "conductor": {"conductor__sweep_seconds": 2, "conductor__lease_seconds": 2},
    }
    with running_cloud(control_plane, tmp_path / "cairn", nodes=1, settings=settings) as cloud:
        cloud.project(PROJECT)
        yield cloud


def fingerprints(machines: Path) -> dict[str, tuple[int, int]]:
    """Changes with every change of a machine, be it undone again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in machines.glob("*.json")}


def boot_everything(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """One that runs, and one that is stopped; what they show."""
    key = {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "KeyPair",
        "metadata": {"name": "ann", "namespace": PROJECT},
    }
    cloud.apply({**key, "spec": {"publicKey": KEY}})
    for name in STATES:
        cloud.apply(cloud.instance(name, PROJECT, keyPair="ann"))
    for name in STATES:
        cloud.wait_phase(name, PROJECT, "Active")
    cloud.kubectl(
        "patch", "instance", "db", "-n", PROJECT, "--type=merge", "-p", '{"spec":{"powerState":"Stopped"}}'
    )
    return {name: cloud.wait_phase(name, PROJECT, phase) for name, phase in STATES.items()}


def left_of(cloud: Cloud) -> list[str]:
    """What the cluster still has of Cairn."""
    listed = "crds,clusterroles,clusterrolebindings,namespaces"
    names = cloud.kubectl("get", listed, "-o", "name").split()
    own = [name for name in names if GROUP in name or "cairn-" in name]
    return [*own, *(name for name in names if name == f"namespace/{PROJECT}")]


def test_cairn_goes_and_comes_back_and_the_guests_run_on(
    cloud: Cloud,
    machines: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = boot_everything(cloud)
    running = fingerprints(machines)
    kept = tmp_path / "kept.yaml"
    command = ["--kubeconfig", str(cloud.stack.cluster.kubeconfig), "--keep", str(kept)]

    assert uninstall(command) == REFUSED
    assert f"1 on {NODE}" in capsys.readouterr().out.replace("2 on", "1 on")
    assert not kept.exists()
    assert cloud.api.get(Instance, "web", PROJECT), "nothing was done"

    # Somebody else's finalizer holds an Instance: it stops half-way, and says at what.
    finalizers = [*before["web"]["metadata"]["finalizers"], HELD]
    patch = json.dumps({"metadata": {"finalizers": finalizers}})
    cloud.kubectl("patch", "instance", "web", "-n", PROJECT, "--type=merge", "-p", patch)
    monkeypatch.setattr(removal, "WAIT_SECONDS", 6.0)
    assert uninstall([*command, "--yes"]) == 1
    assert f"web is held by {HELD}" in capsys.readouterr().out.replace("\n", " ")
    cloud.kubectl(
        "patch", "instance", "web", "-n", PROJECT, "--type=merge", "-p", '{"metadata":{"finalizers":null}}'
    )

    monkeypatch.setattr(removal, "WAIT_SECONDS", 60.0)
    assert uninstall([*command, "--yes"]) == 0, "and goes on from there"
    assert left_of(cloud) == []
    assert uninstall([*command, "--yes"]) == 0, "there is nothing left to do"
    assert fingerprints(machines) == running, "no machine was touched"

    come_back(cloud, kept)
    for name, phase in STATES.items():
        found = cloud.wait_phase(name, PROJECT, phase, 60)
        for field in ("instanceId", "host", "addresses", "launchedAt"):
            assert found["status"][field] == before[name]["status"][field]
        assert found["spec"] == before[name]["spec"]
    cloud.wait(
        "the Guests", lambda: {guest["status"].get("phase") for guest in cloud.api.list(Guest)} == {"Ready"}
    )
    assert fingerprints(machines) == running, "nor was one now"
    # They are Cairn's again: what is asked for happens.
    cloud.kubectl("delete", "instance", "--all", "-n", PROJECT, "--timeout=60s")
    assert fingerprints(machines) == {}


def come_back(cloud: Cloud, kept: Path) -> None:
    """A new installation, over the database that was kept."""
    for process in cloud.processes:
        process.stop()
    install_manifests(cloud.stack.cluster.kubeconfig, CRDS, [RBAC])
    assert {kind.kind_info.plural for kind in KINDS} <= {
        name.partition("/")[2].partition(".")[0]
        for name in cloud.kubectl("get", "crds", "-o", "name").split()
    }
    assert os.stat(kept).st_mode & 0o077 == 0
    cloud.kubectl("apply", "-f", str(kept))
    stack = cloud.stack
    cloud.processes["conductor-0"].spec = stack.conductor("conductor-0", conductor__sweep_seconds=2)
    cloud.processes["scheduler-0"].spec = stack.scheduler("scheduler-0")
    for name in ("conductor-0", "scheduler-0"):
        cloud.processes[name].start()
    cloud.wait_account(NODE)
    agent = cloud.processes["agent-0"]
    environment = agent.spec.env
    agent.spec = stack.agent([NODE], "agent-0")
    agent.spec.env.update(
        {name: value for name, value in environment.items() if name.startswith("CAIRN_FAKE")}
    )
    agent.spec.env.update(CAIRN_AGENT__DRIVER="fake")
    agent.start()
