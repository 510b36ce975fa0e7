"""The guests' room: it comes up, keeps its guests through crashes, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from cairn_local.hypervisor import HypervisorRoom, RoomError
from cairn_local.process import ProcessGroup
from cairn_local.waiting import wait_until

from .conftest import connect, pid_of, processes_in, start_bare_guest

pytestmark = pytest.mark.qemu

QEMU = "qemu-system-x86_64"


def network_of_this_machine() -> str:
    return subprocess.run(["ip", "-brief", "link"], capture_output=True, text=True, check=True).stdout


def inside(room: HypervisorRoom, *command: str) -> str:
    """The output of a command that is run in the room's network."""
    return subprocess.run(room.exec_argv(command), capture_output=True, text=True, check=True).stdout


def test_it_comes_up_once_with_an_identity_of_its_own(room: HypervisorRoom) -> None:
    connection = connect(room)
    assert connection.getHostname() == room.name
    assert room.host_uuid in connection.getCapabilities()
    assert not room.start()
    assert room.running


def test_its_network_is_not_the_machines(room: HypervisorRoom) -> None:
    before = network_of_this_machine()
    network = "<network><name>n</name><bridge name='cairn0'/><ip address='10.77.0.1' prefix='24'/></network>"
    connect(room).networkCreateXML(network)
    inside = subprocess.run(
        room.exec_argv(["ip", "-brief", "addr"]), capture_output=True, text=True, check=True
    )
    assert "10.77.0.1/24" in inside.stdout
    assert network_of_this_machine() == before


def test_only_root_may_talk_to_libvirt(room: HypervisorRoom) -> None:
    assert room.files.directory.stat().st_mode & 0o077 == 0
    assert room.files.socket.stat().st_mode & 0o077 == 0


def test_guests_outlive_a_killed_libvirtd(room: HypervisorRoom) -> None:
    name = start_bare_guest(room)
    guest, libvirtd = pid_of(room, QEMU, name), pid_of(room, "libvirtd")
    os.kill(libvirtd, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{libvirtd}").exists(), "the old libvirtd to go")
    wait_until(lambda: room.process_spec().ready() is None, "a new libvirtd")  # type: ignore[misc]
    domain = connect(room).lookupByName(name)
    assert domain.isActive()
    assert pid_of(room, QEMU, name) == guest
    domain.suspend()
    domain.resume()


def test_guests_outlive_what_supervises_the_room(short_path: Path) -> None:
    room = HypervisorRoom(short_path / "room", shutdown_seconds=1)
    with ProcessGroup([room.process_spec()], short_path / "logs") as group:
        name = start_bare_guest(room)
        guest, first = pid_of(room, QEMU, name), room.pid
        group["hypervisor"].kill()
        assert room.running
        group["hypervisor"].start()
        wait_until(lambda: "taken over" in group["hypervisor"].log.read_text(), "the room to be taken over")
        assert room.pid == first
        assert pid_of(room, QEMU, name) == guest
    assert not room.running
    assert not Path(f"/proc/{guest}").exists()


def test_a_room_that_ends_by_itself_is_reported(short_path: Path) -> None:
    room = HypervisorRoom(short_path / "room")
    with ProcessGroup([room.process_spec()], short_path / "logs") as group:
        first = room.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert group["hypervisor"].wait_ended(20) == 1
        group["hypervisor"].start()
        assert room.running
        assert room.pid != first


def test_stopping_leaves_no_process_no_namespace_and_no_socket(room: HypervisorRoom) -> None:
    start_bare_guest(room)
    pids = list(processes_in(room))
    assert len(pids) >= 3
    assert room.stop()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert not (Path("/run/netns") / room.name).exists()
    assert not room.files.run.exists()
    assert not room.stop()


def test_domains_stay_defined_over_a_restart(room: HypervisorRoom) -> None:
    connection = connect(room)
    connection.defineXML("<domain type='qemu'><name>kept</name><memory>65536</memory>"
                         "<os><type>hvm</type></os></domain>")  # fmt: skip
    connection.close()
    identity = room.host_uuid
    room.stop()
    room.start()
    assert connect(room).lookupByName("kept").isActive() == 0
    assert room.host_uuid == identity


def test_it_starts_over_what_a_crashed_machine_left(short_path: Path) -> None:
    room = HypervisorRoom(short_path / "room")
    room.files.prepare()
    subprocess.run(["ip", "netns", "add", room.name], check=True)
    (room.files.directory / "room.json").write_text('{"pid": 1, "started": 1}')
    room.files.run.mkdir(exist_ok=True)
    (room.files.run / "libvirtd.pid").write_text("1")
    room.files.socket.touch()
    with room:
        assert connect(room).getHostname() == room.name


def test_a_name_that_others_use_is_left_alone(short_path: Path, room: HypervisorRoom) -> None:
    other = HypervisorRoom(short_path / "other", room.name)
    with pytest.raises(RoomError, match="is in use by processes"):
        other.start()
    other.stop()
    assert connect(room).getHostname() == room.name


def test_a_path_too_long_for_a_socket_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="choose a shorter data folder"):
        HypervisorRoom(tmp_path / ("long" * 30))


def test_two_rooms_can_be_joined(short_path: Path, room: HypervisorRoom) -> None:
    with HypervisorRoom(short_path / "second") as second:
        ends = ("peer", "netns", room.name, "type", "veth", "peer", "peer", "netns", second.name)
        subprocess.run(["ip", "link", "add", *ends], check=True)
        for each, address in ((room, "10.78.0.1/24"), (second, "10.78.0.2/24")):
            inside(each, "ip", "address", "add", address, "dev", "peer")
            inside(each, "ip", "link", "set", "peer", "up")
        ping = ("busybox", "ping", "-c", "1", "-w", "10", "10.78.0.2")
        assert "1 packets received" in inside(room, *ping)
