"""What hosts look like to clients of the administrators' part of the Compute API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cairn_crds.compute_node import ComputeNodeSpec, ComputeNodeStatus
from cairn_database.nodes import ComputeNodeRecord
from cairn_gateway.nova import hypervisors_view as views
from cairn_gateway.nova.audit_log import last_month
from cairn_gateway.nova.microversions import MAX, MIN
from cairn_gateway.nova.moments import row_moment
from cairn_gateway.nova.services_known import compute_service, control_service, control_services
from cairn_runtime.kubernetes import ApiServerUnavailable

NOW = datetime(2026, 11, 22, 14, 30, tzinfo=UTC)


def node(spec: dict[str, Any] | None = None, **inventory: Any) -> ComputeNodeRecord:
    return ComputeNodeRecord(
        name="one",
        spec=ComputeNodeSpec.model_validate(spec or {}),
        inventory=ComputeNodeStatus.model_validate(inventory),
        id="8a7b0a10-54a0-4f9b-8a5e-6a2a2c1f8f00",
        number=3,
        up=True,
        updated_at=NOW,
        vcpus_used=2,
        memory_mib_used=1024,
        disk_gib_used=10,
        instances=2,
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [("7.2.0", 7002000), ("8.0", 8000000), ("1.0", 1000000), ("10.1.2-rc1", 10001002), ("", 0), (None, 0)],
)
def test_versions_are_numbers(text: str | None, number: int) -> None:
    assert views.version_number(text) == number


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(minutes=7), " 14:30:00 up  0:07"),
        (timedelta(hours=25), " 14:30:00 up 1 day,  1:00"),
        (timedelta(days=93, hours=18, minutes=25), " 14:30:00 up 93 days, 18:25"),
        (timedelta(seconds=-5), " 14:30:00 up  0:00"),
    ],
)
def test_uptime_reads_as_from_the_command(passed: timedelta, text: str) -> None:
    assert views.uptime(node(bootTime=(NOW - passed).isoformat()), NOW) == text


def test_what_is_not_known_is_not_invented() -> None:
    bare = node()
    assert views.uptime(bare, NOW) is None
    assert views.cpu_info(bare) == {}
    oldest = views.detailed(MIN, bare, 0, NOW)
    assert (oldest["host_ip"], oldest["disk_available_least"], oldest["cpu_info"]) == (None, None, "{}")
    assert views.brief(MAX, bare)["hypervisor_hostname"] == "one"


def test_what_is_reserved_for_the_host_is_used() -> None:
    spec = {"reserved": {"vcpus": 1, "memoryMiB": 512, "diskGiB": 5}}
    own = views.numbers(node(spec, vcpus=8, memoryMiB=16384, diskGiB=100))
    assert (own.vcpus_used, own.memory_mb_used, own.local_gb_used) == (3, 1536, 15)
    assert (own.free_ram_mb, own.free_disk_gb, own.running_vms) == (14848, 85, 2)


def test_a_down_host_tells_no_uptime() -> None:
    down = node({"forcedDown": True}, bootTime=NOW.isoformat())
    assert views.detailed(MAX, down, 0, NOW)["uptime"] is None
    assert views.brief(MAX, down)["state"] == "down"


def test_moments_are_in_utc_without_a_zone() -> None:
    assert row_moment(None) is None
    assert row_moment(datetime.fromisoformat("2026-11-22T16:30:00+02:00")) == "2026-11-22T14:30:00.000000"


@pytest.mark.parametrize(
    ("moment", "begin", "end"),
    [
        ("2026-11-22T14:30:00", "2026-10-01", "2026-11-01"),
        ("2026-01-15T00:00:00", "2025-12-01", "2026-01-01"),
        ("2026-03-01T00:00:00", "2026-01-01", "2026-02-01"),
        ("2026-01-01T00:00:00", "2025-11-01", "2025-12-01"),
    ],
)
def test_audits_are_of_the_last_whole_month(moment: str, begin: str, end: str) -> None:
    found = last_month(datetime.fromisoformat(moment))
    assert found == (datetime.fromisoformat(begin), datetime.fromisoformat(end))


def lease(component: str, holder: str | None, renewed: str | None) -> dict[str, Any]:
    labels = {"compute.cairn.dev/component": component}
    return {"metadata": {"labels": labels}, "spec": {"holderIdentity": holder, "renewTime": renewed}}


def test_a_host_that_is_drained_is_disabled_and_says_why() -> None:
    service = compute_service(node({"drain": True}), {})
    assert (service.disabled, "drained" in (service.disabled_reason or "")) == (True, True)
    assert views.brief(MAX, node({"drain": True}))["status"] == "disabled"
    own = compute_service(node({"drain": True, "disabled": True, "disabledReason": "new disks"}), {})
    assert own.disabled_reason == "new disks"
    assert not compute_service(node(), {}).disabled


def test_a_lease_is_a_service_of_the_control_plane() -> None:
    service = control_service(lease("cairn-conductor", "c1", "2026-11-22T14:29:58.000000Z"), NOW)
    assert service is not None
    assert (service.binary, service.host, service.zone, service.up) == (
        *("nova-conductor", "c1", "internal", True),
    )
    late = control_service(lease("cairn-conductor", "c1", "2026-11-22T14:28:00Z"), NOW)
    assert late is not None
    assert not late.up
    assert (late.id, late.number) == (service.id, service.number)
    other = control_service(lease("cairn-conductor", "c2", None), NOW)
    assert other is not None
    assert not other.up
    assert other.number != service.number
    assert control_service(lease("kube-scheduler", "x", "2026-11-22T14:29:58Z"), NOW) is None
    assert control_service(lease("cairn-conductor", None, None), NOW) is None
    assert control_service({"metadata": {}}, NOW) is None


async def test_services_that_nobody_can_tell_of_are_left_out() -> None:
    class Away:
        is_open = True

        async def list_path(self, path: str) -> Any:
            raise ApiServerUnavailable(0, "NoAnswer", path)

    settings = SimpleNamespace(gateway=SimpleNamespace(system_namespace="cairn-system"))
    services: Any = SimpleNamespace(cluster=SimpleNamespace(kubernetes=Away()), settings=settings)
    assert await control_services(services) == []
