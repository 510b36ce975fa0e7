"""Which action in which state: every cell of the table, against one that was written down apart from it.

The expectations are Nova's: what `check_instance_state`, `check_instance_lock` and `must_have_launched` say
above the methods of its compute API.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from cairn_agent.drivers.api import Capability
from cairn_crds.volume import VolumeBackend
from cairn_database import TaskState, VmState
from cairn_database.legality import ACTIONS, NEEDS, ActionRefused, InstanceLocked, check
from cairn_database.records import AttachedVolume, Successor
from unit.conductor.records import record

EVERYWHERE = " ".join(VmState)
QUIET = "active stopped paused suspended"
VOLUME = "active paused stopped resized soft-delete shelved shelved_offloaded"
IDLE = "none"
ANY = "any"
HARD = "none rebooting reboot_pending reboot_started resuming rebooting_hard unpausing pausing suspending"
EXPECTED: dict[str, tuple[str, str, bool, bool]] = {
    # action: (vm_states, task_states, heeds the lock, must have been launched)
    "start": ("stopped", IDLE, True, True),
    "stop": ("active error", IDLE, True, True),
    "reboot": ("active", IDLE, True, True),
    "reboot_hard": (f"{QUIET} error", HARD, True, True),
    "pause": ("active", IDLE, True, True),
    "unpause": ("paused", IDLE, True, True),
    "suspend": ("active", IDLE, True, True),
    "resume": ("suspended", IDLE, True, True),
    "lock": (EVERYWHERE, ANY, False, False),
    "unlock": (EVERYWHERE, ANY, False, False),
    "delete": (EVERYWHERE, ANY, True, False),
    "soft_delete": (EVERYWHERE, ANY, True, True),
    "force_delete": (EVERYWHERE, ANY, True, False),
    "restore": ("soft-delete", IDLE, True, True),
    "resize": ("active stopped", IDLE, True, True),
    "confirm_resize": ("resized", IDLE, True, True),
    "revert_resize": ("resized", IDLE, True, True),
    "migrate": ("active stopped", IDLE, True, True),
    "live_migrate": ("active paused", IDLE, True, True),
    "live_migrate_force_complete": ("active", "migrating", True, True),
    "live_migrate_abort": (EVERYWHERE, "migrating", True, True),
    "evacuate": ("active stopped error", ANY, False, True),
    "rebuild": ("active stopped error", IDLE, True, True),
    "rescue": ("active stopped error", IDLE, True, True),
    "unrescue": ("rescued", IDLE, True, True),
    "shelve": (QUIET, IDLE, True, True),
    "shelve_offload": ("shelved", IDLE, True, True),
    "unshelve": ("shelved shelved_offloaded", IDLE, True, True),
    "snapshot": (QUIET, IDLE, False, True),
    "backup": (QUIET, IDLE, False, True),
    "set_admin_password": ("active", IDLE, True, True),
    "trigger_crash_dump": ("active paused rescued resized error", IDLE, True, True),
    "add_fixed_ip": (EVERYWHERE, ANY, True, False),
    "remove_fixed_ip": (EVERYWHERE, ANY, True, False),
    "attach_interface": ("active paused stopped", IDLE, True, True),
    "detach_interface": ("active paused stopped", IDLE, True, True),
    "attach_volume": (VOLUME, IDLE, True, True),
    "detach_volume": (VOLUME, IDLE, True, True),
    "swap_volume": ("active paused resized", IDLE, True, True),
    "update_metadata": (QUIET, ANY, True, True),
    "delete_metadata": (QUIET, ANY, True, True),
    "update_tags": (QUIET, ANY, False, True),
}


def test_every_action_is_expected_to_be_something() -> None:
    assert sorted(EXPECTED) == sorted(ACTIONS)


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_every_cell(action: str) -> None:
    vm_states, task_states, heeds_lock, must_have_launched = EXPECTED[action]
    tasks: list[TaskState | None] = [None, *TaskState]
    for vm_state, task, locked, admin in itertools.product(VmState, tasks, (False, True), (False, True)):
        row = record(vm_state=vm_state, task_state=task, spec={"locked": locked})
        refused: str | None = None
        if locked and heeds_lock and not admin:
            refused = f"Instance {row.id} is locked"
        elif vm_state.value not in vm_states.split():
            refused = f"Cannot '{action}' instance {row.id} while it is in vm_state {vm_state}"
        elif task_states != ANY and (task.value if task else "none") not in task_states.split():
            refused = f"Cannot '{action}' instance {row.id} while it is in task_state {task}"
        said = _said(action, row, overrides_lock=admin)
        assert said == refused, (action, vm_state, task, locked, admin)
        never = replace(row, launched_at=None)
        if refused is None and must_have_launched:
            assert _said(action, never, overrides_lock=admin) == (
                f"Cannot '{action}' instance {row.id} before it has been launched"
            )
        elif refused is None:
            assert _said(action, never, overrides_lock=admin) is None


def _said(action: str, row: object, *, overrides_lock: bool) -> str | None:
    try:
        check(action, row, overrides_lock=overrides_lock)  # type: ignore[arg-type]
    except (ActionRefused, InstanceLocked) as error:
        return str(error)
    return None


AWAITS_SWAPS = """
    suspend resize revert_resize migrate live_migrate evacuate rebuild rescue shelve snapshot backup
"""


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_what_waits_until_volumes_have_been_swapped(action: str) -> None:
    successor = Successor("new", "swap", VolumeBackend.SHARED, 1)
    swapping = AttachedVolume("old", "attachment", VolumeBackend.SHARED, 1, "/dev/vdb", successor=successor)
    vm_states, task_states, _, _ = EXPECTED[action]
    task = None if "none" in task_states or task_states == ANY else TaskState(task_states.split()[0])
    row = record(vm_state=VmState(vm_states.split()[0]), task_state=task, volumes=(swapping,))
    said = _said(action, row, overrides_lock=True)
    refused = f"Cannot '{action}' instance {row.id} while it is in volume state swapping"
    assert said == (refused if action in AWAITS_SWAPS.split() else None)


def test_a_refusal_may_use_the_apis_own_word() -> None:
    row = record(vm_state=VmState.STOPPED)
    with pytest.raises(ActionRefused, match="Cannot 'os-migrateLive' instance"):
        check("live_migrate", row, called="os-migrateLive")


def test_what_a_host_must_be_able_to_do_is_something_that_drivers_say() -> None:
    assert NEEDS.keys() <= ACTIONS.keys()
    assert set(NEEDS.values()) <= set(Capability)
