"""The watches of a process, when the API server has no part in it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import yaml

from cairn_crds.base import API_VERSION, Model, Resource, ResourceKind, Scope
from cairn_crds.manifests import crd
from cairn_local.control_plane.running import RunningControlPlane
from cairn_runtime.kubernetes import Kubernetes, KubernetesError
from cairn_runtime.settings import KubernetesSettings
from cairn_runtime.store import Store
from cairn_runtime.watching import Watches

SECONDS = 30.0


class Nothing(Model):
    """Says nothing."""


class Latecomer(Resource):
    """A kind of this test's own."""

    kind_info: ClassVar[ResourceKind] = ResourceKind("Latecomer", "latecomers", Scope.CLUSTER)
    spec: Nothing = Nothing()
    status: Nothing = Nothing()


class Counted(Watches):
    """Watches that tell how often they have begun."""

    begun = 0

    async def _run_kopf(self) -> None:
        self.begun += 1
        await super()._run_kopf()


async def until_begun(watches: Counted, times: int) -> None:
    while watches.begun < times:  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.1)


async def until_served(kubernetes: Kubernetes, served: bool) -> None:
    while True:
        try:
            await kubernetes.list_all(Latecomer)
            found = True
        except KubernetesError:
            found = False
        if found == served:
            return
        await asyncio.sleep(0.1)


async def test_a_kind_that_is_not_served_for_a_while_is_watched_again(
    control_plane: RunningControlPlane,
) -> None:
    """As with an API server that starts, which serves custom resources last."""
    manifest = yaml.safe_dump(crd(Latecomer))

    def kubectl(*arguments: str, stdin: str) -> None:
        control_plane.kubectl(*arguments, stdin=stdin)

    kubernetes = Kubernetes(KubernetesSettings(kubeconfig=control_plane.kubeconfig))
    await kubernetes.open()
    await asyncio.to_thread(kubectl, "apply", "-f", "-", stdin=manifest)
    await asyncio.wait_for(until_served(kubernetes, True), SECONDS)
    store = Store(Latecomer)
    seen = asyncio.Event()
    store.on_change(lambda key: seen.set() if key == ("", "late") else None)
    # No repairing list comes to its help.
    watches = Counted(kubernetes, [store], resync_seconds=1000.0)
    await watches.start(asyncio.Event())
    try:
        await asyncio.to_thread(kubectl, "delete", "-f", "-", stdin=manifest)
        await asyncio.wait_for(until_served(kubernetes, False), SECONDS)
        await asyncio.wait_for(until_begun(watches, 3), SECONDS)  # so it has looked for the kind in vain
        await asyncio.to_thread(kubectl, "apply", "-f", "-", stdin=manifest)
        await asyncio.wait_for(until_served(kubernetes, True), SECONDS)
        late: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "Latecomer", "metadata": {"name": "late"}}
        await asyncio.to_thread(kubectl, "create", "-f", "-", stdin=yaml.safe_dump(late))
        await asyncio.wait_for(seen.wait(), SECONDS)
    finally:
        await watches.stop()
        await kubernetes.close()
        await asyncio.to_thread(kubectl, "delete", "-f", "-", stdin=manifest)
