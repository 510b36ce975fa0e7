"""What a Migration shows of its row, what it asks for at which time, and how long it is kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cairn_crds import ConditionStatus, Migration
from cairn_crds.conditions import find_condition
from cairn_crds.migration import MigrationPhase, MigrationSpec
from cairn_database import InstanceRecord, VmState
from cairn_database.moves import MigrationRecord
from cairn_database.records import Move, MoveKind
from cairn_database.steps import Step
from cairn_database.volumes.errors import VolumesStay
from cairn_operator.conductor.migrations import asking
from cairn_operator.conductor.migrations.making import resource_of
from cairn_operator.conductor.migrations.projection import (
    Refused,
    percent,
    phase_of,
    project,
    project_refusal,
)
from cairn_operator.conductor.migrations.wishes import Wish, wish_of
from cairn_operator.conductor.retention import Run, outlived
from cairn_operator.conductor.story import story_of
from unit.conductor.records import ID, NOW, record

MIGRATION_ID = "1c1c1c1c-1111-4222-8333-444455556666"
FLAVOR = {"name": "small", "vcpus": 2, "memoryMiB": 512}


def row(status: str = "running", kind: MoveKind = MoveKind.LIVE, **changes: Any) -> MigrationRecord:
    made = MigrationRecord(
        id=MIGRATION_ID,
        number=7,
        instance_id=ID,
        project="acme",
        user_id=None,
        kind=kind,
        status=status,
        source="h1",
        destination="h2",
        old_flavor=FLAVOR,
        new_flavor=FLAVOR,
        progress=None,
        message=None,
        request_id=None,
        resource_uid=MIGRATION_ID,
        created_at=NOW,
        updated_at=NOW,
        ended_at=None,
    )
    return replace(made, **changes)


def moving(kind: MoveKind = MoveKind.LIVE, **changes: Any) -> InstanceRecord:
    move = Move(id=MIGRATION_ID, kind=kind, source="h1", destination="h2", vm_state=VmState.ACTIVE)
    return record(move=replace(move, **changes))


def migration(**spec: Any) -> Migration:
    return Migration.from_api(
        {
            "metadata": {"name": "move", "namespace": "acme", "uid": MIGRATION_ID, "generation": 2},
            "spec": {"instance": "web", **spec},
        }
    )


@pytest.mark.parametrize(
    ("status", "destination", "phase"),
    [
        ("accepted", None, MigrationPhase.SCHEDULING),
        ("pre-migrating", None, MigrationPhase.SCHEDULING),
        ("pre-migrating", "h2", MigrationPhase.MIGRATING),
        ("post-migrating", "h2", MigrationPhase.MIGRATING),
        ("finished", "h2", MigrationPhase.FINISHED),
        ("confirmed", "h2", MigrationPhase.COMPLETED),
        ("completed", "h2", MigrationPhase.COMPLETED),
        ("done", "h2", MigrationPhase.COMPLETED),
        ("reverted", "h2", MigrationPhase.REVERTED),
        ("cancelled", "h2", MigrationPhase.ABORTED),
        ("error", None, MigrationPhase.FAILED),
    ],
)
def test_the_phase_is_one_word_for_novas_many(
    status: str, destination: str | None, phase: MigrationPhase
) -> None:
    assert phase_of(row(status, destination=destination)) is phase


def test_what_has_been_copied_is_shown_in_percent() -> None:
    progress = {
        "memoryTotalBytes": 600,
        "memoryRemainingBytes": 100,
        "diskTotalBytes": 400,
        "diskRemainingBytes": 150,
    }
    status = project(migration(), row(progress=progress), None, NOW)
    assert (status.percent, status.source, status.destination, status.new_flavor) == (75, "h1", "h2", "small")
    assert percent(progress, MigrationPhase.COMPLETED) == 100
    assert (
        percent(progress | {"memoryRemainingBytes": 0, "diskRemainingBytes": 0}, MigrationPhase.MIGRATING)
        == 99
    )
    assert percent(None, MigrationPhase.COMPLETED) is None


def test_a_failed_one_says_why() -> None:
    status = project(migration(), row("failed", message="No road.", ended_at=NOW), None, NOW)
    completed = find_condition(status.conditions, "Completed")
    assert completed is not None
    assert (completed.status, completed.reason, completed.message) == (
        ConditionStatus.FALSE,
        "Failed",
        "No road.",
    )
    assert (status.message, status.ended_at) == ("No road.", NOW)


def test_a_refused_one_has_ended() -> None:
    status = project_refusal(migration(), Refused("UnknownHost", "There is no h9."), NOW)
    accepted = find_condition(status.conditions, "Accepted")
    assert accepted is not None
    assert (status.phase, status.reason, accepted.reason) == (
        MigrationPhase.FAILED,
        "UnknownHost",
        "UnknownHost",
    )
    assert (status.ended_at, status.migration_id, status.observed_generation) == (NOW, None, 2)


COLD = MoveKind.MIGRATION


@pytest.mark.parametrize(
    ("spec", "status", "kind", "wish"),
    [
        ({}, "running", MoveKind.LIVE, None),
        ({"decision": "Confirm"}, "migrating", COLD, None),
        ({"decision": "Confirm"}, "finished", COLD, Wish.CONFIRM),
        ({"decision": "Revert"}, "finished", MoveKind.RESIZE, Wish.REVERT),
        ({"decision": "Confirm"}, "confirmed", COLD, None),
        ({"decision": "Confirm"}, "reverting", COLD, "TooLate"),
        ({"decision": "Revert"}, "confirmed", COLD, "TooLate"),
        ({"decision": "Confirm"}, "running", MoveKind.LIVE, "NothingToDecide"),
        ({"abort": True}, "accepted", MoveKind.LIVE, Wish.ABORT),
        ({"abort": True}, "running", MoveKind.LIVE, Wish.ABORT),
        ({"abort": True}, "post-migrating", MoveKind.LIVE, "TooLate"),
        ({"abort": True}, "completed", MoveKind.LIVE, "TooLate"),
        ({"abort": True}, "cancelled", MoveKind.LIVE, None),
        ({"abort": True}, "migrating", COLD, "NotLive"),
        ({"forceComplete": True}, "preparing", MoveKind.LIVE, None),
        ({"forceComplete": True}, "running", MoveKind.LIVE, Wish.FORCE_COMPLETE),
        ({"forceComplete": True}, "completed", MoveKind.LIVE, None),
        ({"forceComplete": True}, "migrating", COLD, "NotLive"),
    ],
)
def test_what_is_asked_for_has_its_time(
    spec: dict[str, Any], status: str, kind: MoveKind, wish: Wish | str | None
) -> None:
    found = wish_of(
        MigrationSpec.model_validate({"instance": "web", **spec}), row(status, kind), moving(kind)
    )
    assert (found.reason if isinstance(found, Refused) else found) == wish


def test_a_refusal_of_a_narrower_kind_is_told_as_well() -> None:
    """A local volume holds the instance on its host: one kind of action that is refused."""
    refused = asking._refused(VolumesStay(ID, ["1d1c1c1c-1111-4222-8333-444455556666"], "h1"))
    assert refused.reason == "ActionRefused"
    assert "h1" in refused.message


def test_nobody_decides_on_another_move_of_the_instance() -> None:
    spec = MigrationSpec.model_validate({"instance": "web", "decision": "Confirm"})
    other = moving(COLD, id="2c1c1c1c-1111-4222-8333-444455556666")
    assert wish_of(spec, row("finished", COLD), other) is None
    assert wish_of(spec, row("finished", COLD), None) is None


def test_what_has_been_asked_for_is_not_asked_for_again() -> None:
    abort = MigrationSpec.model_validate({"instance": "web", "abort": True})
    force = MigrationSpec.model_validate({"instance": "web", "forceComplete": True})
    assert wish_of(abort, row(), moving(abort=True)) is None
    assert wish_of(force, row(), moving(force_complete=True)) is None


def test_a_resource_is_named_after_instance_and_move() -> None:
    made = resource_of(row(), moving(wanted_host="h2"), "1c1c1c1c")
    assert (made.metadata.name, made.spec.host, made.spec.type) == ("web-1c1c1c1c", "h2", "Live")
    assert len(resource_of(row(), record(name="w" * 253), "1c1c1c1c").metadata.name) == 253


def test_old_runs_and_those_beyond_the_count_go() -> None:
    def run(name: str, minutes: int, namespace: str = "acme") -> Run:
        return Run((namespace, name), NOW - timedelta(minutes=minutes))

    runs = [run("a", 1), run("b", 2), run("c", 3), run("d", 200), run("e", 50, "other")]
    assert outlived(runs, NOW, 3600, 2) == [("acme", "d"), ("acme", "c")]
    assert outlived(runs, NOW, 1e9, 100) == []
    assert len(outlived(runs, NOW, 1e9, 0)) == 5


def test_events_tell_the_story_of_a_move() -> None:
    begins = story_of(moving(), Step(task_state=None, migration="preparing"))
    assert begins == ("Migrating", "Live migration from host h1 to host h2 begins.")
    arrived = story_of(moving(COLD), Step(task_state=None, migration="finished"))
    assert arrived is not None
    assert arrived[1].endswith("Set spec.decision of its Migration to Confirm, or to Revert.")
    stays = story_of(
        moving(MoveKind.RESIZE, destination="h1", old_flavor=FLAVOR, new_flavor=FLAVOR | {"name": "large"}),
        Step(task_state=None, migration="migrating"),
    )
    assert stays == ("Resizing", "A resize to flavor large begins, on host h1.")
    assert story_of(moving(), Step(task_state=None, migration="failed", error="No road.")) is None
    assert story_of(record(), Step(task_state=None)) is None
