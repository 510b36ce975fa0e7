"""Which action an instance allows in which state, and what its host must be able to do: the one table.

The gateway refuses with it (409, 501), the conductor tells of it in a condition, the documentation is made of
it. What the host can do, and whether it is up, is asked in `capabilities`.
Source: the checks of Nova's compute API (`nova/compute/api.py`, `vm_states.py`, `task_states.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from cairn_database.errors import DatabaseError
from cairn_database.records import InstanceRecord, TaskState, VmState

ACTIVE, PAUSED, STOPPED = VmState.ACTIVE, VmState.PAUSED, VmState.STOPPED
SUSPENDED, ERROR, RESCUED = VmState.SUSPENDED, VmState.ERROR, VmState.RESCUED
RESIZED, SOFT_DELETED = VmState.RESIZED, VmState.SOFT_DELETED
SHELVED, OFFLOADED = VmState.SHELVED, VmState.SHELVED_OFFLOADED
IDLE: frozenset[TaskState | None] = frozenset({None})


@dataclass(frozen=True)
class Requirement:
    """What an action asks of an instance."""

    vm_states: frozenset[VmState] | None = None
    """None: any."""
    task_states: frozenset[TaskState | None] | None = IDLE
    """None: any. By default nothing else may be under way."""
    heeds_lock: bool = True
    """A locked instance refuses it to everybody but administrators."""
    must_have_launched: bool = True
    """Only an instance that has run once."""


def _in(*vm_states: VmState) -> Requirement:
    return Requirement(frozenset(vm_states))


_INTERRUPTIBLE = frozenset(
    {
        None,
        TaskState.REBOOTING,
        TaskState.REBOOT_PENDING,
        TaskState.REBOOT_STARTED,
        TaskState.REBOOTING_HARD,
        TaskState.PAUSING,
        TaskState.UNPAUSING,
        TaskState.SUSPENDING,
        TaskState.RESUMING,
    }
)
"""Tasks that a hard reboot may cut short."""
_QUIET = _in(ACTIVE, STOPPED, PAUSED, SUSPENDED)
_ANY = Requirement(task_states=None, must_have_launched=False)
_LABEL = Requirement(frozenset({ACTIVE, PAUSED, SUSPENDED, STOPPED}), task_states=None)
_ATTACH_VOLUME = _in(ACTIVE, PAUSED, STOPPED, RESIZED, SOFT_DELETED, SHELVED, OFFLOADED)

ACTIONS: Mapping[str, Requirement] = MappingProxyType(
    {
        "start": _in(STOPPED),
        "stop": _in(ACTIVE, ERROR),
        "reboot": _in(ACTIVE),
        "reboot_hard": Requirement(frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR}), _INTERRUPTIBLE),
        "pause": _in(ACTIVE),
        "unpause": _in(PAUSED),
        "suspend": _in(ACTIVE),
        "resume": _in(SUSPENDED),
        "lock": Requirement(task_states=None, heeds_lock=False, must_have_launched=False),
        "unlock": Requirement(task_states=None, heeds_lock=False, must_have_launched=False),
        "delete": _ANY,
        "soft_delete": Requirement(task_states=None),
        "force_delete": _ANY,
        "restore": _in(SOFT_DELETED),
        "resize": _in(ACTIVE, STOPPED),
        "confirm_resize": _in(RESIZED),
        "revert_resize": _in(RESIZED),
        "migrate": _in(ACTIVE, STOPPED),
        "live_migrate": _in(ACTIVE, PAUSED),
        "live_migrate_force_complete": Requirement(frozenset({ACTIVE}), frozenset({TaskState.MIGRATING})),
        "live_migrate_abort": Requirement(None, frozenset({TaskState.MIGRATING})),
        "evacuate": Requirement(frozenset({ACTIVE, STOPPED, ERROR}), task_states=None, heeds_lock=False),
        "rebuild": _in(ACTIVE, STOPPED, ERROR),
        "rescue": _in(ACTIVE, STOPPED, ERROR),
        "unrescue": _in(RESCUED),
        "shelve": _QUIET,
        "shelve_offload": _in(SHELVED),
        "unshelve": _in(SHELVED, OFFLOADED),
        "snapshot": Requirement(_QUIET.vm_states, heeds_lock=False),
        "backup": Requirement(_QUIET.vm_states, heeds_lock=False),
        "set_admin_password": _in(ACTIVE),
        "trigger_crash_dump": _in(ACTIVE, PAUSED, RESCUED, RESIZED, ERROR),
        "attach_interface": _in(ACTIVE, PAUSED, STOPPED),
        "detach_interface": _in(ACTIVE, PAUSED, STOPPED),
        "add_fixed_ip": Requirement(task_states=None, must_have_launched=False),
        "remove_fixed_ip": Requirement(task_states=None, must_have_launched=False),
        "attach_volume": _ATTACH_VOLUME,
        "detach_volume": _ATTACH_VOLUME,
        "swap_volume": _in(ACTIVE, PAUSED, RESIZED),
        "update_metadata": _LABEL,
        "delete_metadata": _LABEL,
        "update_tags": Requirement(
            frozenset({ACTIVE, PAUSED, SUSPENDED, STOPPED}), task_states=None, heeds_lock=False
        ),
    }
)
"""By Nova's name of the action. `reboot` is the soft one."""

