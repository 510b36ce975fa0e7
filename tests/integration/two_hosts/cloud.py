"""A whole Cairn on two real hosts: conductor, scheduler, and an agent for each libvirtd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cairn_crds import Flavor, Image, Network
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.process import ProcessGroup, ProcessSpec
from cairn_local.stack import Stack
from contract.guests import COUNTING, write_image
from contract.room import Room
from integration.cloud.cairn import Cairn, condition
from integration.cloud.portal import Portal
from support.cloud import Cloud, cluster_of
from support.two_hosts import Hosts

NODES = ("h1", "h2")
FLAVOR = {"metadata": {"name": "tiny"}, "spec": {"vcpus": 1, "memoryMiB": 64}}
NETWORK = {"metadata": {"name": "blue"}, "spec": {"cidr": "10.78.0.0/24", "default": True}}


class TwoHosts:
    """The cloud, and its hosts by name."""

    def __init__(self, cairn: Cairn, hosts: Hosts, directory: Path) -> None:
        self.cairn = cairn
        self._rooms = dict(zip(NODES, hosts.rooms, strict=True))
        self._directory = directory

    def room(self, node: str) -> Room:
        """The host."""
        return self._rooms[node]

    def files(self, node: str, instance_id: str) -> Path:
        """What the host keeps of a machine."""
        return self._directory / node / "instances" / instance_id

    def domain_state(self, node: str, instance_id: str) -> str | None:
        """`running`, `shut off` …; None where the host's libvirt knows of none."""
        room = self.room(node)
        if instance_id not in room.virsh("list", "--all", "--uuid"):
            return None
        return room.virsh("domstate", instance_id).strip()

    def leftovers(self, node: str, instance_id: str) -> list[str]:
        """What the host still has of a machine."""
        found = [str(path) for path in (self._directory / node).rglob(f"*{instance_id}*")]
        state = self.domain_state(node, instance_id)
        return found if state is None else [*found, f"a machine that is {state}"]

    def reboot(self, node: str) -> None:
        """The host with all that runs on it goes down, and comes up again."""
        agent = f"agent-{node}"
        self.cairn.kill(agent)
        self.room(node).hypervisor.stop()
        boot_id = self._directory / node / "boot-id"
        boot_id.write_text(boot_id.read_text() + "again\n")
        self.room(node).hypervisor.start()
        self.cairn.start(agent)

    def counts(self, node: str, instance_id: str) -> list[int]:
        """What the guest has counted on that host."""
        return counted((self.files(node, instance_id) / "console.log").read_bytes())

    def counting(self, node: str, instance_id: str, more: int = 10) -> list[int]:
        """Until it has counted that much more there."""

        def look() -> list[int] | None:
            log = self.files(node, instance_id) / "console.log"
            found = counted(log.read_bytes()) if log.exists() else []
            return found if len(found) >= len(before) + more else None

        log = self.files(node, instance_id) / "console.log"
        before = counted(log.read_bytes()) if log.exists() else []
        result = self.cairn.wait(f"{instance_id} to count on {node}", look, 120)
        assert result is not None
        return result


def counted(log: bytes) -> list[int]:
    """The whole lines of a console log."""
    return [int(line, 16) for line in log.split(b"\r\n")[:-1] if line]


@contextmanager
def two_host_cloud(
    hosts: Hosts, plane: RunningControlPlane, portal: Portal, directory: Path
) -> Iterator[TwoHosts]:
    """Everything started, hosts up; the guests' image counts on its console."""
    stack = Stack(cluster_of(plane), directory / "data")
    stack.install()
    image = write_image(directory / "counting.img", COUNTING)
    with ProcessGroup([], directory / "logs") as processes:
        cairn = Cairn(plane, Cloud(stack, processes), portal, directory)
        processes.add(stack.conductor(conductor__sweep_seconds=2), start=False)
        processes.add(stack.scheduler(), start=False)
        cairn.start("conductor", "scheduler")
        stack.enrol(NODES)
        for node, room in zip(NODES, hosts.rooms, strict=True):
            cairn.cloud.wait_account(node)
            processes.add(_agent(stack, node, room, hosts.directory, directory), start=False)
            cairn.start(f"agent-{node}")
        for kind, body in ((Flavor, FLAVOR), (Network, NETWORK), (Image, _image(image))):
            cairn.api.create(kind, body)
        for node in NODES:
            cairn.wait(
                f"{node} up", lambda node=node: condition(cairn.node(node), "Up")["status"] == "True", 60
            )
        yield TwoHosts(cairn, hosts, directory)
        cairn.close()


def _image(image: Any) -> dict[str, Any]:
    spec = {"url": image.url, "sha256": image.sha256, "diskFormat": "raw"}
    return {"metadata": {"name": "demo"}, "spec": spec}


def _agent(stack: Stack, node: str, room: Room, short: Path, directory: Path) -> ProcessSpec:
    own = directory / node
    own.mkdir()
    (own / "boot-id").write_text("first\n")
    return stack.agent(
        [node],
        f"agent-{node}",
        agent__driver="libvirt",
        agent__heartbeat_seconds=2,
        agent__sweep_seconds=1,
        agent__graceful_seconds=0,
        agent__boot_id_file=own / "boot-id",
        agent__state_directory=own / "state",
        libvirt__uri=room.uri,
        libvirt__instances_directory=own / "instances",
        libvirt__images_directory=own / "images",
        libvirt__image_file_roots=json.dumps([str(directory)]),
        libvirt__run_directory=short / f"r{node}",
        libvirt__migration_uri=f"qemu+tcp://{room.address}/system",
    )
