"""A control plane that runs as children of this process: for tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cairn_local.control_plane.audit import AuditedWrite, audited_writes
from cairn_local.control_plane.binaries import Binaries, find_binaries
from cairn_local.control_plane.plane import ControlPlane
from cairn_local.process import ProcessGroup
from cairn_local.waiting import wait_until

KUBECTL_SECONDS = 60.0


class KubectlFailed(Exception):
    """kubectl ended with an error; the message is its own."""


@dataclass(frozen=True)
class RunningControlPlane:
    """A started ControlPlane with its processes at hand."""

    plane: ControlPlane
    group: ProcessGroup
    """`etcd`, `kube-apiserver`, `kube-controller-manager`; more may be added."""

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the administrator."""
        return self.plane.kubeconfig

    def kubectl(self, *arguments: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl, as the administrator unless told otherwise; returns what it prints.

        Raises KubectlFailed when it ends with an error.
        """
        argv = [
            str(self.plane.binaries.kubectl),
            "--kubeconfig",
            str(kubeconfig or self.kubeconfig),
            *arguments,
        ]
        result = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, check=False, timeout=KUBECTL_SECONDS
        )
        if result.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def apply(self, *manifests: dict[str, Any] | Path) -> None:
        """Apply objects and manifest files, server-side, in the order given."""
        for manifest in manifests:
            if isinstance(manifest, Path):
                self.kubectl("apply", "--server-side", "-f", str(manifest))
            else:
                self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest))

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """See ControlPlane.service_account_kubeconfig."""
        return self.plane.service_account_kubeconfig(namespace, name)

    def mark(self) -> int:
        """Now, as a place in the audit log for `writes_since`."""
        return self.plane.audit_log.stat().st_size

    def writes_since(self, mark: int = 0) -> list[AuditedWrite]:
        """Write requests answered since `mark`. Only when the plane runs with its audit log on."""
        return list(audited_writes(self.plane.audit_log, mark))


@contextlib.contextmanager
def running_control_plane(
    data_dir: Path,
    binaries: Binaries | None = None,
    *,
    audit: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningControlPlane]:
    """Start a control plane in `data_dir`, stop it in the end. The folder is left for whoever wants its logs.

    It is yielded when it serves requests and new namespaces get their default service account.
    `environment` is added to that of its processes.
    """
    plane = ControlPlane(data_dir, binaries or find_binaries(), audit=audit)
    specs = [replace(spec, env={**spec.env, **(environment or {})}) for spec in plane.specs()]
    with ProcessGroup(specs, data_dir / "logs") as group:
        running = RunningControlPlane(plane, group)
        wait_until(
            lambda: running.kubectl("get", "serviceaccount", "default", "--ignore-not-found", "-o", "name"),
            "the default service account",
        )
        yield running
