"""Losing a process of the control plane, or all of them, loses no object. On a control plane of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cairn_local.control_plane.binaries import Binaries
from cairn_local.control_plane.running import RunningControlPlane, running_control_plane
from cairn_local.waiting import wait_until


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("restarts")


@pytest.fixture
def plane(control_plane_binaries: Binaries, data_dir: Path) -> Iterator[RunningControlPlane]:
    with running_control_plane(data_dir, control_plane_binaries) as running:
        yield running


def test_objects_survive_the_loss_of_each_process_and_of_all(
    plane: RunningControlPlane, control_plane_binaries: Binaries
) -> None:
    plane.kubectl("create", "configmap", "kept")
    uid = plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.metadata.uid}")

    def still_there() -> bool:
        return plane.kubectl("get", "configmap", "kept", "-o", "jsonpath={.metadata.uid}") == uid

    for name in ("etcd", "kube-apiserver", "kube-controller-manager"):
        before = plane.group[name].pid
        plane.group[name].kill()
        plane.group[name].start()
        assert plane.group[name].pid != before
        plane.group["kube-apiserver"].wait_ready()
        assert still_there()

    plane.group.stop()
    ports, kubeconfig = plane.plane.ports, plane.kubeconfig.read_text()
    with running_control_plane(plane.plane.data_dir, control_plane_binaries) as again:
        assert again.plane.ports == ports
        assert again.kubeconfig.read_text() == kubeconfig, "everybody's kubeconfig still works"
        assert still_there()


def test_a_frozen_etcd_delays_requests_and_breaks_nothing(plane: RunningControlPlane) -> None:
    plane.group["etcd"].freeze()
    probe = plane.group["etcd"].spec.ready
    assert probe is not None
    assert probe() is not None
    plane.group["etcd"].thaw()
    wait_until(lambda: probe() is None, "etcd to answer again")
    plane.group["kube-apiserver"].wait_ready()
    plane.kubectl("create", "configmap", "after-the-thaw")
