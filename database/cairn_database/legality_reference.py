"""docs/legality.md, written from the table. `python -m cairn_database.legality_reference [--check] FILE`."""

from __future__ import annotations

import sys

from cairn_crds.generated import write_or_check
from cairn_database.legality import ACTIONS, NEED_HOST_UP, NEEDS, NOT_WHILE_SWAPPING, Requirement
from cairn_database.records import TaskState, VmState

HEAD = """# Which action in which state

Generated from `database/cairn_database/legality.py` by `make manifests`. Do not edit.

This is the one table: the Compute API refuses with it (409), the conductor refuses an edit of a spec with it
(condition `SpecApplied`, reason `NotNow`), and a test goes through every cell. It says what Nova's own checks
say (`nova/compute/api.py`).

- **vm_state**: what the instance has to be. A dot is a refusal: *Cannot 'resize' instance … while it is in
  vm_state paused*.
- **task**: `idle` means that nothing else may be under way: *… while it is in task_state rebuilding*.
- **lock**: `heeded` means that a locked instance refuses it to everybody but administrators and people who
  may edit the resource: *Instance … is locked*.
- **launched**: `yes` means that it has to have run once: *… before it has been launched*.
- **trait**: what the instance's host has to say of itself (`status.traits` of its ComputeNode), where not
  every hypervisor can do it. On one that cannot it is refused before anything starts (501).
- **host up**: `yes` means that the instance's host has to report; *… the compute service of its host is
  unavailable at this time*. To confirm a resize it is the host that was left.
- **swapping**: a dot means that it waits until a volume of the instance has taken another one's place: *…
  while it is in volume state swapping*.
"""
SHORT = {VmState.SHELVED_OFFLOADED: "offloaded", VmState.SOFT_DELETED: "soft-deleted"}


def page() -> str:
    """The page's text."""
    states = [SHORT.get(state, state.value) for state in VmState]
    head = ["action", *states, "task", "lock", "launched", "trait", "host up", "swapping"]
    lines = [HEAD, _row(head), _row(["---"] * len(head))]
    for action, needed in ACTIONS.items():
        cells = ["yes" if needed.vm_states is None or state in needed.vm_states else "·" for state in VmState]
        lock = "heeded" if needed.heeds_lock else "–"
        launched = "yes" if needed.must_have_launched else "–"
        trait = f"`{NEEDS[action]}`" if action in NEEDS else "–"
        up = "yes" if action in NEED_HOST_UP else "–"
        swapping = "·" if action in NOT_WHILE_SWAPPING else "yes"
        lines.append(_row([f"`{action}`", *cells, _tasks(needed), lock, launched, trait, up, swapping]))
    return "\n".join(lines) + "\n"


def _tasks(needed: Requirement) -> str:
    if needed.task_states is None:
        return "any"
    named = [state.value for state in TaskState if state in needed.task_states]
    return ", ".join([*(["idle"] if None in needed.task_states else []), *named])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(write_or_check(sys.argv[1:], page()))
