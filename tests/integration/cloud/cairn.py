"""A running Cairn in the hands of a test: its API, its books, its machines, its processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from cairn_crds import ComputeNode, Guest, HostAggregate, Instance, Project
from cairn_crds.guest import node_namespace
from cairn_database import Database, InstanceRecord, audit, instances, tables
from cairn_local.control_plane.running import RunningControlPlane
from cairn_local.process import ChildProcess
from integration.cloud.portal import Portal
from support.api import Body
from support.cloud import Cloud
from support.waiting import until

T = TypeVar("T")
DEADLINE = 45.0
CLEAN_SECONDS = 20.0
UNLIMITED = {"instances": -1, "cores": -1, "memoryMiB": -1}


class Cairn:
    """One Cairn with the fake driver over a real API server."""

    def __init__(self, plane: RunningControlPlane, cloud: Cloud, portal: Portal, machines: Path) -> None:
        self.plane = plane
        self.cloud = cloud
        self.portal = portal
        self.machines = machines
        self.kubectl = plane.kubectl
        self.api = cloud.api
        self.db = Database(cloud.stack.database_url)
        portal.call(self.db.open())

    def close(self) -> None:
        """Disconnect."""
        self.portal.call(self.db.close())

    # Waiting

    def wait(self, what: str, condition: Callable[[], T], seconds: float = DEADLINE) -> T:
        """Until `condition()` is true; its value. Fails with `what`, and the end of every log."""
        return until(what, condition, seconds, self.cloud.tails)

    # Processes

    def process(self, name: str) -> ChildProcess:
        """One of Cairn's processes."""
        return self.cloud.processes[name]

    def kill(self, *names: str) -> None:
        """kill -9."""
        for name in names:
            self.process(name).kill()

    def start(self, *names: str) -> None:
        """Start what does not run, and wait until it is ready."""
        for name in names:
            self.process(name).start(wait=False)
        for name in names:
            self.process(name).wait_ready()

    @contextmanager
    def settings(self, name: str, **settings: object) -> Iterator[ChildProcess]:
        """The process with other settings meanwhile. It is left dead: `start` brings the usual one back."""
        child = self.process(name)
        usual = child.spec
        child.kill()
        environment = {f"CAIRN_{key.upper()}": str(value) for key, value in settings.items()}
        child.spec = replace(usual, env={**usual.env, **environment})
        try:
            child.start()
            yield child
        finally:
            child.kill()
            child.spec = usual

    def agent_stuck_at(self, name: str, call: str, **settings: object) -> Any:
        """The agent, as one that will never come out of the driver's `call`."""
        latency = json.dumps({call: 3600})
        return self.settings(name, fake__latency_seconds=latency, agent__patience_seconds=0, **settings)

    def revive(self) -> None:
        """Everything runs as it should."""
        self.plane.group.start()
        for child in self.cloud.processes:
            if child.running:
                child.thaw()
        self.start(*[child.spec.name for child in self.cloud.processes if not child.running])

    # Resources

    def zone(self, node: str) -> None:
        """An availability zone `node` that is this node alone."""
        spec = {"hosts": [node], "availabilityZone": node}
        self.api.create(HostAggregate, {"metadata": {"name": f"zone-{node}"}, "spec": spec})

    def guest(self, instance_id: str) -> Body | None:
        """The Guest of an instance, in whichever namespace."""
        return next((g for g in self.api.list(Guest) if g["metadata"]["name"] == instance_id), None)

    def guest_on(self, node: str, instance_id: str) -> Body | None:
        """The Guest of an instance on that node."""
        return self.api.get(Guest, instance_id, node_namespace(node))

    def node(self, name: str) -> Body:
        """A ComputeNode."""
        found = self.api.get(ComputeNode, name)
        assert found is not None
        return found

    # Books

    def sql(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a function of cairn_database returns."""
        return self.portal.call(coroutine)

    def row(self, instance_id: str) -> InstanceRecord:
        """The instance's row."""
        return self.sql(instances.get(self.db, instance_id))

    def findings(self) -> list[str]:
        """What is wrong in the books."""
        return self.sql(audit.findings(self.db))

    def ids_of(self, namespace: str) -> dict[str, bool]:
        """Every instance that ever was in a namespace: its id, and whether it lives."""
        table = tables.instances

        def query(conn: sa.Connection) -> dict[str, bool]:
            rows = conn.execute(sa.select(table.c.id, table.c.deleted).where(table.c.namespace == namespace))
            return {row.id: row.deleted == tables.LIVE for row in rows}

        return self.sql(self.db.read(query))

    # Machines

    def machine(self, instance_id: str) -> Body | None:
        """What the hypervisor keeps of a machine; fails where two hosts have it."""
        files = list(self.machines.glob(f"*/{instance_id}.json"))
        assert len(files) <= 1, f"two machines of one instance: {files}"
        try:
            found: Body = json.loads(files[0].read_text()) if files else {}
        except FileNotFoundError:
            return None
        return found or None

    def machine_on(self, node: str, instance_id: str) -> Body | None:
        """What one node's hypervisor keeps of a machine; of one that moves, two may have something."""
        try:
            found: Body = json.loads((self.machines / node / f"{instance_id}.json").read_text())
        except FileNotFoundError:
            return None
        return found


class Tenant:
    """A project, and short ways to do things in its namespace."""

    def __init__(self, cairn: Cairn, name: str, **quotas: int) -> None:
        self.cairn = cairn
        self.namespace = name
        self.api = cairn.api
        self.api.create(Project, {"metadata": {"name": name}, "spec": {"quotas": {**UNLIMITED, **quotas}}})

        def ready() -> bool:
            project = self.api.get(Project, name)
            return condition(project or {}, "Ready")["status"] == "True"

        cairn.wait(f"project {name}", ready)

    def create(self, name: str = "vm", **spec: Any) -> str:
        """An Instance; returns its id."""
        body = {
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"flavor": "tiny", "image": "demo", **spec},
        }
        uid: str = self.api.create(Instance, body)["metadata"]["uid"]
        return uid

    def boot(self, name: str = "vm", **spec: Any) -> str:
        """An Instance that is Active; returns its id."""
        self.create(name, **spec)
        instance_id: str = self.phase("Active", name)["status"]["instanceId"]
        return instance_id

    def find(self, name: str = "vm") -> Body | None:
        """The Instance, or None."""
        return self.api.get(Instance, name, self.namespace)

    def get(self, name: str = "vm") -> Body:
        """The Instance."""
        found = self.find(name)
        assert found is not None, f"{self.namespace}/{name} is gone"
        return found

    def patch(self, name: str = "vm", **spec: Any) -> Body:
        """Edit the Instance's spec."""
        return self.api.patch(Instance, name, self.namespace, {"spec": spec})

    def delete(self, name: str = "vm") -> None:
        """Ask for the Instance's deletion."""
        self.api.delete(Instance, name, self.namespace)

    def phase(self, phase: str, name: str = "vm", seconds: float = DEADLINE) -> Body:
        """Until the Instance shows `phase`."""
        return self.until(lambda body: body["status"].get("phase") == phase, f"{name} {phase}", name, seconds)

    def until(
        self, condition_: Callable[[Body], Any], what: str, name: str = "vm", seconds: float = DEADLINE
    ) -> Body:
        """Until the Instance is so."""

        def look() -> Body | None:
            body = self.find(name)
            return body if body and "status" in body and condition_(body) else None

        found = self.cairn.wait(f"{self.namespace}: {what}", look, seconds)
        assert found is not None
        return found

    def refused(self, type_: str, reason: str, name: str = "vm") -> str:
        """Until that condition is False for that reason; its message."""

        def is_so(body: Body) -> bool:
            shown = condition(body, type_)
            return shown["status"] == "False" and shown["reason"] == reason

        message: str = condition(self.until(is_so, f"{type_}: {reason}", name), type_)["message"]
        return message

    def gone(self, name: str = "vm") -> None:
        """Until the Instance is gone."""
        self.cairn.wait(f"{self.namespace}/{name} to go", lambda: self.find(name) is None)

    def told(self, reason: str, name: str = "vm") -> Body:
        """Until an event of that reason is told of the Instance; the event."""

        def look() -> Body | None:
            return next((event for event in self.events(name) if event["reason"] == reason), None)

        found = self.cairn.wait(f"event {reason} of {name}", look)
        assert found is not None
        return found

    def events(self, name: str = "vm") -> list[Body]:
        """The Instance's events."""
        items = self.api.request("GET", f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [event for event in items if event["involvedObject"]["name"] == name]

    def clear(self) -> None:
        """Delete everything, and fail where anything is left of it."""
        cairn, namespace = self.cairn, self.namespace
        for instance in self.api.list(Instance, namespace):
            self.delete(instance["metadata"]["name"])
        cairn.wait(f"{namespace} to be empty", lambda: not self.api.list(Instance, namespace))
        found: list[str] = []

        def is_clean() -> bool:
            found[:] = self.leftovers()
            return not found

        try:
            cairn.wait(f"nothing of {namespace} to be left", is_clean, CLEAN_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"left over: {found}") from error
        self.api.delete(Project, namespace)

    def leftovers(self) -> list[str]:
        """What is left of this project's instances, once they have been deleted."""
        ids = self.cairn.ids_of(self.namespace)
        machines = {path.stem for path in self.cairn.machines.glob("*/*.json")}
        guests = {guest["metadata"]["name"] for guest in self.api.list(Guest)}
        return [
            *(f"row {instance_id} lives" for instance_id, lives in ids.items() if lives),
            *(f"machine {instance_id}" for instance_id in machines & ids.keys()),
            *(f"guest {instance_id}" for instance_id in guests & ids.keys()),
            *self.cairn.findings(),
        ]


def condition(body: Body, type_: str) -> Body:
    """A resource's condition; one that says nothing where there is none."""
    conditions = body.get("status", {}).get("conditions", [])
    nothing = {"status": "", "reason": "", "message": ""}
    return next((item for item in conditions if item["type"] == type_), nothing)
