"""From the query string of GET /servers to a question for SQL.

Source: Nova's `nova/api/openstack/compute/servers.py` (_get_servers) and its query schemas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cairn_crds.instance import PowerState
from cairn_database import TaskState, VmState, tenants
from cairn_database.listing import Deleted, Filter, InstanceQuery, Operator, PatternRefused, check_pattern
from cairn_gateway.http.call import Call
from cairn_gateway.http.faults import BadRequest, Forbidden
from cairn_gateway.nova import microversions as since
from cairn_gateway.nova.paging import page_limit
from cairn_gateway.nova.servers.states import POWER_STATES, states_of

ALL_FILTERS = "os_compute_api:servers:allow_all_filters"
ALL_TENANTS = "os_compute_api:servers:{}:get_all_tenants"
TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes", ""})
PAGING = frozenset({"limit", "marker", "sort_key", "sort_dir", "page_size"})
SPECIAL = frozenset({"status", "deleted", "all_tenants", "tenant_id", "project_id", "soft_deleted"})


class Nothing(Exception):
    """The filters can match nothing: the list is empty, without asking."""


def _equal(value: str) -> tuple[Operator, Any]:
    return Operator.EQUAL, value


def _matches(value: str) -> tuple[Operator, Any]:
    return Operator.MATCHES, check_pattern(value)


def _exactly(value: str) -> tuple[Operator, Any]:
    return Operator.ADDRESS_MATCHES, "^" + check_pattern(value.replace(".", r"\.")) + "$"


def _address(value: str) -> tuple[Operator, Any]:
    return Operator.ADDRESS_MATCHES, check_pattern(value)


def _truth(value: str) -> tuple[Operator, Any]:
    return Operator.EQUAL, value.lower() in TRUE_WORDS


def _number(value: str) -> tuple[Operator, Any]:
    if not value.lstrip("-").isdigit():
        raise Nothing
    return Operator.EQUAL, int(value)


def _power(value: str) -> tuple[Operator, Any]:
    names = [state.value for state, number in POWER_STATES.items() if str(number) == value]
    return Operator.IN, names or [PowerState(value).value if value in set(PowerState) else value]


def _vm_state(value: str) -> tuple[Operator, Any]:
    if value not in set(VmState):
        raise Nothing
    return Operator.EQUAL, value


def _task_state(value: str) -> tuple[Operator, Any]:
    if value not in set(TaskState):
        raise Nothing
    return Operator.EQUAL, value


def _date(value: str) -> tuple[Operator, Any]:
    return Operator.EQUAL, parse_moment("the filter", value)


def _from(value: str) -> tuple[Operator, Any]:
    return Operator.FROM, parse_moment("changes-since", value)


def _to(value: str) -> tuple[Operator, Any]:
    return Operator.TO, parse_moment("changes-before", value)


def _tags(operator: Operator) -> Callable[[str], tuple[Operator, Any]]:
    return lambda value: (operator, tuple(value.split(",")))


@dataclass(frozen=True)
class Field:
    """One parameter: the column, what its value becomes, and from when everybody may use it."""

    column: str
    convert: Callable[[str], tuple[Operator, Any]]
    everybody: Any = None
    """The version from which others than administrators may; None: never."""
    since: Any = since.MIN


EVERYBODY = since.MIN
FIELDS: dict[str, Field] = {
    "name": Field("display_name", _matches, EVERYBODY),
    "display_name": Field("display_name", _matches),
    "reservation_id": Field("reservation_id", _equal, EVERYBODY),
    "image": Field("image_id", _equal, EVERYBODY),
    "image_ref": Field("image_id", _equal),
    "flavor": Field("flavor_id", _equal, EVERYBODY),
    "ip": Field("", _address, EVERYBODY),
    "ip6": Field("", _address, since.IP6_FILTER_FOR_ALL),
    "fixed_ip": Field("", _exactly),
    "changes-since": Field("updated_at", _from, EVERYBODY),
    "changes-before": Field("updated_at", _to, since.CHANGES_BEFORE, since.CHANGES_BEFORE),
    "tags": Field("", _tags(Operator.ALL_TAGS), since.SERVER_TAG_FILTERS, since.SERVER_TAG_FILTERS),
    "tags-any": Field("", _tags(Operator.ANY_TAG), since.SERVER_TAG_FILTERS, since.SERVER_TAG_FILTERS),
    "not-tags": Field("", _tags(Operator.NOT_ALL_TAGS), since.SERVER_TAG_FILTERS, since.SERVER_TAG_FILTERS),
    "not-tags-any": Field(
        "", _tags(Operator.NOT_ANY_TAG), since.SERVER_TAG_FILTERS, since.SERVER_TAG_FILTERS
    ),
    "locked": Field("locked", _truth, since.LOCKED_FILTER, since.LOCKED_FILTER),
    "availability_zone": Field("availability_zone", _equal, since.SERVER_FILTERS_FOR_ALL),
    "config_drive": Field("config_drive", _truth, since.SERVER_FILTERS_FOR_ALL),
    "key_name": Field("key_name", _matches, since.SERVER_FILTERS_FOR_ALL),
    "created_at": Field("created_at", _date, since.SERVER_FILTERS_FOR_ALL),
    "launched_at": Field("launched_at", _date, since.SERVER_FILTERS_FOR_ALL),
    "terminated_at": Field("terminated_at", _date, since.SERVER_FILTERS_FOR_ALL),
    "power_state": Field("power_state", _power, since.SERVER_FILTERS_FOR_ALL),
    "vm_state": Field("vm_state", _vm_state, since.SERVER_FILTERS_FOR_ALL),
    "task_state": Field("task_state", _task_state, since.SERVER_FILTERS_FOR_ALL),
    "user_id": Field("user_id", _equal, since.SERVER_FILTERS_FOR_ALL),
    "host": Field("host", _equal),
    "node": Field("host", _matches),
    "uuid": Field("id", _equal),
    "description": Field("description", _matches),
    "display_description": Field("description", _matches),
    "launch_index": Field("launch_index", _number),
    "access_ip_v4": Field("access_ip_v4", _matches),
    "access_ip_v6": Field("access_ip_v6", _matches),
}
"""What SQL can filter by. Columns are the table's."""

