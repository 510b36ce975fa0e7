"""Real hypervisor hosts on one machine, each in namespaces of its own, that reach each other.

A host is a room (`contract.room.Room`): its own network, processes, host name and libvirtd. All of them are
plugged into one bridge, in one more network namespace. Files are the machine's: hosts share a directory
where both are given the same path.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contract.room import Room

_switches = itertools.count(1)
"""One process may have several sets of hosts at the same time."""
PREFIX = "10.211.0"
"""Of the hosts' addresses among each other; it exists in their namespaces alone."""


@dataclass
class Hosts:
    """Rooms on one switch."""

    directory: Path
    """Short, for unix sockets; removed with the hosts."""
    switch: str
    """The network namespace that the bridge is in."""
    rooms: list[Room] = field(default_factory=list)

    def add(self) -> Room:
        """Another host, up."""
        number = len(self.rooms) + 1
        directory = self.directory / f"h{number}"
        directory.mkdir()
        address = f"{PREFIX}.{number}"
        room = Room(directory, address=address, wire=lambda name: self._plug(name, number))
        self.rooms.append(room)
        room.hypervisor.start()
        return room

    def cut(self, room: Room) -> None:
        """Pull the host's cable: nobody reaches it and it reaches nobody."""
        self._set(room, "down")

    def join(self, room: Room) -> None:
        """Plug it in again."""
        self._set(room, "up")

    def _set(self, room: Room, state: str) -> None:
        port = f"host{self.rooms.index(room) + 1}"
        _ip("-n", self.switch, "link", "set", port, state)

    def _plug(self, namespace: str, number: int) -> None:
        port, address = f"host{number}", f"{PREFIX}.{number}/24"
        # That of a host which was started before goes with its namespace, but not at once.
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("-n", self.switch, "link", "delete", port)
        _ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "fabric", "netns", namespace)
        _ip("-n", self.switch, "link", "set", port, "master", "switch", "up")
        # A rebooted host has the network card that it had: the others remember its address.
        _ip("-n", namespace, "link", "set", "fabric", "address", f"52:54:00:fe:00:{number:02x}")
        _ip("-n", namespace, "address", "add", address, "dev", "fabric")
        _ip("-n", namespace, "link", "set", "fabric", "up")
        # QEMU hangs on disks that it copies to a host that has gone silent until TCP gives up: by default
        # after a quarter of an hour, which is more than a test has.
        retries = "echo 5 > /proc/sys/net/ipv4/tcp_retries2"
        _run("ip", "netns", "exec", namespace, "sh", "-c", retries)


@contextlib.contextmanager
def open_hosts(count: int = 2) -> Iterator[Hosts]:
    """That many hosts, gone afterwards with all guests in them."""
    switch = f"cairn-switch-{os.getpid()}-{next(_switches)}"
    with tempfile.TemporaryDirectory(prefix="cairn-") as directory:
        hosts = Hosts(Path(directory), switch)
        _ip("netns", "add", switch)
        try:
            _ip("-n", switch, "link", "add", "switch", "type", "bridge")
            _ip("-n", switch, "link", "set", "switch", "up")
            for _ in range(count):
                hosts.add()
            yield hosts
        finally:
            for room in hosts.rooms:
                room.hypervisor.stop()
            _ip("netns", "delete", switch)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
