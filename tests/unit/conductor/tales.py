"""A task of several steps, told from one step to the next."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from cairn_crds import Guest
from cairn_crds.guest import node_namespace
from cairn_crds.guest_operation import OperationKind
from cairn_database import InstanceRecord, TaskState, VmState
from cairn_database.records import Move, MoveKind, Operation
from cairn_database.steps import UNCHANGED, Step
from cairn_operator.conductor.flows import FLOWS, Next, Situation
from cairn_operator.conductor.guest_spec import build_spec, guests_of
from unit.conductor.records import guest, record

MOVE = "aaaaaaaa-1111-4222-8333-444455556666"
LARGE = {"name": "large", "vcpus": 4, "memoryMiB": 1024, "diskGiB": 9}
SMALL = {"name": "small", "vcpus": 2, "memoryMiB": 512, "diskGiB": 5}


def moving(kind: MoveKind, task: TaskState, **changes: Any) -> InstanceRecord:
    """An instance on h1 that is to move to h2."""
    resize = {"old_flavor": SMALL, "new_flavor": LARGE} if kind is MoveKind.RESIZE else {}
    values: dict[str, Any] = {"destination": "h2", **resize, **changes.pop("move", {})}
    source = None if kind is MoveKind.UNSHELVE else "h1"
    move = Move(MOVE, kind, source, changes.pop("was", VmState.ACTIVE), **values)
    return record(task_state=task, move=move, **changes)


class Tale:
    """A row, and what the hosts say: `goes` takes the next step and gives it back."""

    def __init__(self, row: InstanceRecord) -> None:
        self.row = row
        self.says: dict[str, dict[str, Any]] = {}
        self.given: dict[str, Any] = {}

    def host(self, name: str, **status: Any) -> Tale:
        """The Guest on that host has this status; without any, there is none."""
        if status:
            self.says[name] = status
        else:
            self.says.pop(name, None)
        return self

    def ready(self, name: str, power: str = "Running", **status: Any) -> Tale:
        """The host has done everything that its Guest says."""
        return self.host(name, phase="Ready", specGeneration=1, powerState=power, **status)

    def done(self, name: str, power: str = "Running", **result: str) -> Tale:
        """And the row's operation with it."""
        operation = {"id": self.operation.id, "phase": "Done", "result": result}
        return self.ready(name, power, operation=operation)

    def failed(self, name: str, reason: str = "OperationFailed") -> Tale:
        """The operation could not be done, and the machine is as it was."""
        operation = {"id": self.operation.id, "phase": "Failed", "reason": reason, "message": "no way"}
        return self.ready(name, operation=operation)

    @property
    def operation(self) -> Operation:
        assert self.row.operation is not None
        return self.row.operation

    @property
    def move(self) -> Move:
        assert self.row.move is not None
        return self.row.move

    def next(self, **given: Any) -> Next:
        """What comes next, without taking it."""
        assert self.row.task_state is not None
        return FLOWS[self.row.task_state](
            Situation(self.row, self._guest(self.row.host), self._guest(self.row.other_host), **given)
        )

    def goes(self, **given: Any) -> Step:
        """Take the next step."""
        step = self.next(**given)
        assert isinstance(step, Step), step
        names = {field.name for field in fields(InstanceRecord)} & {field.name for field in fields(Step)}
        changes = {name: getattr(step, name) for name in names}
        changes = {
            name: value
            for name, value in changes.items()
            if value is not UNCHANGED
            and (value is not None or name in ("task_state", "operation", "move", "host"))
        }
        if step.host is not UNCHANGED:
            changes["fencing_epoch"] = self.row.fencing_epoch + 1
        self.row = replace(self.row, **changes)
        return step

    def _guest(self, host: str | None) -> Guest | None:
        if host is None or host not in self.says:
            return None
        found = guest(**self.says[host])
        return found.model_copy(
            update={"metadata": found.metadata.model_copy(update={"namespace": node_namespace(host)})}
        )

    def told(self) -> dict[str | None, tuple[str, OperationKind | None]]:
        """What each host is told: the power, and the operation."""
        views = {view.host: build_spec(view) for view in guests_of(self.row)}
        return {
            host: (spec.power_state.value, spec.operation.kind if spec.operation else None)
            for host, spec in views.items()
        }