_OWN = "COMPUTE_CAIRN_"
NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "pause": f"{_OWN}PAUSE",
        "suspend": f"{_OWN}SUSPEND",
        "resize": f"{_OWN}RESIZE",
        "migrate": f"{_OWN}RESIZE",
        "live_migrate": f"{_OWN}LIVE_MIGRATION",
        "rebuild": f"{_OWN}REBUILD",
        "rescue": f"{_OWN}RESCUE",
        "shelve": f"{_OWN}SNAPSHOT",
        "snapshot": f"{_OWN}SNAPSHOT",
        "backup": f"{_OWN}SNAPSHOT",
        "set_admin_password": f"{_OWN}SET_PASSWORD",
        "trigger_crash_dump": f"{_OWN}CRASH_DUMP",
        "attach_interface": "COMPUTE_NET_ATTACH_INTERFACE",
        "detach_interface": "COMPUTE_NET_ATTACH_INTERFACE",
        "attach_volume": "COMPUTE_VOLUME_ATTACH",
        "detach_volume": "COMPUTE_VOLUME_ATTACH",
        "swap_volume": "COMPUTE_VOLUME_ATTACH",
    }
)
"""The trait that the instance's host must have for an action (`Capability` of the agent's drivers). What is
not here every driver can do, or it is not the host that does it."""

NEED_HOST_UP = frozenset({"resize", "migrate", "live_migrate", "confirm_resize", "detach_volume"})
"""Actions that begin with what the instance's host does, and would only wait for one that does not report:
Nova's `check_instance_host(check_is_up=True)`. For `confirm_resize` it is the host that it has left. What
is done about a host that is gone (evacuate, delete, reset its state) is none of them."""

NOT_WHILE_SWAPPING = frozenset(
    {
        "suspend",
        "resize",
        "revert_resize",
        "migrate",
        "live_migrate",
        "evacuate",
        "rebuild",
        "rescue",
        "shelve",
        "snapshot",
        "backup",
    }
)
"""What waits until the volumes of an instance have been swapped: each of them takes the machine to another
host, or its disks in hand, where it has to be known which volume is in use. Nova marks the volumes of a swap
instead (`detaching`, `reserved`)."""


class ActionRefused(DatabaseError):
    """The instance's state does not allow the action."""

    def __init__(self, action: str, instance_id: str, attribute: str, state: str | None) -> None:
        self.action = action
        self.attribute = attribute
        """`vm_state`, `task_state`, `launched_at` or `volume state`."""
        self.state = state
        super().__init__(
            f"Cannot '{action}' instance {instance_id} while it is in {attribute} {state}"
            if attribute != "launched_at"
            else f"Cannot '{action}' instance {instance_id} before it has been launched"
        )


class HostNotUp(ActionRefused):
    """The host that would have to do it does not report, or is forced down. Which one it is is not for
    everybody to know."""

    def __init__(self, action: str, instance_id: str) -> None:
        super().__init__(action, instance_id, "host", "down")
        DatabaseError.__init__(
            self,
            f"Cannot '{action}' instance {instance_id}: the compute service of its host is unavailable at "
            "this time",
        )


class NotCapable(DatabaseError):
    """The hypervisor of the instance's host cannot do it."""

    def __init__(self, action: str, instance_id: str) -> None:
        self.action = action
        super().__init__(
            f"Cannot '{action}' instance {instance_id}: the hypervisor of its host is not capable of it"
        )


class InstanceLocked(DatabaseError):
    """The instance is locked."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(f"Instance {instance_id} is locked")


def check(
    action: str, record: InstanceRecord, *, overrides_lock: bool = False, called: str | None = None
) -> None:
    """Raise InstanceLocked or ActionRefused unless `record` allows `action`.

    `called`: what the refusal calls the action, where the API's word is another one.
    """
    needed = ACTIONS[action]
    word = called or action
    if record.locked and needed.heeds_lock and not overrides_lock:
        raise InstanceLocked(record.id)
    if needed.vm_states is not None and record.vm_state not in needed.vm_states:
        raise ActionRefused(word, record.id, "vm_state", record.vm_state)
    if needed.task_states is not None and record.task_state not in needed.task_states:
        raise ActionRefused(word, record.id, "task_state", record.task_state)
    if needed.must_have_launched and record.launched_at is None:
        raise ActionRefused(word, record.id, "launched_at", None)
    if action in NOT_WHILE_SWAPPING and record.is_swapping:
        raise ActionRefused(word, record.id, "volume state", "swapping")
