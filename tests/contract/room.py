"""Real QEMU in namespaces of its own, and what a test may do to its processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from cairn_local.hypervisor import HypervisorRoom

PROGRAMS = ("libvirtd", "qemu-system-x86_64", "qemu-img", "dnsmasq", "ip", "nsenter", "virsh")


class Room:
    """A HypervisorRoom of the tests."""

    def __init__(
        self, directory: Path, *, address: str | None = None, wire: Callable[[str], None] | None = None
    ) -> None:
        """`address`: of the room among others, which `wire` joins it to."""
        self.directory = directory
        self.address = address
        self.hypervisor = HypervisorRoom(directory / "room", shutdown_seconds=0, listen=address, wire=wire)
        self.uri = self.hypervisor.uri

    def run(self, *command: str, stdin: str | None = None) -> str:
        """The output of a command in the guests' network."""
        argv = self.hypervisor.exec_argv(command)
        return subprocess.run(argv, check=True, capture_output=True, text=True, input=stdin).stdout

    def virsh(self, *command: str) -> str:
        argv = ["virsh", "--connect", self.uri, *command]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def kill_libvirtd(self) -> None:
        """kill -9; the room starts it again."""
        self._signal_libvirtd(signal.SIGKILL)

    def _signal_libvirtd(self, number: signal.Signals) -> None:
        for pid in _children(self.hypervisor.pid):
            if _command(pid).startswith("libvirtd"):
                os.kill(pid, number)

    def qemu_pid(self, instance_id: str) -> int:
        """The guest's process, as seen from outside."""
        mine = os.readlink(f"/proc/{self.hypervisor.pid}/ns/net")
        pids = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"guest=cairn-{instance_id}".encode() in _read(path) and _network(path.parent) == mine
        ]
        assert len(pids) == 1
        return pids[0]

    def kill_qemu(self, instance_id: str) -> None:
        os.kill(self.qemu_pid(instance_id), signal.SIGKILL)


@contextlib.contextmanager
def open_room() -> Iterator[Room]:
    """A room that is gone afterwards, with all guests in it."""
    # Unix sockets have short paths, which pytest's own temporary directories are not.
    with tempfile.TemporaryDirectory(prefix="cairn-") as directory:
        room = Room(Path(directory))
        with room.hypervisor:
            yield room


def missing_programs() -> list[str]:
    """What of the hypervisor is not installed here."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def _children(pid: int | None) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> str:
    return _read(Path(f"/proc/{pid}/comm")).decode()


def _network(process: Path) -> str:
    try:
        return os.readlink(process / "ns/net")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
