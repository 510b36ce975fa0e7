"""A whole Cairn as a person has it: started by `cairn up`, in a folder of its own, with real guests."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from cairn_crds import API_VERSION, Instance
from cairn_local.hypervisor import HypervisorRoom
from cairn_local.settings import CONTEXT_VARIABLE, HOME_VARIABLE, Home
from cairn_local.status import all_ready, readiness
from cairn_local.supervision import Supervisor
from support.api import Api, Body, Refused
from support.waiting import until

T = TypeVar("T")
NAMESPACE = "demo"
KUBERNETES = frozenset({"etcd", "kube-apiserver", "kube-controller-manager"})
CAIRN = frozenset({"conductor", "scheduler", "gateway", "agent"})
PROCESSES = KUBERNETES | CAIRN | {"hypervisor", "watchdog"}
BOOT_SECONDS = 240.0
"""For a guest's userspace, under emulation on a busy machine."""
PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img", "dnsmasq", "ip", "nsenter", "virsh", "ssh")


class CommandFailed(AssertionError):
    """A command of Cairn's, or kubectl, ended as it should not; the message is its output."""


AWAY = (CommandFailed, Refused, ConnectionError)
"""What a look meets while the API server is on its way back."""


class MachineCloud:
    """The cloud of one CAIRN_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.room = HypervisorRoom(self.home.room)
        self.supervisor = Supervisor(self.home.supervisor)
        self.environment = {**os.environ, HOME_VARIABLE: str(home), "COLUMNS": "160"}
        self.environment.pop(CONTEXT_VARIABLE, None)
        self._api: tuple[int, Api] | None = None

    # Commands

    def argv(self, *arguments: str) -> list[str]:
        """The real command line."""
        return [sys.executable, "-m", "cairn_cli", *arguments]

    def cairn(self, *arguments: str, status: int = 0, seconds: float = 600.0) -> str:
        """What `cairn …` prints, both streams. Raises CommandFailed unless it ends with `status`."""
        done = subprocess.run(
            self.argv(*arguments),
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds,
        )
        if done.returncode != status:
            raise CommandFailed(f"cairn {' '.join(arguments)}: status {done.returncode}\n{done.stdout}")
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints, as the administrator. Raises CommandFailed."""
        program = shutil.which("kubectl") or str(self.home.programs / "kubectl")
        command = [program, f"--kubeconfig={self.home.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def virsh(self, *arguments: str) -> str:
        """What virsh prints, on the room's libvirt."""
        command = ["virsh", "--connect", self.room.uri, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def on_guest(self, name: str, command: str) -> str:
        """What a command prints on the guest, by `cairn ssh`."""
        return self.cairn("ssh", name, "--", command, seconds=120).strip()

    # Resources

    def apply(self, *manifests: Body) -> None:
        """kubectl apply."""
        self.kubectl("apply", "-f", "-", stdin="\n".join(map(json.dumps, manifests)))

    def resource(self, kind: str, name: str, **spec: Any) -> Body:
        """A manifest of one of Cairn's kinds."""
        metadata = {"name": name, **({"namespace": NAMESPACE} if kind == "Instance" else {})}
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    @property
    def api(self) -> Api:
        """The API server, as the administrator; anew after `cairn clean` and `cairn up`."""
        written = self.home.kubeconfig.stat().st_mtime_ns
        if self._api is None or self._api[0] != written:
            self._api = written, Api(self.home.kubeconfig)
        return self._api[1]

    def get(self, name: str) -> Body:
        """The Instance. Raises Refused where there is none."""
        return self.api.request("GET", Instance.kind_info.path(NAMESPACE, name))

    def exists(self, name: str) -> bool:
        """Whether there is such an Instance."""
        return self.api.get(Instance, name, NAMESPACE) is not None

    def patch(self, name: str, **spec: Any) -> None:
        """kubectl patch, of the Instance's spec."""
        body = json.dumps({"spec": spec})
        self.kubectl("patch", "instance", name, "-n", NAMESPACE, "--type=merge", "-p", body)

    def delete(self, name: str) -> None:
        """kubectl delete, until it is gone."""
        self.kubectl("delete", "instance", name, "-n", NAMESPACE, "--ignore-not-found", "--timeout=120s")

    def phase(self, name: str, phase: str, seconds: float = 120.0) -> Body:
        """The Instance once it shows `phase` and no task."""

        def look() -> Body | None:
            body = self.get(name)
            state = body.get("status", {})
            return body if state.get("phase") == phase and not state.get("taskState") else None

        return self.wait(f"{name} {phase}", look, seconds) or {}

    def events(self, name: str) -> list[tuple[str, str]]:
        """Reason and message of the Instance's events."""
        selector = f"involvedObject.kind%3DInstance,involvedObject.name%3D{name}"
        path = f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector={selector}"
        return [(event["reason"], event["message"]) for event in self.api.request("GET", path)["items"]]

    def told(self, name: str, reason: str, seconds: float = 30.0) -> str:
        """The message of an event with that reason."""

        def look() -> list[str]:
            return [message for found, message in self.events(name) if found == reason]

        return self.wait(f"event {reason} of {name}", look, seconds)[-1]

    # Guests

    def instance_id(self, name: str) -> str:
        """Its one id."""
        return str(self.get(name)["status"]["instanceId"])

    def console(self, instance_id: str) -> str:
        """The whole console log, as it is on disk."""
        path = self.home.instances / instance_id / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_console(self, instance_id: str, text: str, count: int = 1, seconds: float = BOOT_SECONDS) -> str:
        """The console log once it has `text`, `count` times."""

        def look() -> str:
            log = self.console(instance_id)
            return log if log.count(text) >= count else ""

        return self.wait(f"{text!r} on the console of {instance_id}", look, seconds)

    def boots(self, instance_id: str) -> int:
        """How often the guest has come up to its login, by its console log."""
        return self.console(instance_id).count("cairn-demo: ready")

    def qemu_pid(self, instance_id: str) -> int | None:
        """The guest's process, as seen from outside the room; None where it does not run."""
        pids = [pid for pid in _pids() if f"guest=cairn-{instance_id}" in _command_line(pid)]
        assert len(pids) <= 1, "at most one machine per instance"
        return pids[0] if pids else None

    def dhcp_entries(self, network: str = "default") -> str:
        """The DHCP entries of a guests' network, as it is and as it is stored; empty where none is."""
        name = f"cairn-{network}"
        if name not in self.virsh("net-list", "--all", "--name").split():
            return ""
        both = self.virsh("net-dumpxml", name) + self.virsh("net-dumpxml", "--inactive", name)
        # The rest of it counts who is connected, which others change meanwhile.
        return "\n".join(line.strip() for line in both.splitlines() if "<host " in line)

    # Processes

    def pids(self) -> dict[str, int | None]:
        """What is supervised, and its pid where it runs."""
        return {process.name: process.pid for process in self.supervisor.status()}

    def libvirtd_pid(self) -> int | None:
        """The room's libvirtd, as seen from outside."""
        inside = [pid for pid in children(self.room.pid or 0) if _comm(pid) == "libvirtd"]
        return inside[0] if inside else None

    def owned_pids(self) -> set[int]:
        """Every process that has to do with this folder or this room."""
        home, name = str(self.home.root), self.room.name
        words = (f"{home}/", f"={home}", name)
        found = {pid for pid in _pids() if any(word in _command_line(pid) for word in words)}
        return found - {os.getpid()}

    def settle(self, seconds: float = 180.0) -> None:
        """Wait until everything runs and is ready, by what `cairn status` shows (without starting it each
        time, which is most of a second of CPU)."""

        def look() -> bool:
            found = readiness(self.home)
            return all_ready(found) and {process.name for process, _missing in found} == PROCESSES

        self.wait("everything ready", look, seconds)

    # Waiting

    def wait(self, what: str, condition: Callable[[], T], seconds: float = 60.0) -> T:
        """Until `condition()` is true; its value. Fails with `what` and the end of the logs."""
        why = ""

        def look() -> T | None:
            nonlocal why
            try:
                return condition()
            except AWAY as error:
                why = str(error)
                return None

        found = until(what, look, seconds, lambda: f"{why}\n{self.tails()}")
        assert found is not None
        return found

    def tails(self) -> str:
        """The end of every process' log."""
        parts = []
        for name in ("conductor", "scheduler", "agent", "hypervisor"):
            log = self.home.supervisor / "logs" / f"{name}.log"
            if log.exists():
                lines = log.read_text(errors="replace").splitlines()[-12:]
                parts.append(f"--- {name}\n" + "\n".join(lines))
        return "\n".join(parts)


@contextlib.contextmanager
def machine_cloud() -> Iterator[MachineCloud]:
    """A folder for one cloud, not started; cleaned and gone afterwards, whatever has happened."""
    # Unix sockets have short paths, which pytest's own temporary directories are not.
    home = Path(tempfile.mkdtemp(prefix="ce2e-", dir="/tmp"))
    cloud = MachineCloud(home)
    try:
        yield cloud
    finally:
        cloud.cairn("clean")
        shutil.rmtree(home, ignore_errors=True)


def missing_programs() -> list[str]:
    """What of the hypervisor is not installed here."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def kill(pid: int | None) -> None:
    """kill -9."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    """The pids of a process' children."""
    return [int(child) for child in _read(f"/proc/{pid}/task/{pid}/children").split()]


def network_namespaces() -> set[str]:
    """The machine's named network namespaces."""
    return {path.name for path in Path("/run/netns").glob("*")}


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _command_line(pid: int) -> str:
    return _read(f"/proc/{pid}/cmdline").replace("\0", " ")


def _comm(pid: int) -> str:
    return _read(f"/proc/{pid}/comm").strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
