"""Flows of instances that boot from a volume, where they are others than those with a root disk."""

from __future__ import annotations

from dataclasses import replace

from cairn_crds.volume import VolumeBackend
from cairn_database import TaskState, VmState
from cairn_database.records import AttachedVolume, Move, MoveKind
from cairn_database.steps import Holding
from cairn_operator.conductor.flows import REMOVE
from cairn_operator.conductor.guest_spec import build_spec, guests_of
from unit.conductor.records import record
from unit.conductor.tales import MOVE, Tale

ROOT = AttachedVolume(
    volume_id="11111111-2222-4333-8444-555566667777",
    attachment_id="11111111-2222-4333-8444-555566668888",
    backend=VolumeBackend.SHARED,
    size_gib=2,
    device="/dev/vda",
    boot_index=0,
    made=True,
)


def test_shelving_needs_no_image_and_leaves_the_volume() -> None:
    tale = Tale(record(task_state=TaskState.SHELVING, spec={"powerState": "Shelved"}, volumes=(ROOT,)))
    assert tale.ready("h1", "Running").next() is None, "it has not been told yet, or has not stopped"
    step = tale.ready("h1", "Shutdown").goes(offloads_at_once=False)
    assert (step.task_state, step.vm_state) == (TaskState.SHELVING_OFFLOADING, VmState.SHELVED)
    assert tale.next() is REMOVE
    step = tale.goes(is_removed=True)
    assert (step.vm_state, step.host, step.holding) == (VmState.SHELVED_OFFLOADED, None, Holding.DROP_ALL)
    assert tale.row.volumes == (ROOT,)

    tale.row = replace(
        tale.row,
        task_state=TaskState.UNSHELVING,
        host="h3",
        move=Move(MOVE, MoveKind.UNSHELVE, None, VmState.SHELVED_OFFLOADED, destination="h3"),
        request=tale.row.request | {"spec": tale.row.spec | {"powerState": "Running"}},
    )
    (view,) = guests_of(tale.row)
    assert [volume.id for volume in build_spec(view).volumes] == [ROOT.volume_id]
    assert tale.ready("h3").goes().vm_state is VmState.ACTIVE


def test_shelving_that_fails_leaves_it_where_it_is() -> None:
    tale = Tale(record(task_state=TaskState.SHELVING, spec={"powerState": "Shelved"}, volumes=(ROOT,)))
    step = tale.ready("h1", "Running").goes(overdue=True)
    assert (step.task_state, step.host) != (TaskState.SHELVING_OFFLOADING, None)
    assert step.error is not None
    assert tale.row.host == "h1"
