"""What people and machines do to the cloud, at random.

To add an operation, write a function where its like are (`operations_*.py`), and a line in `OPERATIONS`. A
function takes the play and does one thing; it returns what it did, or None where there was nothing to do it
to. It touches an instance only after `play.touched` says so: of all others the checker wants to see that
nothing happened to their machines.
"""

from __future__ import annotations

from faults.actors import Operation
from faults.operations_api import create_by_api, delete_by_api, label_by_api, power_by_api, reboot_by_api
from faults.operations_kubectl import annotate, change_power, create, delete, label, reboot
from faults.operations_outside import (
    crash_outside,
    disable_host,
    lose_guest,
    lose_instance,
    reboot_host,
    remove_outside,
    start_outside,
    stop_outside,
    undefine_outside,
)
from faults.operations_processes import (
    api_outage,
    break_watches,
    kill,
    on_a_process,
    pause,
    silence,
    skew,
    sql_outage,
    terminate,
    wait,
)

OPERATIONS: dict[str, Operation] = {
    "create": Operation(14, create),
    "create by API": Operation(8, create_by_api, needs_sql=True, needs_api=False),
    "delete": Operation(9, delete),
    "delete by API": Operation(5, delete_by_api, needs_sql=True, needs_api=False),
    "change power": Operation(16, change_power),
    "change power by API": Operation(10, power_by_api, needs_sql=True, needs_api=False),
    "reboot": Operation(5, reboot),
    "reboot by API": Operation(4, reboot_by_api, needs_sql=True, needs_api=False),
    "label": Operation(8, label),
    "label by API": Operation(5, label_by_api, needs_sql=True, needs_api=False),
    "annotate": Operation(2, annotate),
    "lose Instance": Operation(0.7, lose_instance),
    "lose Guest": Operation(1, lose_guest),
    "stop outside": Operation(2, stop_outside, needs_api=False),
    "start outside": Operation(2, start_outside, needs_sql=True, needs_api=False),
    "crash outside": Operation(1, crash_outside, needs_api=False),
    "undefine outside": Operation(0.5, undefine_outside, needs_sql=True, needs_api=False),
    "remove outside": Operation(0.4, remove_outside, needs_sql=True, needs_api=False),
    "reboot host": Operation(0.3, reboot_host, needs_api=False),
    "disable host": Operation(0.5, disable_host),
    "kill conductor": Operation(1, on_a_process("conductor", kill, "kill"), needs_api=False),
    "kill scheduler": Operation(0.7, on_a_process("scheduler", kill, "kill"), needs_api=False),
    "kill agent": Operation(1, on_a_process("agent", kill, "kill"), needs_api=False),
    "end a process": Operation(0.5, on_a_process("", terminate, "end"), needs_api=False),
    "pause conductor": Operation(0.7, on_a_process("conductor", pause, "pause"), needs_api=False),
    "pause a process": Operation(0.3, on_a_process("", pause, "pause"), needs_api=False),
    "silence a watch": Operation(0.4, on_a_process("", silence, "silence"), needs_api=False),
    "skew a clock": Operation(0.3, on_a_process("", skew, "skew the clock of"), needs_api=False),
    "API server down": Operation(0.25, api_outage),
    "database down": Operation(0.25, sql_outage, needs_sql=True, needs_api=False),
    "watches cut": Operation(0.3, break_watches),
    "wait": Operation(3, wait, needs_api=False),
}
"""What may happen, and how often compared with the rest."""
