"""Who is ahead, the spec or the row? And what becomes of an edit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import pytest_asyncio

from cairn_crds import Instance, InstanceSpec
from cairn_crds.instance import PowerState
from cairn_crds.project import ProjectSpec
from cairn_database import (
    ConcurrentUpdate,
    Database,
    InstanceRecord,
    TaskState,
    VmState,
    failures,
    history,
    instances,
    migrations,
    tasks,
    tenants,
)
from cairn_database.asking import change_labels
from cairn_database.records import NewInstance
from cairn_operator.catalog import Catalog
from cairn_operator.conductor.changes import apply_edits, shorten, with_power
from cairn_operator.conductor.scope import Scope
from cairn_runtime.kubernetes import Conflict
from cairn_runtime.store import Store
from unit.conductor.records import ID, SPEC, instance, record


class FakeKubernetes:
    """Takes patches of Instances: the API server raises the generation where the spec changes."""

    def __init__(self, after_patch: Callable[[], Awaitable[None]] | None = None) -> None:
        self.patches: list[dict[str, Any]] = []
        self._after_patch = after_patch

    async def patch(
        self, kind: type[Any], name: str, namespace: str, patch: dict[str, Any]
    ) -> dict[str, Any]:
        self.patches.append(patch)
        if self._after_patch is not None:
            await self._after_patch()
        found = instance(spec={**SPEC, **patch["spec"]}, metadata={"generation": 5, "resourceVersion": "9"})
        return {
            "metadata": {**found.metadata.to_api(), "generation": 5, "resourceVersion": "9"},
            "spec": found.spec.to_api(),
            "status": {},
        }


@pytest_asyncio.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite+aiosqlite:///{tmp_path}/test.db"
    await asyncio.to_thread(lambda: asyncio.run(migrations.upgrade(url)))
    async with Database(url) as database:
        await tenants.upsert_project(database, "acme", ProjectSpec())
        yield database


async def active(db: Database, generation: int = 1, **spec: Any) -> InstanceRecord:
    """An active instance whose row has seen that generation."""
    row = record(spec=spec)
    registered = await instances.register(
        db,
        NewInstance(
            id=ID,
            project="acme",
            namespace="acme",
            name="web",
            resource_uid=ID,
            request={
                **row.request,
                "generation": generation,
                "shown": InstanceSpec.model_validate({**row.spec, **SPEC}).changeable(),
            },
            flavor=row.flavor,
            image=row.image,
        ),
    )
    return await tasks.finish_task(
        db,
        ID,
        registered.version,
        expected_task_state=TaskState.SCHEDULING,
        vm_state=VmState.ACTIVE,
        power_state=row.power_state,
        launched=True,
    )


async def _lose() -> None:
    raise Conflict(409, "Conflict", "somebody was faster")


async def edited(
    db: Database,
    row: InstanceRecord,
    *,
    after_patch: Callable[[], Awaitable[None]] | None = None,
    **spec: Any,
) -> tuple[Scope, FakeKubernetes]:
    """The scope after the edit `spec` (with `generation`) was looked at."""
    generation = spec.pop("generation")
    kubernetes = FakeKubernetes(after_patch)
    env = SimpleNamespace(
        db=db, kubernetes=kubernetes, instances=Store(Instance), catalog=Catalog(), blocked=set()
    )
    found = instance(spec={**SPEC, **spec}, metadata={"generation": generation})
    scope = Scope(env=cast(Any, env), key=("acme", "web"), instance=found, record=row)
    assert await apply_edits(scope)
    return scope, kubernetes


def of(scope: Scope) -> InstanceRecord:
    assert scope.record is not None
    return scope.record


async def test_a_newer_generation_is_the_users_word(db: Database) -> None:
    row = await active(db)
    scope, _kubernetes = await edited(db, row, generation=2, powerState="Stopped", metadata={"a": "b"})
    after = of(scope)
    assert after.task_state is TaskState.POWERING_OFF
    assert after.request["generation"] == 2
    assert after.request["spec"]["powerState"] == "Stopped"
    assert after.request["spec"]["metadata"] == {"a": "b"}
    assert (await history.list_actions(db, ID))[0].action == "stop"


async def test_with_the_same_generation_the_row_is_ahead(db: Database) -> None:
    row = await active(db, generation=4, powerState="Stopped")
    scope, kubernetes = await edited(db, row, generation=4, powerState="Running")
    assert [patch["spec"] for patch in kubernetes.patches] == [{"powerState": "Stopped"}]
    assert kubernetes.patches[0]["metadata"] == {"resourceVersion": "5"}
    again, kubernetes = await edited(db, of(scope), generation=5, powerState="Stopped")
    assert (of(again).task_state, kubernetes.patches) == (None, []), "the patch is no edit of the user's"


async def test_a_late_projection_is_not_taken_for_the_users_word(db: Database) -> None:
    row = await active(db, generation=4)
    first = await change_labels(db, row.id, lambda _row: ({"tags": ["a"]}, {}))

    async def use_the_api_again() -> None:
        await change_labels(db, row.id, lambda _row: ({"tags": ["a", "b"]}, {}))

    with pytest.raises(ConcurrentUpdate):  # between the patch and the note that it was made
        await edited(db, first, generation=4, after_patch=use_the_api_again)
    newest = await instances.get(db, row.id)
    again, kubernetes = await edited(db, newest, generation=5, tags=["a"])
    assert of(again).spec["tags"] == ["a", "b"]
    assert [patch["spec"] for patch in kubernetes.patches] == [{"tags": ["a", "b"]}]


async def test_an_edit_changes_only_what_the_user_changed(db: Database) -> None:
    row = await active(db, generation=4)
    renamed = await change_labels(db, row.id, lambda _row: ({"displayName": "new"}, {}))
    scope, kubernetes = await edited(db, renamed, generation=5, metadata={"a": "b"})
    assert (of(scope).spec["displayName"], of(scope).spec["metadata"]) == ("new", {"a": "b"})
    assert [patch["spec"] for patch in kubernetes.patches] == [{"displayName": "new"}]


async def test_an_edit_in_place_of_a_failed_projection_is_the_users(db: Database) -> None:
    row = await active(db, generation=4)
    tagged = await change_labels(db, row.id, lambda _row: ({"tags": ["a"]}, {}))
    with pytest.raises(Conflict):  # writes down what it is about to write, and loses
        await edited(db, tagged, generation=4, after_patch=_lose)
    newest = await instances.get(db, row.id)
    again, _kubernetes = await edited(db, newest, generation=5, metadata={"u": "v"})
    assert (of(again).spec["tags"], of(again).spec["metadata"]) == (["a"], {"u": "v"})


async def test_an_edit_that_asks_for_nothing_new_is_noted(db: Database) -> None:
    row = await active(db)
    scope, kubernetes = await edited(db, row, generation=2, metadata={"a": "b"})
    assert of(scope).task_state is None
    assert of(scope).request["generation"] == 2
    assert of(scope).request["spec"]["metadata"] == {"a": "b"}
    assert kubernetes.patches == []


async def test_nothing_new_changes_nothing(db: Database) -> None:
    row = await active(db)
    scope, kubernetes = await edited(db, row, generation=1)
    assert of(scope).version == row.version
    assert kubernetes.patches == []


async def test_what_is_being_done_is_not_interrupted(db: Database) -> None:
    row = await active(db)
    scope, _kubernetes = await edited(db, row, generation=2, powerState="Stopped")
    busy = of(scope)
    again, _kubernetes = await edited(db, busy, generation=3, powerState="Running")
    assert of(again).version == busy.version
    assert of(again).request["generation"] == 2, "the edit is still to be followed"


async def test_what_was_built_in_is_refused_and_the_rest_is_followed(db: Database) -> None:
    row = await active(db)
    scope, _kubernetes = await edited(db, row, generation=2, availabilityZone="other", powerState="Paused")
    assert scope.refusal is not None
    assert scope.refusal.reason == "FieldImmutable"
    assert "spec.availabilityZone (built with 'none')" in scope.refusal.message
    assert of(scope).task_state is TaskState.PAUSING
    assert "availabilityZone" not in of(scope).request["spec"]


async def test_a_reboot_is_a_count_that_has_not_been_reached(db: Database) -> None:
    row = await active(db)
    scope, _kubernetes = await edited(db, row, generation=2, reboot={"generation": 1, "type": "Soft"})
    assert of(scope).task_state is TaskState.REBOOTING
    assert of(scope).request["spec"]["reboot"] == {"generation": 1, "type": "Soft"}
    done = await tasks.finish_task(
        db,
        ID,
        of(scope).version,
        expected_task_state=TaskState.REBOOTING,
        vm_state=VmState.ACTIVE,
        power_state=row.power_state,
        reboot_generation=1,
    )
    again, _kubernetes = await edited(db, done, generation=2, reboot={"generation": 1, "type": "Soft"})
    assert of(again).task_state is None


async def test_a_stop_and_a_reboot_in_one_edit(db: Database) -> None:
    """The stop goes first; what is then off cannot be asked to reboot."""
    row = await active(db)
    reboot = {"generation": 1, "type": "Soft"}
    scope, _kubernetes = await edited(db, row, generation=2, powerState="Stopped", reboot=reboot)
    assert of(scope).task_state is TaskState.POWERING_OFF
    stopped = await tasks.finish_task(
        db,
        ID,
        of(scope).version,
        expected_task_state=TaskState.POWERING_OFF,
        vm_state=VmState.STOPPED,
        power_state=row.power_state,
    )
    again, _kubernetes = await edited(db, stopped, generation=2, powerState="Stopped", reboot=reboot)
    assert again.refusal is not None
    assert again.refusal.reason == "RebootRefused"
    assert of(again).task_state is None


async def test_a_hard_reboot_starts_what_is_off_and_the_row_says_so(db: Database) -> None:
    row = await active(db)
    scope, _kubernetes = await edited(db, row, generation=2, powerState="Stopped")
    stopped = await tasks.finish_task(
        db,
        ID,
        of(scope).version,
        expected_task_state=TaskState.POWERING_OFF,
        vm_state=VmState.STOPPED,
        power_state=row.power_state,
    )
    again, _kubernetes = await edited(
        db, stopped, generation=3, powerState="Stopped", reboot={"generation": 1, "type": "Hard"}
    )
    assert of(again).task_state is TaskState.REBOOTING_HARD
    assert of(again).request["spec"]["powerState"] == "Running"


def test_the_request_after_somebody_else_changed_the_power() -> None:
    request = with_power(record(), VmState.STOPPED)
    assert request["spec"]["powerState"] == "Stopped"
    assert request["generation"] == 1, "no edit of the user's: the row is ahead"


def test_long_values_are_shown_shortened() -> None:
    assert shorten("small") == "'small'"
    assert shorten("x" * 65000) == "'" + "x" * 59 + "…"


async def test_an_edit_right_after_a_projection_is_the_users(db: Database) -> None:
    row = await active(db, generation=4)
    stopped = await instances.update_request(
        db, row.id, row.version, request=with_power(row, VmState.STOPPED)
    )
    scope, _kubernetes = await edited(db, stopped, generation=4, powerState="Running")
    off = await tasks.record_power(
        db, row.id, of(scope).version, vm_state=VmState.STOPPED, power_state=PowerState.SHUTDOWN
    )
    again, _kubernetes = await edited(db, off, generation=6, powerState="Running")
    assert of(again).task_state is TaskState.POWERING_ON


async def test_a_reboot_that_has_to_wait_stays_asked_for(db: Database) -> None:
    row = await active(db, generation=4)
    off = await tasks.record_power(
        db,
        row.id,
        row.version,
        vm_state=VmState.STOPPED,
        power_state=PowerState.SHUTDOWN,
        request=with_power(row, VmState.STOPPED),
    )
    reboot = {"generation": 1, "type": "Soft"}
    scope, kubernetes = await edited(db, off, generation=5, powerState="Stopped", reboot=reboot)
    assert scope.refusal is not None
    assert kubernetes.patches == []


async def test_what_describes_an_instance_in_error_is_followed_too(db: Database) -> None:
    row = await active(db)
    failed = await failures.fail(db, row.id, row.version, code=500, message="no host", keep_host=False)
    scope, _kubernetes = await edited(db, failed, generation=2, tags=["a"], powerState="Stopped")
    after = of(scope)
    assert (after.vm_state, after.task_state) == (VmState.ERROR, None)
    assert (after.spec["tags"], after.spec["powerState"]) == (["a"], "Stopped")
    renamed = await change_labels(db, row.id, lambda _row: ({"displayName": "new"}, {}))
    _scope, kubernetes = await edited(db, renamed, generation=2, tags=["a"], powerState="Stopped")
    assert [patch["spec"] for patch in kubernetes.patches] == [{"displayName": "new"}]


async def test_an_instance_without_a_machine_is_not_rebooted(db: Database) -> None:
    row = await active(db)
    failed = await failures.fail(db, row.id, row.version, code=500, message="no host", keep_host=False)
    scope, _kubernetes = await edited(db, failed, generation=2, reboot={"generation": 1, "type": "Hard"})
    assert of(scope).task_state is None
    assert scope.refusal is not None
