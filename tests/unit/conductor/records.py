"""Rows, Guests and Instances of tests, each with only what the test is about said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cairn_crds import Guest, Instance
from cairn_crds.instance import PowerState
from cairn_database import InstanceRecord, InterfaceRecord, TaskState, VmState

ID = "0f5a3c1e-1111-4222-8333-444455556666"
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SPEC: dict[str, Any] = {
    "flavor": "small",
    "image": "debian",
    "powerState": "Running",
    "reboot": {"generation": 0, "type": "Soft"},
    "metadata": {},
    "configDrive": True,
    "schedulerHints": {"differentHost": [], "sameHost": []},
}
BLUE = {"name": "blue", "id": "n-1", "cidr": "10.0.0.0/24", "mtu": 1400}
WITH_ADDRESS = (InterfaceRecord("blue", "10.0.0.7", "fa:16:3e:00:00:01", 0),)


def record(**changes: Any) -> InstanceRecord:
    """An active instance on host h1 with one address. `spec`: changes of what it was built from."""
    spec = {**SPEC, **changes.pop("spec", {})}
    values: dict[str, Any] = {
        "id": ID,
        "project": "acme",
        "namespace": "acme",
        "name": "web",
        "resource_uid": ID,
        "vm_state": VmState.ACTIVE,
        "task_state": None,
        "power_state": "Running",
        "host": "h1",
        "fencing_epoch": 3,
        "version": 7,
        "request": {"spec": spec, "networks": [BLUE], "generation": 1},
        "flavor": {"name": "small", "vcpus": 2, "memoryMiB": 512, "diskGiB": 5},
        "image": {"name": "debian", "url": "http://images/debian.qcow2", "sha256": "a" * 64},
        "key_pair": None,
        "group_id": None,
        "availability_zone": None,
        "hints": {},
        "interfaces": WITH_ADDRESS,
        "reboot_generation": 0,
        "attempts": 1,
        "excluded_hosts": (),
        "fault_code": None,
        "fault_message": None,
        "fault_at": None,
        "placement_message": None,
        "created_at": NOW,
        "updated_at": NOW,
        "launched_at": NOW,
        "terminated_at": None,
        "deleted_at": None,
        "request_id": None,
    }
    values |= changes
    return InstanceRecord(**{**values, "power_state": PowerState(values["power_state"])})


def building(task: TaskState = TaskState.SPAWNING, **changes: Any) -> InstanceRecord:
    """One that is being built."""
    values = {"vm_state": VmState.BUILDING, "task_state": task, "launched_at": None, "power_state": "NoState"}
    return record(**(values | changes))


def instance(**changes: Any) -> Instance:
    """The Instance of `record()`; `spec` and `metadata` are merged in."""
    metadata = {"name": "web", "namespace": "acme", "uid": ID, "generation": 1, "resourceVersion": "5"}
    body = {
        "metadata": metadata | changes.get("metadata", {}),
        "spec": {"flavor": "small", "image": "debian", **changes.get("spec", {})},
        "status": changes.get("status", {}),
    }
    found: Instance = Instance.from_api(body)
    return found


def guest(generation: int = 1, spec: dict[str, Any] | None = None, **status: Any) -> Guest:
    """The Guest of `record()`, with this status."""
    body = {
        "metadata": {"name": ID, "namespace": "cairn-node-h1", "uid": "g-1", "generation": generation},
        "spec": {
            "instance": {"namespace": "acme", "name": "web", "project": "acme"},
            "fencingEpoch": 3,
            "vcpus": 2,
            "memoryMiB": 512,
            "image": {"name": "debian", "url": "http://images/debian.qcow2", "sha256": "a" * 64},
            "config": {"hostname": "web"},
            **(spec or {}),
        },
        "status": status,
    }
    found: Guest = Guest.from_api(body)
    return found
