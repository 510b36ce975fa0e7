"""A libvirtd with real QEMU in network, mount and PID namespaces of its own."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

LIBVIRTD_CONF = """
unix_sock_dir = "{directory}"
unix_sock_rw_perms = "0700"
auth_unix_rw = "none"
host_uuid = "{host_uuid}"
"""
QEMU_CONF = """
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""
INIT = """
set -e
mount --make-rprivate /
for place in etc/libvirt var/lib/libvirt run/libvirt var/cache/libvirt var/log/libvirt; do
    mkdir -p "/$place" "$1/$place"
    mount --bind "$1/$place" "/$place"
done
ip link set lo up
touch "$1/ready"
while :; do wait; sleep 0.05; done
"""


class Room:
    """The namespaces, and the libvirtd in them that can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.namespace = f"cairn-test-{uuid.uuid4().hex[:8]}"
        self.uri = f"qemu+unix:///system?socket={directory}/libvirt-sock"
        self._init: subprocess.Popen[bytes] | None = None
        self._libvirtd: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        etc = self.directory / "etc/libvirt"
        etc.mkdir(parents=True)
        (etc / "libvirtd.conf").write_text(
            LIBVIRTD_CONF.format(directory=self.directory, host_uuid=uuid.uuid4())
        )
        (etc / "qemu.conf").write_text(QEMU_CONF)
        shutil.copytree("/etc/libvirt/nwfilter", etc / "nwfilter")
        subprocess.run(["ip", "netns", "add", self.namespace], check=True)
        self._init = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "unshare", "--mount", "--pid", "--fork", "--mount-proc"]
            + ["--kill-child", "bash", "-c", INIT, "init", str(self.directory)]
        )
        _wait_for(self.directory / "ready")
        self.start_libvirtd()

    def close(self) -> None:
        if self._init is not None:
            self._init.kill()
            self._init.wait()
        if self._libvirtd is not None:
            self._libvirtd.wait()
        subprocess.run(["ip", "netns", "delete", self.namespace], check=True)

    def run(self, *command: str) -> str:
        """The output of a command inside."""
        return subprocess.run(
            self._enter() + list(command), check=True, capture_output=True, text=True
        ).stdout

    def virsh(self, *command: str) -> str:
        return subprocess.run(
            ["virsh", "-c", self.uri, *command], check=True, capture_output=True, text=True
        ).stdout

    def start_libvirtd(self) -> None:
        socket = self.directory / "libvirt-sock"
        socket.unlink(missing_ok=True)
        log = (self.directory / "libvirtd.log").open("ab")
        with log:
            self._libvirtd = subprocess.Popen(
                [*self._enter(), "libvirtd", "-f", str(self.directory / "etc/libvirt/libvirtd.conf")],
                stdout=log,
                stderr=log,
            )
        _wait_for(socket)

    def kill_libvirtd(self) -> None:
        """kill -9."""
        for pid in self.run("pgrep", "-x", "libvirtd").split():
            self.run("kill", "-9", pid)
        assert self._libvirtd is not None
        self._libvirtd.wait()

    def qemu_pid(self, instance_id: str) -> int:
        """The guest's process, by its number inside."""
        return int((self.directory / f"run/libvirt/qemu/cairn-{instance_id}.pid").read_text())

    def is_qemu(self, pid: int) -> bool:
        return "qemu" in self.run("ps", "-o", "comm=", "-p", str(pid))

    def kill_qemu(self, instance_id: str) -> None:
        self.run("kill", "-9", str(self.qemu_pid(instance_id)))

    def _enter(self) -> list[str]:
        assert self._init is not None
        return ["nsenter", "--target", str(_child(self._init.pid)), "--mount", "--net", "--pid"]


@contextlib.contextmanager
def open_room() -> Iterator[Room]:
    """A room that is gone afterwards, with all guests in it."""
    # Unix sockets have short paths, which pytest's own temporary directories are not.
    with tempfile.TemporaryDirectory(prefix="cairn-") as directory:
        room = Room(Path(directory))
        try:
            room.open()
            yield room
        finally:
            room.close()


def missing_programs() -> list[str]:
    """What of the hypervisor is not installed here."""
    programs = ("libvirtd", "qemu-system-x86_64", "qemu-img", "dnsmasq", "ip", "nsenter", "virsh")
    return [program for program in programs if shutil.which(program) is None]


def _child(pid: int) -> int:
    """The process that runs inside the namespaces: the child of `unshare`."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _wait_for(path: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.02)
