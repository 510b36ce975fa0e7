"""One world: a small cloud whose processes are Cairn's own, made from a seed.

Everything that a process does to the outside goes through a gate (`mishaps.py`), so the same seed takes the
same way every time.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cairn_agent.drivers.api import DriverError
from cairn_agent.drivers.settings import FakeCapacity
from cairn_crds import API_VERSION, ComputeNode, Instance, Resource
from cairn_database import Database, DatabaseError
from cairn_runtime.health import Health
from cairn_runtime.kubernetes import KubernetesError
from cairn_runtime.peers import SECRETS, secret_of
from faults.world import settings
from faults.world.api import ApiServer
from faults.world.client import Connection, MemoryKubernetes, MemoryWatches
from faults.world.clock import BEGINNING, Clock
from faults.world.hypervisor import Host, HostDriver
from faults.world.loop import OWNER, VirtualLoop
from faults.world.mishaps import CALM, Faults, Gates, Weather
from faults.world.process import DEAD, PAUSED, Process
from faults.world.sql import Sql
from faults.world.transport import Wires, peer_of

Body = dict[str, Any]
PROJECT = "red"
LONGEST_RESTART = 4.0
OUTSIDE = (KubernetesError, DatabaseError, DriverError)
"""What a process may end with: what it stands on was not there."""


@dataclass(frozen=True)
class Shape:
    """How large the cloud is."""

    hosts: int = 3
    conductors: int = 2
    schedulers: int = 2
    vcpus: int = 16
    """Of each host."""
    memory_mib: int = 64 * 1024


class World:
    """The cloud, and the hands of the test in it. Made by `running`."""

    def __init__(self, loop: VirtualLoop, seed: int, shape: Shape, directory: Path) -> None:
        self.outside = contextvars.copy_context()
        self.loop = loop
        self.seed = seed
        self.shape = shape
        self.rng = random.Random(f"world {seed}")
        self.clock = Clock(loop, seed)
        self.faults = Faults(seed)
        self.gates = Gates(loop, self.faults, self.kill, self._pause_for_a_while)
        self.trace = self.gates.trace
        self.server = ApiServer(self._stamp, lambda: str(self.clock.new_uuid()))
        self.connection = Connection(self.server, self.gates, self.faults)
        self.sql = Sql(self.gates, self.faults)
        self.db: Database = self.sql.database()
        self.processes: dict[str, Process] = {}
        self.watches: dict[str, MemoryWatches] = {}
        """By process, of the running ones."""
        self.errors: list[str] = []
        """What the processes did not expect."""
        self.keeps_alive = True
        """Whether a process that ends is started again, as a kubelet would."""
        self.wires = Wires(self.gates, lambda name: self.hosts[name].driver, self._answers)
        self.lost_hosts: set[str] = set()
        """Those that are off until `find_host`."""
        capacity = FakeCapacity(vcpus=shape.vcpus, memory_mib=shape.memory_mib, disk_gib=1000)
        self.hosts = {
            name: Host(name, capacity, self.gates, directory, self.wires)
            for name in (f"node-{number}" for number in range(shape.hosts))
        }
        shared: dict[tuple[str, str], dict[str, Any]] = {}
        for host in self.hosts.values():
            host.driver.volumes._known = shared  # local ones are kept by host, the others all see
        self.names = [
            *(f"conductor-{number}" for number in range(shape.conductors)),
            *(f"scheduler-{number}" for number in range(shape.schedulers)),
            *(f"agent-{name}" for name in self.hosts),
        ]

    def _stamp(self) -> str:
        at = BEGINNING + timedelta(seconds=self.loop.now)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    # Processes

    async def start_all(self) -> None:
        """The database, the catalog, every process; the cloud is ready afterwards."""
        await self.db.open()
        for body in settings.catalog(PROJECT, list(self.hosts)):
            self.create(body)
        for name in self.names:
            if not name.startswith("agent-"):
                self.start(name)
        namespaces = [PROJECT, settings.CANARIES, *(f"cairn-node-{name}" for name in self.hosts)]
        await self.until(
            lambda: all(self.server.body("namespaces", "", name) for name in namespaces), "the namespaces"
        )
        for name in self.hosts:
            self.server.request("POST", SECRETS, secret_of(name, peer_of(name)))
            self.start(f"agent-{name}")
        await self.until(self._has_room, "hosts with room")

    def _answers(self, node: str) -> bool:
        agent = self.processes.get(f"agent-{node}")
        return agent is not None and agent.state is None

    def _has_room(self) -> bool:
        rows = self.sql.raw.execute("SELECT vcpus_limit FROM compute_nodes").fetchall()
        return len(rows) == len(self.hosts) and all(limit > 0 for (limit,) in rows)

    def start(self, name: str) -> Process:
        """Start it, unless it runs."""
        running = self.processes.get(name)
        if running is not None and (not running.is_dead or name.removeprefix("agent-") in self.lost_hosts):
            return running
        process = Process(name, running.life + 1 if running else 1)
        process.context.run(OWNER.set, process)
        process.skew = running.skew if running else 0.0
        self.processes[name] = process
        app, loaded = settings.of_process(name, self.hosts)
        self.trace.add(f"start {process}")

        async def live() -> None:
            try:
                await app.run(loaded, Health(), process.stop)
            except Exception as error:  # noqa: BLE001 - a process may end so; it is started again
                if process.is_dead:
                    return
                self.trace.add(f"ended: {type(error).__name__}: {error}")
                if not isinstance(error, OUTSIDE):
                    self.errors.append(f"{process} ended: {type(error).__name__}: {error}")
            self.loop.call_soon(self._bury, process, context=self.outside)

        process.context.run(self.loop.create_task, live())
        return process

    def kill(self, process: Process) -> None:
        """kill -9, at this very point."""
        if process.is_dead:
            return
        self.trace.add(f"killed {process}")
        self._bury(process)

    def _bury(self, process: Process) -> None:
        if process.is_dead:
            return
        process.state = DEAD
        if process.name.startswith("agent-"):
            self.wires.hang_up(process.name.removeprefix("agent-"))
        self.watches.pop(process.name, None)
        self.loop.call_soon(process.reap, context=self.outside)
        if self.keeps_alive:
            pause = self.rng.uniform(0.2, LONGEST_RESTART)
            self.loop.call_later(pause, self.start, process.name, context=self.outside)

    async def end(self, name: str) -> None:
        """SIGTERM: it ends in order."""
        process = self.processes[name]
        if process.state is PAUSED:
            self.loop.resume(process)
        process.stop.set()
        await self.until(lambda: process.is_dead, f"the end of {process}", 120.0)

    def pause(self, process: Process) -> None:
        """SIGSTOP."""
        if process.state is None:
            self.trace.add(f"paused {process}")
            process.state = PAUSED

    def resume(self, process: Process) -> None:
        """SIGCONT."""
        if process.state is PAUSED:
            self.trace.add(f"resumed {process}")
            self.loop.resume(process)

    def _pause_for_a_while(self, process: Process) -> None:
        self.pause(process)
        self.loop.call_later(self.rng.uniform(1.0, 30.0), self.resume, process, context=self.outside)

    def alive(self, prefix: str = "") -> list[Process]:
        """The processes that run (or are paused) whose names begin so."""
        found = self.processes.values()
        return [process for process in found if not process.is_dead and process.name.startswith(prefix)]

    def lose_host(self, name: str) -> None:
        """It goes off, with all that runs on it, and stays off."""
        self.lost_hosts.add(name)
        self.reboot_host(name)

    def find_host(self, name: str) -> None:
        """It comes back, and the administrator takes back that it was down."""
        if name in self.lost_hosts:
            self.lost_hosts.discard(name)
            self.trace.add(f"host {name} is back")
            self.start(f"agent-{name}")
            self.change(ComputeNode, name, {"spec": {"forcedDown": False}})

    # What the modules get in place of their connections

    def new_kubernetes(self, wanted: Any) -> MemoryKubernetes:
        """`Kubernetes(settings)`."""
        return MemoryKubernetes(wanted, self.connection)

    def new_database(self, *_arguments: Any) -> Database:
        """`Database(url)`."""
        return self.sql.database()

    def new_watches(self, *arguments: Any, **options: Any) -> MemoryWatches:
        """`Watches(kubernetes, stores, …)`."""
        watches = MemoryWatches(*arguments, **options)
        process = OWNER.get()
        assert process is not None
        watches.process = process
        self.watches[process.name] = watches
        return watches

    def new_driver(self, *_arguments: Any) -> HostDriver:
        """`load_driver(name, settings)`."""
        process = OWNER.get()
        assert process is not None
        return HostDriver(self.hosts[process.name.removeprefix("agent-")], process)

    # The API, for people: nothing goes wrong here

    def create(self, body: Body) -> Body:
        """kubectl create."""
        kind, metadata = body["kind"].lower() + "s", body["metadata"]
        where = f"/namespaces/{metadata['namespace']}" if "namespace" in metadata else ""
        self.trace.add(f"create {kind} {metadata['name']}")
        return self.server.request("POST", f"/apis/{API_VERSION}{where}/{kind}", body)

    def change(self, kind: type[Resource], name: str, patch: Body, namespace: str = PROJECT) -> Body:
        """kubectl patch --type=merge."""
        self.trace.add(f"patch {kind.kind_info.plural} {name} {patch}")
        where = namespace if kind.kind_info.scope == "Namespaced" else None
        return self.server.request("PATCH", kind.kind_info.path(where, name), patch)

    def remove(self, kind: type[Resource], name: str, namespace: str = PROJECT) -> None:
        """kubectl delete --wait=false."""
        self.trace.add(f"delete {kind.kind_info.plural} {name}")
        where = namespace if kind.kind_info.scope == "Namespaced" else None
        self.server.request("DELETE", kind.kind_info.path(where, name))

    def instance(self, name: str) -> Body | None:
        """An Instance of the project."""
        return self.server.body("instances", PROJECT, name)

    def new_instance(self, name: str, namespace: str = PROJECT, **spec: Any) -> Body:
        """Create an Instance; its id is its uid."""
        body = {
            "apiVersion": API_VERSION,
            "kind": Instance.kind_info.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"flavor": "small", "image": "demo", **spec},
        }
        return self.create(body)

    # Mishaps on a large scale

    def set_weather(self, weather: Weather) -> None:
        """From now on."""
        self.faults.weather = weather

    def heal(self) -> None:
        """Everything runs, and nothing goes wrong any more."""
        self.set_weather(CALM)
        self.faults.orders.clear()
        self.sql.start()
        self.connection.start()
        for watches in self.watches.values():
            watches.silent = False
        self.connection.break_streams()
        for process in self.alive():
            process.skew = 0.0
            self.resume(process)
        for name in list(self.lost_hosts):
            self.find_host(name)
        for name in self.names:
            self.start(name)
        for name in self.hosts:
            self.change(ComputeNode, name, {"spec": {"disabled": False}})

    def reboot_host(self, name: str) -> None:
        """The host goes down with all that runs on it, and comes up again."""
        agent = self.processes.get(f"agent-{name}")
        if agent is not None:
            self.kill(agent)
        self.trace.add(f"reboot host {name}")
        self.hosts[name].boot()

    # Waiting

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
        """Until it is true; its value. Raises AssertionError after `seconds` of the world's time."""
        deadline = self.loop.now + seconds
        while not (value := condition()):
            if self.loop.now > deadline:
                raise AssertionError(f"not within {seconds:.0f} s: {what}")
            await asyncio.sleep(0.05)
        return value

    async def end_all(self) -> None:
        """Kill everything; nothing is left of any process."""
        self.keeps_alive = False
        for process in self.alive():
            self.kill(process)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for host in self.hosts.values():
            await host.driver.close()
