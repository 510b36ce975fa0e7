"""The administrator's kubectl: all that the commands for people need to know of a cluster.

It imports nothing but the standard library, so that `cairn ssh` and its like answer at once.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cairn_local.settings import Home


@dataclass(frozen=True)
class Cluster:
    """The Kubernetes that Cairn runs on."""

    kubectl: Path
    kubeconfig: Path
    """The administrator's."""
    account_kubeconfig: Callable[[str, str], Path]
    """(namespace, service account) to a kubeconfig that acts as it."""

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl as the administrator; returns what it printed. Raises KubectlFailed."""
        command = [str(self.kubectl), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout


def kubectl_of(home: Home) -> Cluster:
    """The administrator's way into the cluster that `cairn up` runs, for commands of later."""
    program = shutil.which("kubectl") or home.programs / "kubectl"
    return Cluster(Path(program), home.kubeconfig, lambda _namespace, _name: home.kubeconfig)


class KubectlFailed(Exception):
    """kubectl refused; the message is its own."""