IGNORED = frozenset(
    {"progress", "hostname", "kernel_id", "ramdisk_id", "root_device_name", "locked_by", "auto_disk_config"}
)
"""Parameters that Nova's schema knows and that say nothing about a server of Cairn."""
INTERNAL = frozenset(
    {
        "block_device_mapping",
        "services",
        "metadata",
        "system_metadata",
        "info_cache",
        "security_groups",
        "pci_devices",
    }
)
SORT_COLUMNS: dict[str, str] = {
    "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6",
    "availability_zone": "availability_zone",
    "config_drive": "config_drive",
    "created_at": "created_at",
    "display_description": "description",
    "display_name": "display_name",
    "host": "host",
    "node": "host",
    "image_ref": "image_id",
    "instance_type_id": "flavor_id",
    "key_name": "key_name",
    "launch_index": "launch_index",
    "launched_at": "launched_at",
    "locked": "locked",
    "power_state": "power_state",
    "project_id": "project",
    "task_state": "task_state",
    "terminated_at": "terminated_at",
    "updated_at": "updated_at",
    "user_id": "user_id",
    "uuid": "id",
    "vm_state": "vm_state",
}
SORTS_NOTHING = frozenset(
    {"auto_disk_config", "hostname", "kernel_id", "locked_by", "progress", "ramdisk_id", "root_device_name"}
)
_IGNORED_SORT = """
    architecture cell_name cleaned default_ephemeral_device default_swap_device deleted deleted_at
    disable_terminate ephemeral_gb ephemeral_key_uuid id key_data launched_on locked memory_mb os_type
    reservation_id root_gb shutdown_terminate user_data vcpus vm_mode
"""
IGNORED_SORT = frozenset(_IGNORED_SORT.split())
"""Sort keys that Nova lets pass before 2.75, and ignores."""
ADMIN_SORT = frozenset({"host", "node"})


