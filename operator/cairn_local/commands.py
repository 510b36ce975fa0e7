"""`cairn up`, `down`, `clean` and `cloud-image`: a whole cloud on one machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from cairn_local.cluster import KubectlFailed, kubectl_of
from cairn_local.control_plane.binaries import ControlPlaneUnavailable
from cairn_local.control_plane.debian import DebianError
from cairn_local.hypervisor.room import HypervisorRoom, RoomError
from cairn_local.images import debian
from cairn_local.images.store import BuildError
from cairn_local.machine import Machine, image_manifest
from cairn_local.process import ProcessFailed
from cairn_local.progress import Progress
from cairn_local.settings import CONTEXT_VARIABLE, Home
from cairn_local.stack import ROOT
from cairn_local.status import not_root
from cairn_local.supervision import SupervisionError, Supervisor

EXAMPLES = ("project.yaml", "flavors.yaml", "network.yaml")
EXAMPLE_INSTANCE = "instance.yaml"
BOOT_SECONDS = 300.0
ERROR_SECONDS = 10.0
EXPECTED = (
    BuildError,
    ControlPlaneUnavailable,
    DebianError,
    KubectlFailed,
    ProcessFailed,
    RoomError,
    SupervisionError,
    TimeoutError,
    ValueError,
)
"""What can go wrong on a machine; the message says what to do, a traceback would not."""


def up(arguments: list[str]) -> int:
    """Set everything up, start it, boot the example; what is so already is left alone."""
    parser = argparse.ArgumentParser("cairn up", description="A whole cloud on this machine.")
    parser.add_argument(
        "--context",
        default=os.environ.get(CONTEXT_VARIABLE),
        help="use the cluster of this kubeconfig context instead of a local control plane",
    )
    parser.add_argument("--no-example", action="store_true", help="start everything, boot nothing")
    options = parser.parse_args(arguments)
    if refused := not_root("up"):
        return refused
    progress = Progress()
    try:
        machine = Machine(Home.from_environment(), progress, context=options.context)
        changed = machine.start()
        if not options.no_example:
            _boot_example(machine, progress)
    except EXPECTED as error:
        progress.console.print(f"[red]cairn up failed:[/red] {error}", markup=True)
        return 1
    _say_what_next(machine, progress, changed=changed)
    return 0


def cloud_image(arguments: list[str]) -> int:
    """Build a full Debian image with cloud-init and make it known as Image `debian`."""
    argparse.ArgumentParser("cairn cloud-image", description=cloud_image.__doc__).parse_args(arguments)
    if refused := not_root("cloud-image"):
        return refused
    home, progress = Home.from_environment(), Progress()
    try:
        built = debian.ensure_debian_image(progress.say)
        manifest = image_manifest("debian", built, debian.PROPERTIES)
        if not home.kubeconfig.exists():
            progress.say(f"built {built.path}; run `make up` and this again to make it known")
            return 0
        kubectl_of(home).run("apply", "-f", "-", stdin=json.dumps(manifest))
    except EXPECTED as error:
        progress.console.print(f"[red]cairn cloud-image failed:[/red] {error}", markup=True)
        return 1
    progress.say(
        "Image 'debian' is there; kubectl apply -f examples/debian.yaml boots it (a minute, emulated)"
    )
    return 0


def down(arguments: list[str]) -> int:
    """Stop exactly what `up` started. Instances, disks and the database stay."""
    argparse.ArgumentParser("cairn down", description=down.__doc__).parse_args(arguments)
    if refused := not_root("down"):
        return refused
    home, progress = Home.from_environment(), Progress()
    try:
        _stop(home, progress)
    except EXPECTED as error:
        progress.console.print(f"[red]cairn down failed:[/red] {error}", markup=True)
        return 1
    progress.say("stopped; `make up` starts it again with the same instances")
    return 0


def clean(arguments: list[str]) -> int:
    """Stop everything and remove all of its data."""
    argparse.ArgumentParser("cairn clean", description=clean.__doc__).parse_args(arguments)
    if refused := not_root("clean"):
        return refused
    home, progress = Home.from_environment(), Progress()
    try:
        _stop(home, progress)
        if home.root.exists():
            with progress.step(f"removing {home.root}"):
                shutil.rmtree(home.root)
    except (*EXPECTED, OSError) as error:
        progress.console.print(f"[red]cairn clean failed:[/red] {error}", markup=True)
        return 1
    progress.say("nothing of it is left (built images and programs stay in the user's cache folder)")
    return 0


def _stop(home: Home, progress: Progress) -> None:
    with progress.step("stopping Cairn, the guests and Kubernetes"):
        if home.root.exists():
            Supervisor(home.supervisor).stop()
            HypervisorRoom(home.room).stop()


def _boot_example(machine: Machine, progress: Progress) -> None:
    """Apply examples/ and wait for the instance, showing what it goes through."""
    run = machine.cluster.run
    image = machine.demo_image_manifest()
    run("apply", "-f", "-", stdin=json.dumps(image))
    for name in EXAMPLES:
        run("apply", "-f", str(ROOT / "examples" / name))
    run("wait", "--for=condition=Ready", "project/demo", "--timeout=60s")
    run("apply", "-f", "-", stdin=json.dumps(machine.key_pair_manifest()))
    run("apply", "-f", str(ROOT / "examples" / EXAMPLE_INSTANCE))
    shown: tuple[Any, ...] | None = None
    failed_at: float | None = None
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        body = json.loads(run("get", "instance", "web", "-n", "demo", "-o", "json"))
        state = body.get("status", {})
        now = (state.get("phase"), state.get("taskState"), state.get("host"), state.get("addressList"))
        if now != shown:
            progress.say("instance demo/web: " + _describe(state))
            shown = now
        if state.get("phase") != "Error":
            failed_at = None
        elif failed_at is None:
            failed_at = time.monotonic()  # it may be tried again: the host has only just come up
        elif time.monotonic() - failed_at > ERROR_SECONDS:
            raise TimeoutError(f"instance demo/web is in Error: {_message(state)}")
        if state.get("phase") in ("Active", "Stopped", "Paused", "Suspended") and not state.get("taskState"):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"instance demo/web did not become Active: {_message(state)}")
        time.sleep(0.2)


def _describe(state: dict[str, Any]) -> str:
    parts = [str(state.get("phase", "Pending"))]
    for name, key in (
        ("task", "taskState"),
        ("power", "powerState"),
        ("host", "host"),
        ("at", "addressList"),
    ):
        if state.get(key):
            parts.append(f"{name} {state[key]}")
    return ", ".join(parts)


def _message(state: dict[str, Any]) -> str:
    fault = state.get("fault", {}).get("message")
    conditions = "; ".join(
        f"{item['type']}: {item.get('message', '')}"
        for item in state.get("conditions", [])
        if item["status"] != "True"
    )
    return fault or conditions or "it has said nothing yet"


def _say_what_next(machine: Machine, progress: Progress, *, changed: bool) -> None:
    verb = "is up" if changed else "was up already, nothing changed"
    progress.say(f"Cairn {verb}")
    cairn = "sudo " * (os.environ.get("SUDO_UID") is not None) + str(Path(sys.executable).parent / "cairn")
    lines = [
        "",
        f"  export KUBECONFIG={machine.home.kubeconfig}" + machine.kubectl_hint(),
        "  kubectl get instances -A                       # what there is (add -w to watch)",
        f"  source {machine.home.openrc}             # then: openstack server list, image list …",
        "  kubectl describe instance web -n demo          # its conditions and its story",
        '  kubectl patch instance web -n demo --type merge -p \'{"spec":{"powerState":"Stopped"}}\'',
        f"  {cairn} console web -n demo         # its console log; -f attaches, Ctrl-] leaves",
        f"  {cairn} ssh web -n demo             # into the guest",
        f"  {cairn} status                      # processes and logs",
        "  make down                                      # stop (instances stay); make clean removes all",
        "",
    ]
    progress.console.print("\n".join(lines), markup=False)
