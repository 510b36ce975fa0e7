"""`cairn uninstall`: says what will go and what stays; with `--yes`, does it."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

import aiohttp
from rich.markup import escape

from cairn_local.progress import Progress
from cairn_local.settings import Home
from cairn_local.stack import RBAC, SYSTEM_NAMESPACE
from cairn_local.uninstall.inventory import Inventory, take
from cairn_local.uninstall.keeping import keep
from cairn_local.uninstall.removal import StillThere, remove_kinds, remove_rest, stop_controllers
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.settings import KubernetesSettings

KEPT = "cairn-resources.yaml"
EXPECTED = (KubernetesError, StillThere, OSError, aiohttp.ClientError, ValueError)
REFUSED = 2


def uninstall(arguments: list[str]) -> int:
    """Take Cairn out of a cluster. Guests run on, on their hosts; so do the database and all disks."""
    parser = argparse.ArgumentParser("cairn uninstall", description=uninstall.__doc__)
    parser.add_argument("--yes", action="store_true", help="do it; without, only say what would be done")
    parser.add_argument("--kubeconfig", type=Path, default=_kubeconfig(), help="default: as kubectl's")
    parser.add_argument("--context", help="a context of it; its current one when left out")
    parser.add_argument("--namespace", default=SYSTEM_NAMESPACE, help="that Cairn's own processes are in")
    parser.add_argument(
        "--keep", type=Path, default=Path(KEPT), help=f"where the resources are kept as manifests ({KEPT})"
    )
    options = parser.parse_args(arguments)
    progress = Progress()
    try:
        return asyncio.run(_uninstall(options, progress))
    except EXPECTED as error:
        progress.console.print(f"[red]cairn uninstall failed:[/red] {escape(str(error))}", markup=True)
        progress.say("what is done is done; the same command again goes on from there")
        return 1


def _kubeconfig() -> Path:
    """Where kubectl would look, and the one that `cairn up` has written."""
    if named := os.environ.get("KUBECONFIG", "").partition(os.pathsep)[0]:
        return Path(named)
    own = Home.from_environment().kubeconfig
    return own if own.exists() else Path.home() / ".kube" / "config"


async def _uninstall(options: argparse.Namespace, progress: Progress) -> int:
    settings = KubernetesSettings(
        kubeconfig=options.kubeconfig, context=options.context, timeout_seconds=60.0
    )
    kubernetes = Kubernetes(settings)
    await kubernetes.open()
    try:
        found = await take(kubernetes)
        _tell(found, progress)
        if found.fencing:
            progress.say(
                f"refused: the agents of {', '.join(found.fencing)} power their guests off when they lose "
                "the API server (agent.self_fence_seconds). Stop them first: an orderly stop takes that back."
            )
            return REFUSED
        if not options.yes:
            progress.say("nothing was done; --yes does it")
            return REFUSED
        with progress.step(f"keeping the resources in {options.keep}"):
            added = await keep(kubernetes, options.keep)
        progress.say(f"{added} objects kept")
        with progress.step("stopping the controllers"):
            await stop_controllers(kubernetes, options.namespace, RBAC, progress.say)
        with progress.step("removing Cairn's resources"):
            await keep(kubernetes, options.keep)  # once more: now nobody changes them
            await remove_kinds(kubernetes, progress.say)
        with progress.step("removing roles and namespaces"):
            await remove_rest(kubernetes, options.namespace, RBAC, progress.say)
    finally:
        await kubernetes.close()
    progress.say("Cairn is out of the cluster")
    _tell_rest(found, options.keep, progress)
    return 0


def _tell(found: Inventory, progress: Progress) -> None:
    counts = ", ".join(f"{number} {plural}" for plural, number in found.objects.items() if number)
    progress.say(f"goes: Cairn's kinds and resources ({counts or 'none left'})")
    if found.workloads:
        names = ", ".join(path.rpartition("/")[2] for path in found.workloads)
        progress.say(f"goes: Deployments and DaemonSets of the chart: {names}")
    if found.namespaces:
        progress.say(f"goes: namespaces, with all that is in them: {', '.join(found.namespaces)}")
    hosts = ", ".join(f"{number} on {host}" for host, number in sorted(found.guests.items()))
    progress.say(f"stays: the guests ({hosts or 'none'}), as they are; their disks; the database; images")


def _tell_rest(found: Inventory, kept: Path, progress: Progress) -> None:
    progress.say(
        f"to take the guests in again: apply crds/manifests, then {kept}, then install Cairn with the same "
        "database; Instances come back by themselves (docs/operations.md, Uninstalling)"
    )
    if found.workloads:
        progress.say("Helm still lists its release: `helm uninstall` ends that")