def parse_moment(name: str, value: str) -> datetime:
    """ISO 8601; without a zone it is UTC. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {value[:50]}. It must be a date and time, "
            "like 2026-11-22T14:00:00Z."
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def query_of(call: Call, *, detail: bool) -> tuple[InstanceQuery, list[tuple[str, str]]]:
    """The question, and the fields it came from. Raises BadRequest, Forbidden, Nothing."""
    fields = [(name, value) for name, value in call.query() if value != "None"]
    given = dict(fields)
    administrator = call.allows(ALL_FILTERS)
    _refuse_unknown(call, given)
    filters: list[Filter] = []
    for name, value in given.items():
        known = FIELDS.get(name)
        if known is None or call.version < known.since:
            continue
        if not administrator and (known.everybody is None or call.version < known.everybody):
            continue
        filters.append(_filter(name, value, known))
    filters += _status(call, [value for name, value in fields if name == "status"])
    _check_range(given)
    deleted = _deleted(call, given, filters, administrator=administrator)
    if deleted is Deleted.NO and not _wants_soft_deleted(given, filters, administrator=administrator):
        filters.append(Filter(Operator.NOT_EQUAL, "vm_state", VmState.SOFT_DELETED.value))
    query = InstanceQuery(
        project=await _project(call, given, detail=detail),
        deleted=deleted,
        filters=tuple(filters),
        sort=_sort(call, fields),
        marker=given.get("marker"),
        limit=page_limit(given.get("limit")),
    )
    if given.get("limit", "").strip("0") == "" and given.get("limit"):
        raise Nothing  # unlike elsewhere, 0 is no server, not all of them
    return query, fields


def _filter(name: str, value: str, known: Field) -> Filter:
    try:
        operator, converted = known.convert(value)
    except PatternRefused as error:
        raise BadRequest(f"Invalid input for query parameters {name}. {error}") from error
    return Filter(operator, known.column, converted)


def _refuse_unknown(call: Call, given: dict[str, str]) -> None:
    for name in given:
        if name in INTERNAL or name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name}.")
        known = name in FIELDS and call.version >= FIELDS[name].since
        if known or name in PAGING or name in SPECIAL or name in IGNORED:
            continue
        if call.version >= since.UNKNOWN_PARAMETERS_REFUSED:
            raise BadRequest(
                f"Invalid input for query parameters. Additional properties are not allowed ('{name}' was "
                "unexpected)"
            )


def _status(call: Call, statuses: list[str]) -> list[Filter]:
    if not statuses:
        return []
    vm_states, task_states = states_of(statuses)
    if not vm_states:
        if call.version >= since.UNKNOWN_STATUS_REFUSED:
            raise BadRequest("Invalid status value")
        raise Nothing
    found = [Filter(Operator.IN, "vm_state", [str(state) for state in vm_states])]
    if task_states is not None:
        found.append(Filter(Operator.IN, "task_state", [str(state) for state in task_states]))
    return found


def _check_range(given: dict[str, str]) -> None:
    earliest, latest = given.get("changes-since"), given.get("changes-before")
    if earliest and latest:
        first, last = parse_moment("changes-since", earliest), parse_moment("changes-before", latest)
        if last < first:
            raise BadRequest("The value of changes-since must be less than or equal to changes-before.")


def _deleted(call: Call, given: dict[str, str], filters: list[Filter], *, administrator: bool) -> Deleted:
    """Deleted ones are for administrators, and for who asks for changes (Nova: `deleted` in search_opts)."""
    for item in filters:
        only = item.value in (["deleted"], "deleted")
        if item.column == "vm_state" and only:
            if not call.is_admin:
                raise Forbidden("Only administrators may list deleted instances")
            return Deleted.ONLY
    if administrator and "deleted" in given:
        return Deleted.ONLY if given["deleted"].lower() in TRUE_WORDS else Deleted.NO
    if any(item.column == "updated_at" for item in filters):
        return Deleted.TOO
    return Deleted.NO


def _wants_soft_deleted(given: dict[str, str], filters: list[Filter], *, administrator: bool) -> bool:
    """Lists leave out what waits to be reclaimed, unless its state is asked for. (Nova: lists it for
    administrators with `soft_deleted`, and by no status.)"""
    if administrator and given.get("soft_deleted", "no").lower() in TRUE_WORDS:
        return True
    return any(item.column == "vm_state" for item in filters)


async def _project(call: Call, given: dict[str, str], *, detail: bool) -> str | None:
    """The Project's name; None for all of them."""
    if "all_tenants" not in given or not _wants_all(given["all_tenants"]):
        if call.caller.project is None:
            raise Nothing
        return call.caller.project
    rule = ALL_TENANTS.format("detail" if detail else "index")
    if not call.allows(rule):
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")
    wanted = given.get("project_id") or given.get("tenant_id")
    if wanted is None:
        return None
    for project in await tenants.list_projects(call.services.db):
        if project.id == wanted:
            return project.name
    raise Nothing


def _wants_all(value: str) -> bool:
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(f"Invalid input for query parameters all_tenants. Value: {value[:50]}.")


def _sort(call: Call, fields: list[tuple[str, str]]) -> tuple[tuple[str, bool], ...]:
    keys = [value for name, value in fields if name == "sort_key"]
    directions = [value for name, value in fields if name == "sort_dir"]
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Unknown sort direction, must be one of: asc, desc. Value: {direction[:20]}.")
    found: list[tuple[str, bool]] = []
    for index, key in enumerate(keys):
        ascending = (directions[index] if index < len(directions) else (directions or ["desc"])[0]) == "asc"
        if key in ADMIN_SORT and not call.is_admin:
            raise Forbidden(f"Only administrators can sort servers by {key}")
        locked = key == "locked" and call.version < since.LOCKED_FILTER
        if key in SORT_COLUMNS and not locked:
            found.append((SORT_COLUMNS[key], ascending))
        elif key in SORTS_NOTHING:
            continue
        elif key not in IGNORED_SORT or call.version >= since.UNKNOWN_PARAMETERS_REFUSED:
            raise BadRequest(f"Invalid input for query parameters sort_key. Value: {key[:50]}.")
    if not found:
        ascending = bool(directions) and directions[0] == "asc"
        return (("created_at", ascending), ("id", ascending))
    return tuple(found)
