"""Rooms and guests for the tests of the local hypervisor."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from cairn_local.hypervisor import HypervisorRoom, namespaces

from .guests import Lab

BARE_GUEST = """
<domain type="qemu">
  <name>{name}</name><uuid>{uuid}</uuid><memory unit="MiB">64</memory>
  <os><type machine="pc">hvm</type></os>
  <devices><memballoon model="none"/></devices>
</domain>
"""


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="cairn-room-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def room(short_path: Path) -> Iterator[HypervisorRoom]:
    """A room that has been started; its name is its own, so tests can run side by side."""
    room = HypervisorRoom(short_path / "room", shutdown_seconds=1)
    with room:
        yield room


def connect(room: HypervisorRoom) -> libvirt.virConnect:
    libvirt.registerErrorHandler(lambda *_: None, None)
    return libvirt.open(room.uri)


def start_bare_guest(room: HypervisorRoom) -> str:
    """A guest that only sits in its firmware. Returns its name."""
    identity = str(uuid.uuid4())
    connection = connect(room)
    connection.createXML(BARE_GUEST.format(name=f"bare-{identity}", uuid=identity))
    connection.close()
    return f"bare-{identity}"


def processes_in(room: HypervisorRoom) -> dict[int, str]:
    """Pid (as seen from outside) and command line of everything in the room's network."""
    lines: dict[int, str] = {}
    for pid in namespaces.processes(room.name):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return lines


def pid_of(room: HypervisorRoom, program: str, argument: str = "") -> int:
    """The one process in the room that runs `program` (with `argument` on its command line)."""
    (pid,) = (
        pid
        for pid, line in processes_in(room).items()
        if line.split(" ")[0].endswith(program) and argument in line
    )
    return pid


@pytest.fixture
def lab(room: HypervisorRoom, short_path: Path) -> Iterator[Lab]:
    """A room with a network, ready for guests."""
    connection = connect(room)
    yield Lab(room, short_path, connection)
    connection.close()


@pytest.fixture(scope="package")
def ssh_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; the public one lies beside it."""
    key = tmp_path_factory.mktemp("ssh") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key], check=True)
    return key
