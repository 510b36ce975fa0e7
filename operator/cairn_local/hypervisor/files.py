"""Where a room keeps what, and how its libvirtd is configured."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

SOCKET_PATH_BYTES = 107
"""What the kernel takes as a unix socket's path."""

LIBVIRT_CONFIGURATION = Path("/etc/libvirt")

# Whoever can reach the socket rules the guests and, through them, files of the host: the sockets and the
# folder they are in are root's alone, which is why libvirt itself need not ask for anything.
# For tests of migration between rooms: anybody who reaches that address rules the guests.
_LISTENING = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
listen_addr = "{address}"
"""

_LIBVIRTD = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0700"
unix_sock_rw_perms = "0700"
unix_sock_admin_perms = "0700"
host_uuid = "{host_uuid}"
log_outputs = "3:stderr"
"""

# libvirt's own means of keeping guests apart (cgroups, namespaces, an AppArmor profile, a user of their own)
# want a systemd machine of theirs; here the room is what keeps them from it.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
"""


@dataclass(frozen=True)
class Record:
    """The room's first process, as the machine outside sees it."""

    pid: int
    started: int
    """Its start time in clock ticks after boot, which tells it from a later process of the same pid."""


class RoomFiles:
    """The data folder of one room."""

    def __init__(self, directory: Path, listen: str | None = None) -> None:
        """`listen`: see HypervisorRoom. Raises ValueError when libvirt's socket would have a path that is
        too long."""
        self.directory = directory.absolute()
        self._listen = listen
        self.bound = {
            Path("/etc/libvirt"): self.directory / "etc",
            Path("/var/lib/libvirt"): self.directory / "lib",
            Path("/var/cache/libvirt"): self.directory / "cache",
            Path("/var/log/libvirt"): self.directory / "log",
            Path("/run/libvirt"): self.directory / "run",
        }
        """Folders of libvirt, and what they are in the room."""
        self.run = self.directory / "run"
        self.socket = self.run / "libvirt-sock"
        self.log = self.directory / "log/room.log"
        self.lock = self.directory / "room.lock"
        """Locked as long as the room lives."""
        self._record = self.directory / "room.json"
        self._host_uuid = self.directory / "host-uuid"
        if len(os.fsencode(self.socket)) > SOCKET_PATH_BYTES:
            raise ValueError(f"{self.socket} is too long for a unix socket: choose a shorter data folder")

    @property
    def host_uuid(self) -> str:
        """libvirt's identity of this room as a host; made once."""
        if not self._host_uuid.exists():
            self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = self._host_uuid.with_suffix(".new")
            scratch.write_text(f"{uuid.uuid4()}\n")
            scratch.replace(self._host_uuid)
        return self._host_uuid.read_text().strip()

    def prepare(self) -> None:
        """Make the folders and configuration for a room that is about to start."""
        self.clean()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        for folder in self.bound.values():
            folder.mkdir(exist_ok=True)
            # Inside the room others than root read here too (dnsmasq); from outside nobody gets this far.
            folder.chmod(0o755)
        etc = self.bound[LIBVIRT_CONFIGURATION]
        configuration = _LIBVIRTD.format(host_uuid=self.host_uuid)
        if self._listen is not None:
            configuration += _LISTENING.format(address=self._listen)
        (etc / "libvirtd.conf").write_text(configuration)
        (etc / "qemu.conf").write_text(_QEMU)
        filters = LIBVIRT_CONFIGURATION / "nwfilter"
        if filters.is_dir() and not (etc / "nwfilter").exists():
            shutil.copytree(filters, etc / "nwfilter")

    def clean(self) -> None:
        """Remove what only a living room needs: sockets, pid files, run-time state."""
        self._record.unlink(missing_ok=True)
        if self.run.exists():
            shutil.rmtree(self.run)

    def write_record(self, record: Record) -> None:
        scratch = self._record.with_suffix(".new")
        scratch.write_text(json.dumps(asdict(record)))
        scratch.replace(self._record)

    def read_record(self) -> Record | None:
        """The room's first process; None before there is one."""
        try:
            return Record(**json.loads(self._record.read_text()))
        except FileNotFoundError:
            return None


def start_time(pid: int | str) -> int | None:
    """When a process started, as in `Record`; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(")")[2].split()[19])
